"""A node that its provider takes away: replaced in time, counted back, and told meanwhile.

KWOK's nodes, each case on a GPU model of its own, so that none takes from another.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from conch.errors import NotFound
from conch.kube.transport import path
from conch.kube.views import Object
from e2e.placement import live
from e2e.testbed.gpus import GpuModel
from tests.e2e.bed import Bed
from tests.e2e.cases import Cases
from tests.e2e.room import LIMIT_S, Room, fake

pytestmark = [pytest.mark.node, pytest.mark.timeout(300)]

case = Cases()

A30 = GpuModel("NVIDIA-A30", 24576, "ampere", (8, 0), "a2-highgpu", 1, True)
A10 = GpuModel("NVIDIA-A10", 23028, "ampere", (8, 6), "a10-machine", 1)
A2 = GpuModel("NVIDIA-A2", 15356, "ampere", (8, 6), "a2-machine", 1)
# Far from the numbers that other tests' nodes have.
_FIRST = {A30: 9000, A10: 9100, A2: 9200}
SPOT = {"karpenter.sh/capacity-type": "spot"}
AWS = {"key": "aws-node-termination-handler/spot-itn", "value": "1", "effect": "NoSchedule"}
KARPENTER = {"key": "karpenter.sh/disrupted", "effect": "NoSchedule"}
# The target of the figure spot_replace_s, and what reading the world every 0.2 s adds to it.
_REPLACED_S = 2.5


@asynccontextmanager
async def _nodes(
    room: Room, model: GpuModel, count: int, spot: int = 0
) -> AsyncIterator[list[str]]:
    """So many nodes with one GPU each, ``spot`` of them on spot: the names of those that are."""
    bodies = [live.node(_FIRST[model] + number, model, 1) for number in range(count)]
    for body in bodies[:spot]:
        body["metadata"]["labels"] |= SPOT
    for body in bodies:
        await room.api.create(live.NODES, body)
    try:
        yield [body["metadata"]["name"] for body in bodies[:spot]]
    finally:
        for body in bodies:
            await _delete_node(room, body["metadata"]["name"])


async def _delete_node(room: Room, name: str) -> None:
    try:
        await room.api.delete(path("v1", "nodes", None, name))
    except NotFound:
        pass


async def _notice(room: Room, node: str, *taints: Object) -> None:
    room.now()
    await room.api.merge_patch(path("v1", "nodes", None, node), live.taints(*taints))


async def _has_pods(room: Room, count: int, ready: int, within_s: float) -> None:
    async def so_many() -> bool:
        pods = await room.pods()
        return len(pods) == count and sum(map(live.is_ready, pods)) == ready

    await room.until(so_many, within_s, room.nothing, f"{count} pods, {ready} ready")


@case
async def replaced_before_the_node_goes(room: Room) -> None:
    async with _nodes(room, A30, 3):
        await room.create("web", fake(["a30"], scaling={"mode": "Fixed", "replicas": 2}))
        await room.whole("web")
        victim = (await room.pods())[0]
        name, node = victim["metadata"]["name"], victim["spec"]["nodeName"]
        await _notice(room, node, AWS)
        await _has_pods(room, 3, 3, _REPLACED_S)
        says = (node, "2 of 2 replicas are ready elsewhere")
        await room.reports("web", "Available", "True", "NodeLeaving", *says)
        await room.reports("web", "Ready", "True", "Ready")
        eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
        await room.api.create(path("v1", "pods", room.name, name, "eviction"), eviction)
        await _delete_node(room, node)
        room.now()
        await _has_pods(room, 2, 2, LIMIT_S)
        await room.reports("web", "Available", "True", "Available")
        assert (await room.get("web", "Deployment"))["spec"]["replicas"] == 2
        assert node not in {p["spec"]["nodeName"] for p in await room.pods()}


@case
async def a_notice_without_room_and_withdrawn(room: Room) -> None:
    """What runs there goes on; who should stand in waits; and without the notice, nobody does."""
    async with _nodes(room, A10, 2):
        await room.create("web", fake(["a10"], scaling={"mode": "Fixed", "replicas": 2}))
        await room.whole("web")
        before = {p["metadata"]["uid"] for p in await room.pods()}
        node = (await room.pods())[0]["spec"]["nodeName"]
        await _notice(room, node, KARPENTER)
        await _has_pods(room, 3, 2, _REPLACED_S)
        await room.reports("web", "Ready", "True", "Ready")
        await _notice(room, node)
        await _has_pods(room, 2, 2, LIMIT_S)
        assert {p["metadata"]["uid"] for p in await room.pods()} == before
        await room.reports("web", "Available", "True", "Available")


@case
async def some_on_demand(room: Room) -> None:
    """So many off spot, more of them, and none: never fewer ready than asked for meanwhile."""
    body = fake(["a2"], scaling={"mode": "Fixed", "replicas": 3})
    body["placement"] |= {"capacityTypes": ["Spot", "OnDemand"], "minOnDemand": 1}
    async with _nodes(room, A2, 7, spot=4) as spot:
        await room.create("web", body)
        await _lie(room, spot, on_spot=2, on_demand=1, within_s=LIMIT_S)
        await room.ready("web")
        assert (await room.get("web", "Deployment"))["spec"]["replicas"] == 2
        await room.change("web", {"spec": {"placement": {"minOnDemand": 2}}})
        await _lie(room, spot, on_spot=1, on_demand=2, at_least=3, within_s=LIMIT_S)
        await room.ready("web")
        await room.change("web", {"spec": {"placement": {"minOnDemand": None}}})
        await _lie(room, spot, on_spot=3, on_demand=0, at_least=3, within_s=LIMIT_S)
        await room.gone("web-on-demand", "Deployment")
        await room.ready("web")


async def _lie(
    room: Room, spot: list[str], *, on_spot: int, on_demand: int, within_s: float, at_least: int = 0
) -> None:
    """Wait until so many ready pods lie on nodes of either kind."""

    async def they_do() -> bool:
        pods = [pod for pod in await room.pods() if live.is_ready(pod)]
        assert len(pods) >= at_least, f"{len(pods)} ready"
        there = sum(pod["spec"]["nodeName"] in spot for pod in pods)
        return (there, len(pods) - there) == (on_spot, on_demand)

    what = f"{on_spot} on spot and {on_demand} on demand"
    await room.until(they_do, within_s, room.nothing, what)


@pytest.mark.parametrize("name", case.names)
def test_spot(name: str, bed: Bed, request: pytest.FixtureRequest) -> None:
    case.judge(name, bed, request)
