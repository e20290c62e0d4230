"""More than a server carries, with and without late requests being rejected, on a real Triton."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from dataclasses import dataclass
from typing import Any

import pytest

from tests.e2e.bed import REPOSITORY, Bed
from tests.e2e.room import Room, spec

pytestmark = [pytest.mark.node, pytest.mark.timeout(300)]

TARGET_MS = 400
# One replica completes 50 a second: from the first seconds on, nobody is in time without a limit.
PHASES = "75x14"


@dataclass(frozen=True, slots=True)
class Seen:
    summary: dict[str, Any]
    rejected: float
    errors: dict[str, int]

    @property
    def late(self) -> float:
        """Share of the requests that were answered, and too late."""
        return float((self.summary["answered"] - self.summary["within"]) / self.summary["sent"])


def test_it_keeps_the_others_in_time(bed: Bed) -> None:
    room = bed.room("late-reject")
    bed.run(room.enter())
    try:
        patient, strict = bed.run(_compared(room))
        bed.run(bed.unharmed())
    finally:
        bed.run(room.leave())
    print(f"without: {patient}\nwith: {strict}")
    assert patient.rejected == 0
    assert patient.summary["failed"] == 0
    assert patient.late > 0.5
    assert strict.rejected == strict.summary["failed"] > 0.15 * strict.summary["sent"]
    assert strict.late < 0.05
    assert strict.summary["share"] > patient.summary["share"] + 0.2
    assert all("Request timeout expired" in error for error in strict.errors)


async def _compared(room: Room) -> tuple[Seen, Seen]:
    for name, reject in (("patient", False), ("strict", True)):
        latency = {"target": f"{TARGET_MS}ms", "rejectLate": reject}
        await room.create(name, spec(objectives={"latency": latency}))
    for name in ("patient", "strict"):
        await room.ready(name)
    patient, strict = await asyncio.gather(_loaded(room, "patient"), _loaded(room, "strict"))
    # Half a minute of outcomes is looked at: refusing on purpose must not look like failing.
    await room.reports("strict", "Ready", "True", "Ready")
    return patient, strict


async def _loaded(room: Room, name: str) -> Seen:
    address = (await room.get(name, "Service"))["spec"]["clusterIP"]
    output = await _inside(
        room, sys.executable, "-m", "e2e.load", "--http", f"http://{address}:8000",
        "--model", "m", "--phases", PHASES, "--target-ms", str(TARGET_MS),
    )  # fmt: skip
    told = json.loads(output.splitlines()[-1])
    (pod,) = [p for p in await room.pods() if p["metadata"]["name"].startswith(f"{name}-")]
    metrics = await _inside(room, "curl", "-sf", f"http://{pod['status']['podIP']}:8002/metrics")
    found = re.search(
        r'^nv_inference_request_failure\{model="m",reason="REJECTED"[^}]*\} (\S+)$', metrics, re.M
    )
    assert found is not None, metrics
    return Seen(told["summary"], float(found[1]), told["errors"])


async def _inside(room: Room, *command: str) -> str:
    """The output of a command that runs in the cluster's network."""
    process = await asyncio.create_subprocess_exec(
        *room.cluster.command(list(command)),
        stdout=asyncio.subprocess.PIPE,
        cwd=REPOSITORY,
        env=room.cluster.environment(),
    )
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()[-600:]
    return output.decode()
