"""What a change of anything mirrored wakes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Literal

import msgspec
import pytest

from conch.api import names
from conch.api.v1alpha1 import Placement
from conch.kube import views
from conch.kube.reflector import Change
from conch.observe.dra import claimed
from conch.observe.types import Key
from conch.reconcile.queue import WorkQueue
from conch.wiring.changes import Changes
from conch.wiring.watches import watches
from tests.reconcile.builders import KEY, pod, state

_Kind = Literal["added", "modified", "deleted"]


class World:
    """The mirrors, told of changes by the test instead of a server."""

    def __init__(self, *namespaces: str) -> None:
        self.cluster = state()
        self.queue = WorkQueue()
        self.plans = 0
        made: list[Any] = watches(
            None,  # type: ignore[arg-type]  # nothing is sent: they do not run
            Changes(self.cluster, self.queue, self._replan, namespaces),
            namespaces,
        )
        self.mirrors = {mirror.name: mirror for mirror in made}

    def _replan(self) -> None:
        self.plans += 1

    async def tell(self, mirror: str, old: Any, new: Any) -> tuple[bool, set[Key]]:
        """Whether a change makes a new plan, and whom it wakes."""
        kind: _Kind = "added" if old is None else "deleted" if new is None else "modified"
        meta = (new or old)["metadata"] if isinstance(new or old, dict) else (new or old).metadata
        space, name = (
            (meta["namespace"], meta["name"])
            if isinstance(meta, dict)
            else (meta.namespace, meta.name)
        )
        before = self.plans
        self.mirrors[mirror]._on_change(Change(kind, space, name, old, new))
        woken = set()
        while len(self.queue):
            key = await self.queue.get()
            self.queue.done(key)
            woken.add(key)
        return self.plans > before, woken


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    yield made
    made.queue.close()


def with_status(old: views.Pod, **status: Any) -> views.Pod:
    return msgspec.structs.replace(old, status=msgspec.structs.replace(old.status, **status))


def node(gpus: str = "1", heartbeat: str = "") -> views.Node:
    beat = views.StatusCondition("Ready", "True", message=heartbeat)
    return views.Node(
        views.Metadata(name="n1"),
        status=views.NodeStatus(allocatable={"nvidia.com/gpu": gpus}, conditions=(beat,)),
    )


async def test_a_pod_of_ours_wakes_its_service(world: World) -> None:
    waiting = msgspec.structs.replace(pod(ready=False), spec=views.PodSpec())
    assert await world.tell("pods", None, waiting) == (True, {KEY})
    bound = pod(ready=False)
    assert await world.tell("pods", waiting, bound) == (True, {KEY})
    assert await world.tell("pods", bound, pod()) == (False, {KEY}), "ready: no unit more or less"
    assert await world.tell("pods", pod(), with_status(pod(), phase="Failed")) == (True, {KEY})
    assert await world.tell("pods", with_status(pod(), phase="Failed"), None) == (True, {KEY})
    assert world.cluster.pods(KEY) == ()


async def test_a_foreign_pod_takes_room_and_wakes_nobody(world: World) -> None:
    foreign = views.Pod(views.Metadata("p", "other", "u"), views.PodSpec("n1"))
    assert await world.tell("pods", None, foreign) == (True, set())
    assert await world.tell("pods", foreign, with_status(foreign, pod_ip="1.2.3.4")) == (
        False,
        set(),
    )
    assert await world.tell("pods", foreign, None) == (True, set())


async def test_pods_outside_the_served_namespaces_take_room_and_are_not_ours() -> None:
    world = World("served")
    assert await world.tell("pods", None, pod()) == (True, set())
    assert world.cluster.pods(KEY) == ()


async def test_a_nodes_heartbeat_is_no_news(world: World) -> None:
    assert await world.tell("nodes", None, node()) == (True, set())
    assert await world.tell("nodes", node(), node(heartbeat="now")) == (False, set())
    assert await world.tell("nodes", node(), node("2")) == (True, set())
    assert await world.tell("nodes", node("2"), None) == (True, set())


async def test_a_node_that_is_lost_wakes_who_is_on_it(world: World) -> None:
    on_n1 = pod()
    await world.tell("pods", None, on_n1)
    await world.tell("nodes", None, node())
    lost = msgspec.structs.replace(node(), status=views.NodeStatus(allocatable={}, conditions=()))
    assert await world.tell("nodes", node(), lost) == (True, {KEY})
    assert await world.tell("nodes", lost, None) == (True, set())  # told already


async def test_the_value_of_a_priority_class_decides_anew(world: World) -> None:
    wanted = Placement(priority_class_name="serving")
    serving = views.PriorityClass(views.Metadata(name="serving"), value=1000)
    default = views.PriorityClass(views.Metadata(name="usual"), value=7, global_default=True)
    assert world.cluster.priority(wanted) == 0
    assert await world.tell("priority classes", None, serving) == (True, set())
    await world.tell("priority classes", None, default)
    assert (world.cluster.priority(wanted), world.cluster.priority(Placement())) == (1000, 7)
    assert await world.tell("priority classes", serving, None) == (True, set())
    assert world.cluster.priority(wanted) == 0


async def test_devices_are_news_where_a_class_claims_them(world: World) -> None:
    spec = {"memory": "1Gi", "deviceClassName": "gpu"}
    meta = {"name": "mine", "resourceVersion": "1", "uid": "c1"}
    world.cluster.set_class({"metadata": meta, "spec": spec})
    world.cluster.inventory()
    published = views.ResourceSlice(
        views.Metadata(name="s1"),
        views.ResourceSliceSpec("gpu", views.ResourcePool("n1", 1, 1), "n1", (views.Device("0"),)),
    )
    results = (views.AllocatedDevice("gpu", "n1", "0"),)
    held = views.ResourceClaim(
        views.Metadata(name="c1", namespace="other", uid="claim-1"),
        views.ResourceClaimStatus(views.Allocation(views.AllocatedDevices(results))),
    )
    chosen = views.DeviceClass(views.Metadata(name="gpu"))
    await world.tell("nodes", None, node("0"))
    for mirror, new in (
        ("device classes", chosen),
        ("resource slices", published),
        ("resource claims", held),
    ):
        assert await world.tell(mirror, None, new) == (True, set())
    (seen,) = world.cluster.inventory().nodes
    resource = claimed("mine")
    assert (seen.allocatable[resource], seen.free(resource)) == (1, 0)
    for mirror, old in (
        ("resource claims", held),
        ("resource slices", published),
        ("device classes", chosen),
    ):
        assert await world.tell(mirror, old, None) == (True, set())
    assert resource not in world.cluster.inventory().nodes[0].allocatable


async def test_node_pools_and_claims_are_news(world: World) -> None:
    pool = views.NodePool(views.Metadata(name="gpu"))
    launched = (views.StatusCondition("Launched", "True"),)
    units: dict[str, str | int | float] = {"nvidia.com/gpu": "1"}
    claim = views.NodeClaim(
        views.Metadata(name="gpu-1"),
        status=views.NodeClaimStatus(allocatable=units, conditions=launched),
    )
    for mirror, new in (("node pools", pool), ("node claims", claim)):
        assert await world.tell(mirror, None, new) == (True, set())
    assert [one.name for one in world.cluster.inventory().nodes] == ["nodeclaim/gpu-1"]
    for mirror, old in (("node claims", claim), ("node pools", pool)):
        assert await world.tell(mirror, old, None) == (True, set())
    assert world.cluster.inventory().nodes == ()


async def test_a_child_wakes_its_service_when_it_changes_and_when_it_goes(world: World) -> None:
    deployment = {
        "kind": "Deployment",
        "metadata": {
            "name": KEY.name,
            "namespace": KEY.namespace,
            "uid": "d1",
            "resourceVersion": "5",
            "labels": names.service_labels(KEY.name),
        },
        "spec": {"replicas": 2},
    }
    assert await world.tell("deployments", None, deployment) == (False, {KEY})
    assert world.cluster.live_replicas(KEY) == 2
    assert await world.tell("deployments", deployment, None) == (False, {KEY})
    assert world.cluster.live_replicas(KEY) is None


async def test_a_volume_that_cannot_be_mounted_wakes_the_pods_service(world: World) -> None:
    world.cluster.set_pod(pod(ready=False))
    told = views.Event(
        views.Metadata("e", KEY.namespace),
        involved_object=views.ObjectReference(uid="uid-p1"),
        message="no such secret",
    )
    assert await world.tell("mount events", None, told) == (False, {KEY})
    assert await world.tell("mount events", told, None) == (False, set()), "it expired"


async def test_each_served_namespace_has_its_own_mirrors_of_children() -> None:
    everywhere, two = set(World().mirrors), set(World("a", "b").mirrors)
    assert everywhere >= {"pods", "nodes", "deployments", "mount events"}
    assert two >= {"pods", "nodes", "deployments in a", "deployments in b", "mount events in a"}
    assert "deployments" not in two
