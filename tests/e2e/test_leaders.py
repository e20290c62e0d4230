"""The operator itself in trouble in the middle of a surge: it dies, another takes over, it was
paused and wakes up as one that leads no more, its clock is set.

The limits hold as in ``test_robust``, and nobody gives back what was asked for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from conch.api import names
from conch.kube.transport import path
from e2e.testbed import Progress, TestbedError, packages
from tests.e2e.bed import SETTINGS, Bed, Operator
from tests.e2e.fleet import knows, replicas, steer
from tests.e2e.room import Room
from tests.e2e.surge import LEAST, MOST, serving, until_replicas, watched

pytestmark = [pytest.mark.node, pytest.mark.timeout(600)]

_SURGE_PER_S = 60.0  # a pod, of the 50 that it can answer: more is asked for until the maximum
_LEASE_S = float(SETTINGS["CONCH_LEASE_DURATION_S"])
_AFTER_PER_S = 20.0
_HOUR_S = 3600


@pytest.fixture
def room(bed: Bed, request: pytest.FixtureRequest) -> Iterator[Room]:
    """A namespace; afterwards the bed's own operator leads again, whatever happened."""
    room = bed.room(request.node.name.removeprefix("test_").replace("_", "-"))
    bed.run(room.enter())
    yield room
    if not bed.operator.runs:
        bed.operator.start()
    bed.operator.wait_until_it_acts()
    bed.run(bed.unharmed())
    bed.run(room.leave())


@pytest.fixture
def second(bed: Bed, tmp_path: Path) -> Iterator[Operator]:
    """Another replica of the operator, on its own log: it may end in error."""
    operator = bed.another(tmp_path / "second.log")
    yield operator
    operator.kill()


def test_dies_in_mid_surge(bed: Bed, fleet: None, room: Room) -> None:
    bed.run(_surging(room))
    bed.operator.kill()
    bed.operator.start()
    bed.operator.wait_until_it_acts()
    bed.run(_still_there(room))


async def _surging(room: Room) -> None:
    await serving(room)
    await steer(room, {"rate_per_s": _SURGE_PER_S})
    await until_replicas(room, 4)


async def _still_there(room: Room) -> None:
    """Nothing is given back by one that knows nothing yet, and it finds its way again."""
    before = await replicas(room)
    async with watched(room, least=before):
        await knows(room)
        await asyncio.sleep(10)


def test_another_takes_over_in_mid_surge(
    bed: Bed, fleet: None, room: Room, second: Operator
) -> None:
    """First because the leader is dead, then because it is paused; that one wakes up again."""
    second.start()
    bed.run(_surging(room))
    bed.operator.kill()
    second.wait_until_it_acts()
    bed.run(_still_there(room))
    bed.operator.start()
    second.pause()
    # What it has not seen before it sleeps, it must not undo when it wakes.
    bed.run(room.change("web", {"spec": {"scaling": {"maxReplicas": MOST + 2}}}))
    bed.operator.wait_until_it_acts()
    bed.run(_wakes(room, second))
    assert second.ended(within_s=10) not in (None, 0)
    assert "the Lease is lost" in second.log() or "not leading any more" in second.log()


async def _wakes(room: Room, sleeper: Operator) -> None:
    await steer(room, {"rate_per_s": _SURGE_PER_S})  # of all pods that there are by now
    await until_replicas(room, MOST + 2)
    async with watched(room, least=MOST + 2, most=MOST + 2):
        lease = await _lease(room)
        sleeper.wake()
        await asyncio.sleep(_LEASE_S)
    assert (await _lease(room))["holderIdentity"] == lease["holderIdentity"]


def test_clock_is_set_in_mid_surge(bed: Bed, fleet: None, room: Room, tmp_path: Path) -> None:
    """An hour on and two back: what is wanted is found as if nothing had happened."""
    clock = tmp_path / "clock"
    clock.write_text("+0")
    operator = bed.another(
        tmp_path / "operator.log",
        LD_PRELOAD=_libfaketime(),
        FAKETIME_TIMESTAMP_FILE=str(clock),
        FAKETIME_CACHE_DURATION="1",
        FAKETIME_DONT_FAKE_MONOTONIC="1",
        NO_FAKE_STAT="1",
    )
    operator.start()
    bed.operator.kill()
    try:
        operator.wait_until_it_acts()
        bed.run(_clock_is_set(room, clock))
        operator.check()
    finally:
        operator.kill()


async def _clock_is_set(room: Room, clock: Path) -> None:
    await serving(room)
    async with watched(room) as seen:
        await steer(room, {"rate_per_s": _SURGE_PER_S})
        await until_replicas(room, LEAST + 1)
        await _set(room, clock, _HOUR_S)
        await steer(room, {"rate_per_s": _SURGE_PER_S})
        await until_replicas(room, MOST)
        await steer(room, {"rate_per_s": _AFTER_PER_S})
        await _set(room, clock, -_HOUR_S)
        await asyncio.sleep(10)
        await steer(room, {"rate_per_s": _SURGE_PER_S})
        await asyncio.sleep(5)
    assert seen.replicas[-1] == MOST


async def _set(room: Room, clock: Path, ahead_s: int) -> None:
    """Set the operator's clock; and see that it goes by it."""
    await asyncio.to_thread(clock.write_text, f"{ahead_s:+d}")
    room.now()

    async def is_set() -> bool:
        renewed = datetime.fromisoformat(str((await _lease(room))["renewTime"]))
        return abs((renewed - datetime.now(UTC)).total_seconds() - ahead_s) < _HOUR_S / 2

    await room.until(is_set, 10, room.nothing, f"the clock is set by {ahead_s} s")


async def _lease(room: Room) -> dict[str, object]:
    where = path("coordination.k8s.io/v1", "leases", "conch-system", names.LEADER_LEASE)
    spec: dict[str, object] = (await room.api.get(where))["spec"]
    return spec


def _libfaketime() -> str:
    try:
        return str(packages.faketime(Progress(quiet=True)))
    except TestbedError as error:
        pytest.skip(str(error))
