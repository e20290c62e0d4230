"""inventory_5000_mib, inventory_event_ratio: what it costs to hold a large cluster.

A process of its own gets the operator's own watches, on an API that answers with JSON of real size,
page by page, and then streams events. Nothing is handed over already decoded.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path
from typing import Any

from e2e.bench.figure import Context, Figure, Result
from e2e.placement.fleets import PRODUCTS, ZONES, node
from e2e.testbed.layout import REPOSITORY

NODES, PODS = 5000, 50_000
_SMALL = (500, 5000)
_EVENTS = 4000
_LIMIT_S = 170
_OURS_EVERY = 25  # one pod in so many is of a service
Object = dict[str, Any]


# --- JSON of real size ---------------------------------------------------------------------------


def nodes(count: int) -> Iterator[Object]:
    """Nodes with the labels, images and conditions that kubelets of GPU nodes report."""
    for number in range(count):
        product = PRODUCTS[number % len(PRODUCTS)]
        zone = ZONES[number % len(ZONES)]
        made = node(f"node-{number:05}", product, 8, zone, spot=number % 5 < 2)
        meta, status = made["metadata"], made["status"]
        meta["labels"] |= {f"nvidia.com/gpu.{key}": f"value-{key}" for key in _GFD}
        meta["labels"] |= {f"node.example.com/{i}": f"pool-{number % 40}" for i in range(20)}
        meta["annotations"] = {f"csi.example.com/{i}": "x" * 120 for i in range(6)}
        meta["managedFields"] = [_managed("kubelet", 40), _managed("controller", 20)]
        made["spec"] = {"providerID": f"aws:///{zone}/i-{number:017x}", "podCIDR": "10.0.0.0/24"}
        status["capacity"] = dict(status["allocatable"])
        status["addresses"] = [{"type": "InternalIP", "address": f"10.1.{number >> 8}.1"}]
        status["conditions"] += [
            {"type": kind, "status": "False", "reason": f"KubeletHas{kind}", "message": "m" * 60}
            for kind in ("MemoryPressure", "DiskPressure", "PIDPressure")
        ]
        status["images"] = [
            {"names": [f"registry.example/i{i}@sha256:{'a' * 64}"], "sizeBytes": 10**9}
            for i in range(40)
        ]
        yield made


_GFD = ("count", "family", "machine", "memory", "mode", "replicas", "sharing-strategy", "clique")


def pods(count: int, on: int) -> Iterator[Object]:
    """Pods as the API server sends them; some of services of ours."""
    for number in range(count):
        yield pod(number, on)


def pod(number: int, on: int) -> Object:
    """One of them; each on the next node."""
    ours = number % _OURS_EVERY == 0
    labels = {"app.kubernetes.io/name": f"app-{number % 900}", "pod-template-hash": f"{number:x}"}
    if ours:
        labels |= {"conch.dev/service": f"s{number % 1000}", "conch.dev/accelerator": "l4"}
    shape = number % 60
    return {
        "metadata": {
            "name": f"app-{number % 900}-{number:06x}",
            "namespace": f"team-{number % 50}",
            "uid": f"00000000-0000-4000-8000-{number:012}",
            "resourceVersion": f"{number + 1000}",
            "creationTimestamp": "2026-11-22T10:00:00Z",
            "labels": labels,
            "annotations": {"checksum/config": "c" * 64},
            "managedFields": [_managed("manager", 40), _managed("kubelet", 30)],
        },
        "spec": {
            "nodeName": f"node-{number % on:05}",
            "volumes": [{"name": f"v{i}", "emptyDir": {}} for i in range(3)],
            "containers": [
                {
                    "name": f"c{i}",
                    "image": f"registry.example/app-{number % 900}:v1",
                    "env": [{"name": f"VARIABLE_{e}", "value": "v" * 24} for e in range(12)],
                    "resources": {
                        "requests": {"cpu": f"{100 + 10 * shape}m", "memory": f"{128 + shape}Mi"}
                        | ({"nvidia.com/gpu": "1"} if i == 0 and number % 4 == 0 else {})
                    },
                }
                for i in range(1 + number % 3)
            ],
        },
        "status": {
            "phase": "Running",
            "podIP": f"10.2.{number >> 8 & 255}.{number & 255}",
            "startTime": "2026-11-22T10:00:00Z",
            "conditions": [
                {
                    "type": kind,
                    "status": "True",
                    "lastTransitionTime": f"2026-11-22T10:{number // 60 % 60:02}:{number % 60:02}Z",
                }
                for kind in ("Initialized", "Ready", "ContainersReady", "PodScheduled")
            ],
            "containerStatuses": [
                {
                    "name": "c0",
                    "ready": True,
                    "restartCount": number % 3,
                    "image": f"registry.example/app-{number % 900}:v1",
                    "containerID": f"containerd://{number:064x}",
                    "state": {"running": {"startedAt": "2026-11-22T10:00:05Z"}},
                }
            ],
        },
    }


def _managed(manager: str, fields: int) -> Object:
    names: Object = {f"f:field-{i}": {} for i in range(fields)}
    return {"manager": manager, "operation": "Update", "fieldsV1": {"f:metadata": names}}


# --- the server ----------------------------------------------------------------------------------


class Server:
    """What the watches ask of an API server, without a network."""

    def __init__(self, node_count: int, pod_count: int) -> None:
        self._lists: dict[str, Callable[[], Iterator[Object]]] = {
            "/api/v1/nodes": lambda: nodes(node_count),
            "/api/v1/pods": lambda: pods(pod_count, node_count),
        }
        self._under_way: dict[str, Iterator[Object]] = {}
        self.events: asyncio.Queue[bytes] = asyncio.Queue()

    async def get_raw(self, path: str, **params: str | int | bool) -> bytes:
        """A page of a list."""
        await asyncio.sleep(0)
        if path not in self._lists:
            return b'{"metadata":{"resourceVersion":"1"},"items":[]}'
        if "continue" not in params:
            self._under_way[path] = self._lists[path]()
        items = list(itertools.islice(self._under_way[path], int(params["limit"])))
        token = "more" if len(items) == params["limit"] else ""
        head = {"resourceVersion": "1", "continue": token}
        return json.dumps({"metadata": head, "items": items}).encode()

    async def watch(
        self, path: str, version: str, params: object, inactivity_s: float
    ) -> AsyncGenerator[bytes]:
        """Events of pods as they are put into ``events``; of everything else none."""
        while path == "/api/v1/pods":
            yield await self.events.get()
            self.events.task_done()
        await asyncio.Event().wait()
        yield b""


# --- the process ---------------------------------------------------------------------------------


async def _hold(node_count: int, pod_count: int) -> Object:
    from conch.observe.state import ClusterState
    from conch.reconcile.queue import WorkQueue
    from conch.wiring.changes import Changes
    from conch.wiring.watches import watches

    before = _status()
    state, server = ClusterState(), Server(node_count, pod_count)
    changes = Changes(state, WorkQueue(), lambda: None)
    mirrors = watches(server, changes, ())  # type: ignore[arg-type]
    tasks = [asyncio.create_task(mirror.run()) for mirror in mirrors]
    for mirror in mirrors:
        await mirror.synced.wait()
    there = state.inventory()
    held = _status()
    lines = list(_events(pod_count, node_count))
    start = time.process_time()
    for line in lines:
        server.events.put_nowait(line)
    await server.events.join()
    event_us = 1e6 * (time.process_time() - start) / len(lines)
    after = state.inventory()
    for task in tasks:
        task.cancel()
    return {
        "nodes": len(there.nodes),
        "classes": len(there.kinds),
        "requested": sum(one.requested.get("pods", 0) for one in there.nodes),
        "after": sum(one.requested.get("pods", 0) for one in after.nodes),
        "imported_mib": before["VmRSS"],
        "held_mib": held["VmRSS"],
        "peak_mib": held["VmHWM"],
        "event_us": event_us,
    }


def _events(pod_count: int, on: int) -> Iterator[bytes]:
    """Each pod is made, bound, and ended: so the cluster is as large afterwards as before."""
    for number in range(_EVENTS // 2):
        made = pod(pod_count + number, on)
        yield json.dumps({"type": "ADDED", "object": made}).encode()
        yield json.dumps({"type": "DELETED", "object": made}).encode()


def _status() -> dict[str, float]:
    lines = Path("/proc/self/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return {name: int(fields[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM")}


def _child(node_count: int, pod_count: int) -> Object:
    done = subprocess.run(
        [sys.executable, "-m", "e2e.placement.holding", str(node_count), str(pod_count)],
        cwd=REPOSITORY, capture_output=True, text=True, check=True, timeout=_LIMIT_S,
    )  # fmt: skip
    told: Object = json.loads(done.stdout)
    if told["nodes"] != node_count or not told["requested"] == told["after"] == pod_count:
        raise ValueError(f"it does not hold what it was told: {told}")
    return told


def _large(ctx: Context) -> Object:
    return ctx.once("holding", lambda: _child(NODES, PODS))


def _memory(ctx: Context) -> Result:
    told = _large(ctx)
    return Result(
        told["held_mib"],
        f"resident memory of a process with the operator's watches, stores, inventory and views of "
        f"{NODES} nodes and {PODS} pods ({told['classes']} classes; one pod in {_OURS_EVERY} is of "
        f"a service and kept whole), read from JSON of real size page by page; "
        f"{told['imported_mib']:.0f} MiB of it are the program itself; at most "
        f"{told['peak_mib']:.0f} MiB while reading",
    )


def _ratio(ctx: Context) -> Result:
    large, small = _large(ctx), _child(*_SMALL)
    return Result(
        large["event_us"] / small["event_us"],
        f"CPU time of one pod event from the watch's line to the inventory's sums: "
        f"{large['event_us']:.0f} µs with {NODES} nodes and {PODS} pods, {small['event_us']:.0f} "
        f"µs with {_SMALL[0]} and {_SMALL[1]}; {_EVENTS} events each",
    )


MEMORY = Figure(
    "inventory_5000_mib", "MiB", 300, "lower", "5,000 nodes and 50,000 pods held", _memory
)
EVENT = Figure(
    "inventory_event_ratio", "", 1.5, "lower", "an event at 5,000 nodes over one at 500", _ratio
)

if __name__ == "__main__":
    print(json.dumps(asyncio.run(_hold(int(sys.argv[1]), int(sys.argv[2])))))
