"""The scaler live, while what it is told is wrong and while there is not enough of something.

KWOK plays the pods and the fleet of fake servers answers for them. Whatever happens: never below
the minimum, never above the maximum, and few changes. What it costs in late requests is seen in
the twin (``tests/twin/test_robust.py``).
"""

from __future__ import annotations

import asyncio

import pytest

from tests.e2e.bed import Bed
from tests.e2e.cases import Cases
from tests.e2e.fleet import knows, replicas, steer, steer_at
from tests.e2e.room import START_S, Room, fake
from tests.e2e.surge import LEAST, MOST, serving, until_replicas, until_scaling, watched

pytestmark = [pytest.mark.node, pytest.mark.timeout(600)]

case = Cases()


@case
async def one_of_three_lies_tenfold(room: Room) -> None:
    await serving(room, pods=3, most=12)
    async with watched(room, least=3, most=12) as seen:
        liar = (await room.pods())[0]
        await steer(room, {"fault": "lies"}, [liar])
        await asyncio.sleep(10)
        await steer(room, {"fault": "none"})
        await asyncio.sleep(5)
    assert max(seen.replicas) <= 8  # what one pod can do at all is believed of it, not 100/s


@case
async def a_pod_whose_answers_are_anothers(room: Room) -> None:
    """Its address answers as its neighbour, as a busy stranger, and as itself again."""
    await serving(room, pods=3, most=12)
    one, other, _ = await room.pods()
    stranger = "10.255.255.1"
    async with watched(room, least=3, most=12) as seen:
        await steer_at(room, {stranger: {"rate_per_s": 45.0}})
        for answers_as in (other["status"]["podIP"], stranger, "", stranger, ""):
            await steer(room, {"answers_as": answers_as}, [one])
            await asyncio.sleep(5)
    assert max(seen.replicas) <= 5  # what one pod can do is believed of it
    await room.reports("web", "Ready", "True", "Ready")


@case
async def two_pods_that_answer_for_each_other(room: Room) -> None:
    """Swapped mid-way, with counters that are far apart: that is no demand, and no end of it."""
    await serving(room)
    one, other = await room.pods()
    async with watched(room) as seen:
        await steer(room, {"counters": "reset"}, [one])
        await asyncio.sleep(5)
        for _ in range(3):
            await steer(room, {"answers_as": other["status"]["podIP"]}, [one])
            await steer(room, {"answers_as": one["status"]["podIP"]}, [other])
            await asyncio.sleep(5)
            await steer(room, {"answers_as": ""}, [one, other])
            await asyncio.sleep(5)
    assert seen.replicas == [LEAST]


@case
async def counters_that_stand_still(room: Room) -> None:
    """Silence is believed after a minute only: nothing is given back that is needed."""
    await serving(room, pods=3)
    await steer(room, {"rate_per_s": 32.0})
    async with watched(room, least=3):
        await asyncio.sleep(10)
        await room.change("web", {"spec": {"scaling": {"minReplicas": 1}}})
        await asyncio.sleep(5)
        await steer(room, {"fault": "frozen"})
        await asyncio.sleep(30)
        await steer(room, {"fault": "none"})
        await asyncio.sleep(5)


@case
async def all_lie_tenfold(room: Room) -> None:
    await serving(room)
    async with watched(room):
        await steer(room, {"fault": "lies"})
        await asyncio.sleep(10)
        await steer(room, {"fault": "none"})
        await asyncio.sleep(10)
    await room.reports("web", "Ready", "True", "Ready")


@case
async def more_than_the_maximum_carries(room: Room) -> None:
    await serving(room)
    async with watched(room) as seen:
        await steer(room, {"rate_per_s": 300.0})
        await until_scaling(room, "AtMaximum")
        await asyncio.sleep(5)
    assert seen.replicas[-1] == MOST


@case
async def a_target_that_nobody_can_keep(room: Room) -> None:
    await serving(room, objectives={"latency": {"target": "20ms"}})
    async with watched(room) as seen:
        await until_scaling(room, "TargetUnreachable")
        await asyncio.sleep(5)
    assert seen.replicas == [LEAST]  # 20 requests/s of the 100 that they complete


@case
async def more_than_there_are_accelerators(room: Room) -> None:
    """Four T4s: asked for are those, and no pod waits for a fifth."""
    placement = fake(["t4"])["placement"]
    await serving(room, placement=placement)
    async with watched(room, most=4) as seen:
        await steer(room, {"rate_per_s": 300.0})
        await until_scaling(room, "NoRoom")
        await asyncio.sleep(5)
    assert seen.replicas[-1] == 4
    assert len(await room.pods()) == 4


@case
async def servers_that_become_slower(room: Room) -> None:
    """A batch takes three times as long from one moment on: more replicas for the same requests."""
    await serving(room)
    await steer(room, {"rate_per_s": 15.0})
    async with watched(room):
        await asyncio.sleep(20)
        assert await replicas(room) == LEAST
        await steer(room, {"base_ms": 120.0, "per_item_ms": 30.0})
        await until_replicas(room, LEAST + 1, within_s=120)


@case
async def two_models_of_one_server(room: Room) -> None:
    """What two pods carry of one model they do not carry of two."""
    source = {"uri": "image:///opt/models/resnet"}
    models = [{"name": "m", "source": source}, {"name": "n", "source": source}]
    scaling = {"mode": "Latency", "minReplicas": LEAST, "maxReplicas": MOST}
    await room.create("web", fake(models=models, scaling=scaling))

    async def both() -> bool:
        pods = await room.pods()
        return len(pods) == LEAST and all("podIP" in p["status"] for p in pods)

    await room.until(both, START_S, room.nothing, "two pods run")
    await steer(room, {"models": ["m", "n"]})
    await room.whole("web")
    async with watched(room):
        await steer(room, {"rate_per_s": 24.0})
        await knows(room)
        await until_replicas(room, LEAST + 1)


@case
async def silence_and_then_a_flash(room: Room) -> None:
    await serving(room)
    async with watched(room):
        await steer(room, {"rate_per_s": 0.0})
        # Of a few requests the last ones count for long: 0.1/s may be left after a minute.
        await until_scaling(room, "NoTraffic", "AtMinimum", within_s=60)
        await asyncio.sleep(30)
        await steer(room, {"rate_per_s": 60.0})
        await until_replicas(room, 4, within_s=20)


@pytest.mark.parametrize("name", case.names)
def test_robust(name: str, bed: Bed, fleet: None, request: pytest.FixtureRequest) -> None:
    case.judge(name, bed, request)
