"""No room: told with the numbers of every class, and placed as soon as there is some.

KWOK's nodes play the GPUs; each case has a model of its own, so that none takes from another.
"""

from __future__ import annotations

import asyncio

import pytest

from tests.e2e.bed import Bed
from tests.e2e.cases import Cases
from tests.e2e.room import LIMIT_S, Room, condition, fake

pytestmark = [pytest.mark.node, pytest.mark.timeout(600)]

case = Cases()

# One node each: H100 ×8, A100 ×8, L40S ×8, L4 ×4, T4 ×4; number 5 is the next H100.
_NEXT_H100 = 5


@case
async def no_capacity_until_a_node_comes(room: Room) -> None:
    await room.create("first", fake(["h100-80gb-hbm3"], count=8))
    await room.ready("first")
    await room.create("second", fake(["h100-80gb-hbm3"], count=8))
    await room.fails("second", "NoCapacity")
    await room.reports("second", "Placed", "False", "NoCapacity", "h100-80gb-hbm3", "0 of 8")
    assert [o["metadata"]["name"] for o in await room.all("Deployment")] == ["first"]
    await asyncio.to_thread(room.cluster.add_kwok_nodes, 1, _NEXT_H100)
    room.now()
    await room.reports("second", "Placed", "True", "Placed", within_s=LIMIT_S)
    await room.ready("second")


@case
async def two_compete_for_the_last(room: Room) -> None:
    body = fake(["t4"], count=4)
    await asyncio.gather(room.create("one", body), room.create("two", body))

    async def decided() -> bool:
        both = [condition(await room.get(n), "Ready") for n in ("one", "two")]
        return {c["reason"] for c in both if c is not None} == {"Ready", "NoCapacity"}

    await room.until(decided, 30, room.nothing, "one has it, the other is told")
    assert len(await room.pods()) == 1
    ready = condition(await room.get("one"), "Ready")
    winner, loser = ("one", "two") if ready and ready["status"] == "True" else ("two", "one")
    serving = await room.pods()
    await room.change(loser, {"metadata": {"labels": {"looked": "at"}}})
    assert await room.pods() == serving
    await room.delete(winner)
    await room.ready(loser)


@case
async def more_replicas_than_room(room: Room) -> None:
    """What fits serves; the rest waits and is told, and nothing is taken down."""
    await room.create("web", fake(["a100-sxm4-80gb"], count=4))
    await room.ready("web")
    await room.change("web", {"spec": {"scaling": {"mode": "Fixed", "replicas": 3}}})

    async def two_of_three() -> bool:
        status = (await room.get("web"))["status"]
        return bool(status["readyReplicas"] == 2 and status["desiredReplicas"] == 3)

    await room.until(two_of_three, 30, room.nothing, "two of three serve")
    await room.reports("web", "Available", "True", "Unschedulable", "2 of 3", "Insufficient")
    await room.change("web", {"spec": {"scaling": {"mode": "Fixed", "replicas": 2}}})
    await room.ready("web")
    await room.reports("web", "Available", "True", "Available")


@case
async def quota_refuses_pods(room: Room) -> None:
    await room.add("ResourceQuota", "none", {"spec": {"hard": {"pods": "0"}}})
    await room.create("web", fake(["l40s"]))
    await room.fails("web", "ApplyRefused", "exceeded quota: none")
    await room.delete("none", "ResourceQuota")
    await room.ready("web")


@case
async def quota_refuses_a_child(room: Room) -> None:
    await room.add("ResourceQuota", "none", {"spec": {"hard": {"count/services": "0"}}})
    await room.create("web", fake(["l40s"]))
    await room.fails("web", "ApplyRefused", "exceeded quota: none")
    await room.delete("none", "ResourceQuota")
    await room.ready("web")


@pytest.mark.parametrize("name", case.names)
def test_capacity(name: str, bed: Bed, request: pytest.FixtureRequest) -> None:
    case.judge(name, bed, request)
