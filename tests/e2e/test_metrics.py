"""Metrics that are gone, absurd or start again: nothing is scaled on them, and it is told.

KWOK plays the pods and the fleet of fake servers answers for them; each case spoils its own pods.
"""

from __future__ import annotations

import asyncio
import time

import pytest

from tests.e2e.bed import Bed
from tests.e2e.cases import Cases
from tests.e2e.fleet import knows, replicas, steer
from tests.e2e.room import START_S, Room, fake

pytestmark = [pytest.mark.node, pytest.mark.timeout(600)]

case = Cases()

_LATENCY = {"mode": "Latency", "minReplicas": 2, "maxReplicas": 6}
# Per pod, of the 50 it could serve: a demand seen five times too high would add one.
_RATE_PER_S = 10.0


@case
async def metrics_that_are_no_numbers(room: Room) -> None:
    await _spoiled(room, "nan")


@case
async def metrics_that_are_infinite(room: Room) -> None:
    await _spoiled(room, "infinite")


@case
async def counters_below_zero(room: Room) -> None:
    await _spoiled(room, "negative")


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
    await steer(room, {"fault": fault})
    await room.reports("web", "Scaling", "False", "NoMetrics")
    await room.reports("web", "Ready", "True", "Ready")
    await _holds(room, before)
    room.now()
    await steer(room, {"fault": "none"})
    await knows(room)
    await _holds(room, before)


@case
async def counters_that_start_again(room: Room) -> None:
    """A server that was restarted counts from zero: that is no demand, and no end of it."""
    before = await _serving(room)
    for _ in range(3):
        await steer(room, {"counters": "reset"})
        await _holds(room, before)
    room.now()
    await knows(room)


async def _serving(room: Room) -> int:
    """A service with a demand that its pods carry; returns the replicas it has."""
    await room.create("web", fake(scaling=_LATENCY))
    await room.reports("web", "Available", "True", "Available", "All 2 replicas", within_s=START_S)
    await steer(room, {"rate_per_s": _RATE_PER_S})
    await knows(room)
    return await replicas(room)


async def _holds(room: Room, before: int, seconds: float = 5.0) -> None:
    """For as long as two looks at every pod take, the replicas stay."""
    end_s = time.monotonic() + seconds
    while time.monotonic() < end_s:
        assert await replicas(room) == before, (await room.get("web"))["status"]["decision"]
        await asyncio.sleep(0.2)


@pytest.mark.parametrize("name", case.names)
def test_metrics(name: str, bed: Bed, fleet: None, request: pytest.FixtureRequest) -> None:
    case.judge(name, bed, request)
