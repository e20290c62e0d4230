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
# Far from the numbers that other tests' nodes have.
_FIRST = {A30: 9000, A10: 9100}
AWS = {"key": "aws-node-termination-handler/spot-itn", "value": "1", "effect": "NoSchedule"}
KARPENTER = {"key": "karpenter.sh/disrupted", "effect": "NoSchedule"}
# The target of the figure spot_replace_s, and what reading the world every 0.2 s adds to it.
_REPLACED_S = 2.5


@asynccontextmanager
async def _nodes(room: Room, model: GpuModel, count: int) -> AsyncIterator[None]:
    """So many nodes with one GPU each."""
    bodies = [live.node(_FIRST[model] + number, model, 1) for number in range(count)]
    for body in bodies:
        await room.api.create(live.NODES, body)
    try:
        yield
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
        await room.ready("web")
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
        await room.ready("web")
        before = {p["metadata"]["uid"] for p in await room.pods()}
        node = (await room.pods())[0]["spec"]["nodeName"]
        await _notice(room, node, KARPENTER)
        await _has_pods(room, 3, 2, _REPLACED_S)
        await room.reports("web", "Ready", "True", "Ready")
        await _notice(room, node)
        await _has_pods(room, 2, 2, LIMIT_S)
        assert {p["metadata"]["uid"] for p in await room.pods()} == before
        await room.reports("web", "Available", "True", "Available")


@pytest.mark.parametrize("name", case.names)
def test_spot(name: str, bed: Bed, request: pytest.FixtureRequest) -> None:
    case.judge(name, bed, request)
