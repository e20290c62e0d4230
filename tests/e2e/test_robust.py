"""The scaler live, while what it is told is wrong and while there is not enough of something.

KWOK plays the pods and the fleet of fake servers answers for them. Whatever happens: never below
the minimum, never above the maximum, and few changes. What it costs in late requests is seen in
the twin (``tests/twin/test_robust.py``).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from tests.e2e.bed import Bed, wait_until_led
from tests.e2e.cases import Cases
from tests.e2e.fleet import knows, replicas, steer
from tests.e2e.room import START_S, Room, condition, fake

pytestmark = [pytest.mark.node, pytest.mark.timeout(600)]

case = Cases()

_LEAST, _MOST = 2, 6
_RATE_PER_S = 10.0  # a pod, of the 50 that it could answer
_MOST_CHANGES = 20  # docs/scaler.md
_LOOK_EVERY_S = 0.2
_DECIDED_S = 30.0


@dataclass
class Seen:
    """Every number of replicas that was asked for, in turn."""

    replicas: list[int] = field(default_factory=list)

    def note(self, count: int) -> None:
        if not self.replicas or self.replicas[-1] != count:
            self.replicas.append(count)


@asynccontextmanager
async def _watched(room: Room, least: int = _LEAST, most: int = _MOST) -> AsyncIterator[Seen]:
    """Whatever happens meanwhile, the limits hold and replicas change seldom."""
    seen = Seen()

    async def watch() -> None:
        while True:
            seen.note(await replicas(room))
            await asyncio.sleep(_LOOK_EVERY_S)

    watching = asyncio.create_task(watch())
    try:
        yield seen
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    assert least <= min(seen.replicas)
    assert max(seen.replicas) <= most
    assert len(seen.replicas) - 1 <= _MOST_CHANGES, seen.replicas


async def _serving(room: Room, pods: int = _LEAST, most: int = _MOST, **more: object) -> None:
    """A service whose pods carry what arrives; the demand is known."""
    scaling = {"mode": "Latency", "minReplicas": pods, "maxReplicas": most}
    await room.create("web", fake(**{"scaling": scaling, **more}))
    told = f"All {pods} replicas"
    await room.reports("web", "Available", "True", "Available", told, within_s=START_S)
    await steer(room, {"rate_per_s": _RATE_PER_S})
    await knows(room)


async def _until_scaling(room: Room, *reasons: str, within_s: float = _DECIDED_S) -> None:
    """Wait for what the scaler says, whatever else changes meanwhile."""
    room.now()

    async def said() -> bool:
        found = condition(await room.get("web"), "Scaling")
        return found is not None and found["reason"] in reasons

    async def told() -> str:
        return str(condition(await room.get("web"), "Scaling"))

    await room.until(said, within_s, told, f"Scaling {reasons}")


async def _until_replicas(room: Room, least: int, within_s: float = _DECIDED_S) -> None:
    room.now()

    async def there() -> bool:
        return await replicas(room) >= least

    async def told() -> str:
        return str((await room.get("web"))["status"]["decision"])

    await room.until(there, within_s, told, f"{least} replicas wanted")


@case
async def one_of_three_lies_tenfold(room: Room) -> None:
    await _serving(room, pods=3, most=12)
    async with _watched(room, least=3, most=12) as seen:
        liar = (await room.pods())[0]
        await steer(room, {"fault": "lies"}, [liar])
        await asyncio.sleep(10)
        await steer(room, {"fault": "none"})
        await asyncio.sleep(5)
    assert max(seen.replicas) <= 8  # what one pod can do at all is believed of it, not 100/s


@case
async def counters_that_stand_still(room: Room) -> None:
    """Silence is believed after a minute only: nothing is given back that is needed."""
    await _serving(room, pods=3)
    await steer(room, {"rate_per_s": 32.0})
    async with _watched(room, least=3):
        await asyncio.sleep(10)
        await room.change("web", {"spec": {"scaling": {"minReplicas": 1}}})
        await asyncio.sleep(5)
        await steer(room, {"fault": "frozen"})
        await asyncio.sleep(30)
        await steer(room, {"fault": "none"})
        await asyncio.sleep(5)


@case
async def all_lie_tenfold(room: Room) -> None:
    await _serving(room)
    async with _watched(room):
        await steer(room, {"fault": "lies"})
        await asyncio.sleep(10)
        await steer(room, {"fault": "none"})
        await asyncio.sleep(10)
    await room.reports("web", "Ready", "True", "Ready")


@case
async def more_than_the_maximum_carries(room: Room) -> None:
    await _serving(room)
    async with _watched(room) as seen:
        await steer(room, {"rate_per_s": 300.0})
        await _until_scaling(room, "AtMaximum")
        await asyncio.sleep(5)
    assert seen.replicas[-1] == _MOST


@case
async def a_target_that_nobody_can_keep(room: Room) -> None:
    await _serving(room, objectives={"latency": {"target": "20ms"}})
    async with _watched(room) as seen:
        await _until_scaling(room, "TargetUnreachable")
        await asyncio.sleep(5)
    assert seen.replicas == [_LEAST]  # 20 requests/s of the 100 that they complete


@case
async def more_than_there_are_accelerators(room: Room) -> None:
    """Four T4s: asked for are those, and no pod waits for a fifth."""
    placement = fake(["t4"])["placement"]
    await _serving(room, placement=placement)
    async with _watched(room, most=4) as seen:
        await steer(room, {"rate_per_s": 300.0})
        await _until_scaling(room, "NoRoom")
        await asyncio.sleep(5)
    assert seen.replicas[-1] == 4
    assert len(await room.pods()) == 4


@case
async def servers_that_become_slower(room: Room) -> None:
    """A batch takes three times as long from one moment on: more replicas for the same requests."""
    await _serving(room)
    await steer(room, {"rate_per_s": 15.0})
    async with _watched(room):
        await asyncio.sleep(20)
        assert await replicas(room) == _LEAST
        await steer(room, {"base_ms": 120.0, "per_item_ms": 30.0})
        await _until_replicas(room, _LEAST + 1, within_s=120)


@case
async def two_models_of_one_server(room: Room) -> None:
    """What two pods carry of one model they do not carry of two."""
    source = {"uri": "image:///opt/models/resnet"}
    models = [{"name": "m", "source": source}, {"name": "n", "source": source}]
    scaling = {"mode": "Latency", "minReplicas": _LEAST, "maxReplicas": _MOST}
    await room.create("web", fake(models=models, scaling=scaling))

    async def both() -> bool:
        pods = await room.pods()
        return len(pods) == _LEAST and all("podIP" in p["status"] for p in pods)

    await room.until(both, START_S, room.nothing, "two pods run")
    await steer(room, {"models": ["m", "n"]})
    await room.whole("web")
    async with _watched(room):
        await steer(room, {"rate_per_s": 24.0})
        await knows(room)
        await _until_replicas(room, _LEAST + 1)


@case
async def silence_and_then_a_flash(room: Room) -> None:
    await _serving(room)
    async with _watched(room):
        await steer(room, {"rate_per_s": 0.0})
        # Of a few requests the last ones count for long: 0.1/s may be left after a minute.
        await _until_scaling(room, "NoTraffic", "AtMinimum", within_s=60)
        await asyncio.sleep(30)
        await steer(room, {"rate_per_s": 60.0})
        await _until_replicas(room, 4, within_s=20)


@pytest.mark.parametrize("name", case.names)
def test_robust(name: str, bed: Bed, fleet: None, request: pytest.FixtureRequest) -> None:
    case.judge(name, bed, request)


def test_the_operator_dies_in_the_middle_of_a_surge(bed: Bed, fleet: None) -> None:
    room = bed.room("dies-mid-surge")
    bed.run(room.enter())
    try:
        bed.run(_surging(room))
        bed.operator.kill()
        bed.operator.start()
        wait_until_led(bed)
        bed.run(_still_there(room))
        bed.run(bed.unharmed())
    finally:
        bed.run(room.leave())


async def _surging(room: Room) -> None:
    await _serving(room)
    await steer(room, {"rate_per_s": 60.0})
    await _until_replicas(room, 4)


async def _still_there(room: Room) -> None:
    """Nothing is given back by one that knows nothing yet, and it finds its way again."""
    before = await replicas(room)
    async with _watched(room, least=before):
        await knows(room)
        await asyncio.sleep(10)
