"""Metrics that are gone, absurd or start again: nothing is scaled on them, and it is told.

KWOK plays the pods and the fleet of fake servers answers for them; each case spoils its own pods.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from typing import Any

import pytest

from tests.e2e.bed import Bed
from tests.e2e.cases import Cases
from tests.e2e.room import LIMIT_S, START_S, Room, condition, fake

pytestmark = [pytest.mark.node, pytest.mark.timeout(600)]

case = Cases()

_LATENCY = {"mode": "Latency", "minReplicas": 2, "maxReplicas": 6}
# Per pod, of the 50 it could serve: a demand seen five times too high would add one.
_RATE_PER_S = 10.0
_UNKNOWING = {"NoMetrics", "Learning"}


@case
async def metrics_that_are_no_numbers(room: Room) -> None:
    await _spoiled(room, "nan")


@case
async def metrics_endpoint_that_fails(room: Room) -> None:
    await _spoiled(room, "error")


@case
async def metrics_endpoint_that_hangs(room: Room) -> None:
    await _spoiled(room, "hang")


@case
async def metrics_that_are_empty(room: Room) -> None:
    await _spoiled(room, "empty")


async def _spoiled(room: Room, fault: str) -> None:
    before = await _serving(room)
    room.now()
    await _steer(room, {"fault": fault})
    await room.reports("web", "Scaling", "False", "NoMetrics")
    await room.reports("web", "Ready", "True", "Ready")
    await _holds(room, before)
    room.now()
    await _steer(room, {"fault": "none"})
    await _knows(room)
    await _holds(room, before)


@case
async def counters_that_start_again(room: Room) -> None:
    """A server that was restarted counts from zero: that is no demand, and no end of it."""
    before = await _serving(room)
    for _ in range(3):
        await _steer(room, {"counters": "reset"})
        await _holds(room, before)
    room.now()
    await _knows(room)


async def _serving(room: Room) -> int:
    """A service with a demand that its pods carry; returns the replicas it has."""
    await room.create("web", fake(scaling=_LATENCY))
    await room.reports("web", "Available", "True", "Available", "All 2 replicas", within_s=START_S)
    await _steer(room, {"rate_per_s": _RATE_PER_S})
    await _knows(room)
    return await _replicas(room)


async def _steer(room: Room, load: Mapping[str, Any]) -> None:
    """Tell the fleet how this room's pods are to behave."""
    pods = {p["status"]["podIP"]: load for p in await room.pods()}
    command = ["curl", "-sS", "--fail-with-body", "-X", "PATCH", "127.0.0.1:8003/pods"]
    answer = await asyncio.to_thread(
        room.cluster.run, [*command, "-d", json.dumps(pods)], capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr


async def _knows(room: Room) -> None:
    """Wait until replicas follow the demand."""

    async def known() -> bool:
        scaling = condition(await room.get("web"), "Scaling")
        return scaling is not None and scaling["reason"] not in _UNKNOWING

    async def told() -> str:
        return str(condition(await room.get("web"), "Scaling"))

    await room.until(known, 3 * LIMIT_S, told, "demand known")


async def _holds(room: Room, before: int, seconds: float = 5.0) -> None:
    """For as long as two looks at every pod take, the replicas stay."""
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        assert await _replicas(room) == before, (await room.get("web"))["status"]["decision"]
        await asyncio.sleep(0.2)


async def _replicas(room: Room) -> int:
    return int((await room.get("web", "Deployment"))["spec"]["replicas"])


@pytest.mark.parametrize("name", case.names)
def test_metrics(name: str, bed: Bed, fleet: None, request: pytest.FixtureRequest) -> None:
    case.judge(name, bed, request)
