"""A service and a class without nodes, told to the placement loop event by event."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import pytest

from conch.api import names
from conch.api.conditions import Reason
from conch.kube import views
from conch.observe.state import ClusterState
from conch.observe.types import Assignment
from conch.reconcile import placement
from conch.reconcile.patience import BINDING_S
from conch.reconcile.placement import PlacementLoop
from conch.reconcile.queue import WorkQueue
from conch.settings import Settings
from conch.telemetry.catalog import Metrics
from tests.reconcile.builders import KEY, NOW, build, pod, raw

GPU = "nvidia.com/gpu"
POOL = "karpenter.sh/nodepool"
WAIT_S = 600.0
MADE_S = datetime.fromisoformat(NOW).timestamp()


def node(name: str, pool: str, gpus: int, *, ready: bool = True) -> views.Node:
    return views.Node(
        metadata=views.Metadata(name=name, labels={POOL: pool}),
        status=views.NodeStatus(
            allocatable={"cpu": "64", "memory": "256Gi", GPU: str(gpus)},
            conditions=(views.StatusCondition("Ready", "True" if ready else "False"),),
        ),
    )


def accelerator(name: str, **spec: Any) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "uid": f"uid-{name}", "resourceVersion": "1"},
        "spec": {"nodeSelector": {POOL: name}, "memory": "24Gi", **spec},
    }


def waiting(name: str, on: str, bound_to: str = "") -> views.Pod:
    """A pod of the service on a class; a GPU each."""
    made = pod(name, ready=bool(bound_to))
    labels = {**made.metadata.labels, names.LABEL_ACCELERATOR: on}
    needs = views.ResourceRequirements(requests={GPU: "1"})
    return msgspec.structs.replace(
        made,
        metadata=msgspec.structs.replace(made.metadata, labels=labels),
        spec=views.PodSpec(node_name=bound_to, containers=(views.Container(resources=needs),)),
    )


@dataclass
class World:
    """One service of two replicas that prefers l4, of which there is no node, to t4."""

    state: ClusterState
    loop: PlacementLoop
    set_clock: Callable[[float], None]

    async def at(self, after_s: float) -> Assignment:
        """What the loop decides so long after the pods were made."""
        self.set_clock(MADE_S + after_s)
        await self.loop.replan()
        return self.state.assignments[KEY]

    def follow(self) -> None:
        """The Deployment, as a reconcile makes it of what was decided; its pods find no node."""
        build(self.state, replicas=2)
        kind = self.state.assignments[KEY].kind
        assert kind is not None
        for number in range(2):
            self.state.set_pod(waiting(f"p{number}", kind.name))

    def bind(self, node_name: str) -> None:
        for number in range(2):
            self.run(f"p{number}", node_name)

    def run(self, name: str, node_name: str) -> None:
        """A pod is bound."""
        bound = waiting(name, "l4", node_name)
        self.state.set_pod(bound)
        self.state.inventory_builder.upsert_pod(bound)

    def node(self, *args: Any, **more: Any) -> None:
        self.state.inventory_builder.upsert_node(node(*args, **more))


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    state, queue = ClusterState(), WorkQueue()
    state.set_class(
        accelerator("l4", provisioning={"maxNodes": 1, "unitsPerNode": 4, "waitFor": "10m"})
    )
    state.set_class(accelerator("t4"))
    state.inventory_builder.upsert_node(node("t", "t4", 4))
    scaling = {"mode": "Fixed", "replicas": 2}
    classes = {"accelerators": {"classes": ["l4", "t4"]}}
    state.set_service(raw({"placement": classes, "scaling": scaling}))
    loop = PlacementLoop(state, queue, Settings(placement_window_s=0.001), Metrics())

    def set_clock(now_s: float) -> None:
        monkeypatch.setattr(placement, "_epoch_s", lambda: now_s)

    yield World(state, loop, set_clock)
    queue.close()


def on(found: Assignment) -> tuple[str, Reason]:
    return (found.kind.name if found.kind else ""), found.reason


async def test_a_node_comes_and_its_units_later(world: World) -> None:
    assert on(await world.at(0)) == ("l4", Reason.WAITING_FOR_NODE)
    world.follow()
    told = await world.at(300)
    assert on(told) == ("l4", Reason.WAITING_FOR_NODE)
    assert told.message.endswith("2 replicas wait up to 10 min for a node: "
                                 "0 nodes, up to 1 can be added")  # fmt: skip
    world.node("new", "l4", 0, ready=False)
    told = await world.at(WAIT_S - 5)
    assert told.message.endswith(": 0 nodes, 1 starting")
    # Past the deadline: the node is there, and one of another class would be one too many.
    assert on(await world.at(WAIT_S + 100)) == ("l4", Reason.WAITING_FOR_NODE)
    world.node("new", "l4", 4)
    assert on(await world.at(WAIT_S + 100 + BINDING_S / 2)) == ("l4", Reason.PLACED)
    world.bind("new")
    assert on(await world.at(WAIT_S * 10)) == ("l4", Reason.PLACED)


async def test_no_node_comes(world: World) -> None:
    await world.at(0)
    world.follow()
    assert on(await world.at(WAIT_S - 1)) == ("l4", Reason.WAITING_FOR_NODE)
    found = await world.at(WAIT_S)
    assert on(found) == ("t4", Reason.PLACED)
    assert any(v.message.startswith("l4: left alone for now") for v in found.verdicts)


async def test_a_device_plugin_that_never_comes_up(world: World) -> None:
    await world.at(0)
    world.follow()
    world.node("new", "l4", 0)
    assert on(await world.at(60)) == ("l4", Reason.WAITING_FOR_NODE)
    assert on(await world.at(60 + WAIT_S)) == ("l4", Reason.WAITING_FOR_NODE)
    assert on(await world.at(60 + WAIT_S + BINDING_S)) == ("t4", Reason.PLACED)


async def test_what_grows_waits_for_its_next_node(world: World) -> None:
    """Units to come suffice: what runs is not rolled over to a class that has room now."""
    await world.at(0)
    world.follow()
    world.node("new", "l4", 1)
    world.run("p0", "new")
    world.state.set_class(
        accelerator("l4", provisioning={"maxNodes": 2, "unitsPerNode": 1, "waitFor": "10m"})
        | {"metadata": {"name": "l4", "uid": "uid-l4", "resourceVersion": "2"}}
    )
    assert on(await world.at(60)) == ("l4", Reason.WAITING_FOR_NODE)
    assert on(await world.at(WAIT_S - 1)) == ("l4", Reason.WAITING_FOR_NODE)
    # Then the one that waited goes where there is room, and what runs stays.
    found = await world.at(WAIT_S + 1)
    assert on(found) == ("l4", Reason.PLACED)
    assert [(part.kind.name, part.replicas) for part in found.parts] == [("l4", 1), ("t4", 1)]


async def test_it_grows_into_a_class_without_nodes_and_comes_back(world: World) -> None:
    """One replica runs where there is room for no more; the node that would hold both never comes.

    What runs stays all the while: the rollout ends nothing before its successor is ready.
    """
    state = world.state
    world.node("t", "t4", 1)
    classes = {"accelerators": {"classes": ["t4", "l4"]}}
    scaling = {"mode": "Fixed", "replicas": 2}
    state.set_service(raw({"placement": classes, "scaling": scaling}, resourceVersion="11"))
    state.assignments[KEY] = Assignment(
        next(k for k in state.inventory().kinds if k.name == "t4"), Reason.PLACED, ""
    )
    build(state, replicas=2)
    running = waiting("p0", "t4", "t")
    state.set_pod(running)
    state.inventory_builder.upsert_pod(running)
    state.set_pod(waiting("p1", "t4"))
    assert on(await world.at(1)) == ("t4", Reason.PLACED)
    assert on(await world.at(10)) == ("l4", Reason.WAITING_FOR_NODE)
    build(state, replicas=2)
    state.remove_pod("uid-p1")
    state.set_pod(waiting("p2", "l4"))
    assert on(await world.at(20)) == ("l4", Reason.WAITING_FOR_NODE)
    assert on(await world.at(WAIT_S - 1)) == ("l4", Reason.WAITING_FOR_NODE)
    found = await world.at(WAIT_S + 1)
    assert on(found) == ("t4", Reason.PLACED)
    assert "no room for 1 more replica" in found.message
    # And stays, although a replica waits there: the other class has had its chance.
    build(state, replicas=2)
    state.remove_pod("uid-p2")
    state.set_pod(waiting("p3", "t4"))
    assert on(await world.at(WAIT_S + 60)) == ("t4", Reason.PLACED)


async def test_karpenter_tells_what_may_be_added_and_what_comes(world: World) -> None:
    """A NodePool in place of provisioning; a NodeClaim before there is a Node."""
    world.state.set_class(accelerator("l4"))
    builder = world.state.inventory_builder
    made_of = {"requirements": [], "taints": []}
    pool = {"metadata": {"name": "l4"}, "spec": {"template": {"spec": made_of}, "limits": {GPU: 2}}}
    builder.node_pools.set_pool(msgspec.convert(pool, views.NodePool))
    builder.books_changed()
    told = await world.at(0)
    assert on(told) == ("l4", Reason.WAITING_FOR_NODE)
    assert ": 0 nodes, up to 2 can be added" in told.message
    world.follow()
    claim = {
        "metadata": {"name": "l4-1", "labels": {POOL: "l4"}},
        "status": {
            "allocatable": {GPU: 2},
            "conditions": [{"type": "Launched", "status": "True"}],
        },
    }
    builder.node_pools.set_claim(msgspec.convert(claim, views.NodeClaim))
    full = {**pool, "status": {"resources": {GPU: 2}}}
    builder.node_pools.set_pool(msgspec.convert(full, views.NodePool))
    builder.books_changed()
    told = await world.at(WAIT_S - 5)
    assert ": 0 nodes, 1 starting" in told.message
    # Past the deadline it is still on its way, and no node of another class is asked for.
    assert on(await world.at(WAIT_S + 100)) == ("l4", Reason.WAITING_FOR_NODE)
