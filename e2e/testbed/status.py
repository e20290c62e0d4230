"""What is up on this machine, read from the machine itself and not from a record."""

from __future__ import annotations

import contextlib
import json
import os
from pathlib import Path

from e2e.testbed import cache, layout, namespaces
from e2e.testbed.cluster import dead_programs
from e2e.testbed.layout import Layout


def lines() -> list[str]:
    """One paragraph a cluster: state, memory, how to reach it, where its logs are."""
    names = set(namespaces.others(Layout("")))
    if layout.STATE.is_dir():
        names |= {path.name for path in layout.STATE.iterdir() if Layout(path.name).port.exists()}
    if not names:
        return ["no cluster is up"]
    return [line for name in sorted(names) for line in _describe(Layout(name))]


def _describe(place: Layout) -> list[str]:
    if cache.is_locked(place.lock):
        return [f"{place.name}: on its way up or down"]
    if namespaces.find_holder(place) is None:
        return [f"{place.name}: leftovers of a run that was killed; down removes them"]
    inside = namespaces.processes_inside(place)
    if not place.spec.exists():
        return [
            f"{place.name}: {len(inside)} processes of a cluster that another checkout made, or "
            "this one before it was cleaned; down ends it"
        ]
    state = "up"
    dead = dead_programs(place)
    if dead:
        state = f"broken, no longer running: {', '.join(dead)}"
    memory_mib = sum(map(_resident_mib, inside))
    described = [
        f"{place.name}: {state}, {len(inside)} processes, {memory_mib:.0f} MiB without pods"
    ]
    spec = json.loads(json.loads(place.spec.read_text())["spec"])
    described.append("  " + ", ".join(f"{key}={value}" for key, value in spec.items()))
    described.append(f"  kubeconfig {place.kubeconfig}")
    described.append(f"  logs       {place.logs}")
    return described


def _resident_mib(pid: int) -> float:
    with contextlib.suppress(OSError):
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20
    return 0.0
