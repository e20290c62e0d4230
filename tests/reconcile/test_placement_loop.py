"""The placement loop: who is asked for, who is woken, and that one defect costs nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterator, Iterable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from conch.api import names
from conch.api.conditions import Reason
from conch.kube import views
from conch.observe.state import ClusterState
from conch.observe.types import Assignment, Inventory, Key, Part, PlacementRequest
from conch.placement import plan
from conch.reconcile import placement
from conch.reconcile.placement import PlacementLoop
from conch.reconcile.queue import WorkQueue
from conch.reconcile.relief import ENDING_S, Planning, Relief
from conch.settings import Settings
from conch.telemetry.catalog import Metrics
from tests.reconcile.builders import KEY, L4, MOMENT, NOW, build, pod, raw


def node(gpus: int = 4) -> views.Node:
    return views.Node(
        metadata=views.Metadata(
            name="n1",
            labels={"nvidia.com/gpu.product": "NVIDIA-L4", "nvidia.com/gpu.memory": "23034"},
        ),
        status=views.NodeStatus(
            allocatable={"cpu": "64", "memory": "256Gi", "nvidia.com/gpu": str(gpus)},
            conditions=(views.StatusCondition("Ready", "True"),),
        ),
    )


def service(name: str, **spec: Any) -> dict[str, Any]:
    return raw(spec, name=name, uid=f"uid-{name}", resourceVersion="10")


def plans_with(monkeypatch: pytest.MonkeyPatch, planning: Planning) -> None:
    """Have the loop plan with that: as a rule, and for one service alone."""
    monkeypatch.setattr(placement, "plan", planning)
    monkeypatch.setattr(placement.Planner, "plan", lambda _, *asked: planning(*asked))


def key(name: str) -> Key:
    return Key(KEY.namespace, name)


@pytest.fixture
def cluster() -> ClusterState:
    state = ClusterState()
    state.inventory_builder.upsert_node(node())
    return state


@pytest.fixture
async def queue() -> AsyncIterator[WorkQueue]:  # async: timers need the loop
    made = WorkQueue()
    yield made
    made.close()


def loop_of(cluster: ClusterState, queue: WorkQueue) -> PlacementLoop:
    return PlacementLoop(cluster, queue, Settings(placement_window_s=0.001), Metrics())


async def woken(queue: WorkQueue) -> set[str]:
    found = set()
    while len(queue):
        one = await queue.get()
        queue.done(one)
        found.add(one.name)
    return found


async def test_a_new_service_is_woken_once(cluster: ClusterState, queue: WorkQueue) -> None:
    loop = loop_of(cluster, queue)
    cluster.set_service(service("a"))
    await loop.replan()
    assert cluster.assignments[key("a")].reason is Reason.PLACED
    assert await woken(queue) == {"a"}
    await loop.replan()
    assert await woken(queue) == set()


async def test_what_is_gone_or_going_has_no_assignment(
    cluster: ClusterState, queue: WorkQueue
) -> None:
    loop = loop_of(cluster, queue)
    cluster.set_service(service("a"))
    cluster.set_service(service("b"))
    await loop.replan()
    going = service("b")
    going["metadata"] |= {"deletionTimestamp": "2026-01-01T00:00:00Z", "resourceVersion": "11"}
    cluster.set_service(going)
    cluster.remove_service(key("a"), "uid-a")
    await loop.replan()
    assert cluster.assignments == {}


async def test_a_promise_holds_until_there_is_a_deployment(queue: WorkQueue) -> None:
    cluster = ClusterState()
    cluster.inventory_builder.upsert_node(node(gpus=1))
    loop = loop_of(cluster, queue)
    cluster.set_service(service("b"))
    await loop.replan()
    cluster.set_service(service("a"))  # of the same second, and first by its uid
    await loop.replan()
    assert cluster.assignments[key("b")].reason is Reason.PLACED
    assert cluster.assignments[key("a")].reason is Reason.NO_CAPACITY


async def test_pods_with_a_node_are_not_asked_for_again(
    cluster: ClusterState, queue: WorkQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.set_service(raw())
    cluster.assignments[KEY] = Assignment(L4, Reason.PLACED, "")
    build(cluster, replicas=3)
    labels = {names.LABEL_ACCELERATOR: "l4"}
    for number, phase in enumerate(("Running", "Failed")):
        made = pod(f"p{number}", phase=phase)
        made.metadata.labels.update(labels)
        cluster.set_pod(made)
    asked: list[PlacementRequest] = []

    def listen(inventory: Inventory, requests: Iterable[PlacementRequest]) -> Any:
        asked.extend(requests)
        return plan(inventory, asked)

    plans_with(monkeypatch, listen)
    await loop_of(cluster, queue).replan()
    assert [(r.bound, r.unbound, r.current) for r in asked] == [(1, 2, "l4")]


@pytest.mark.parametrize(
    ("on", "after_s", "missing"),
    [("n1", 0, 0), ("n1", ENDING_S - 1, 0), ("n1", ENDING_S, 1), ("gone", 0, 1)],
    ids=["its successor's", "not yet over", "it does not end", "with its node"],
)
async def test_a_place_that_nobody_gets_is_not_counted(
    cluster: ClusterState,
    queue: WorkQueue,
    monkeypatch: pytest.MonkeyPatch,
    on: str,
    after_s: float,
    missing: int,
) -> None:
    """A pod that ends holds its place for its successor, if that can ever have it."""
    lost = msgspec.structs.replace(node(), metadata=views.Metadata(name="gone"))
    cluster.inventory_builder.upsert_node(lost)
    cluster.inventory_builder.remove_node("gone")
    cluster.set_service(raw({"scaling": {"mode": "Fixed", "replicas": 1}}))
    cluster.assignments[KEY] = Assignment(L4, Reason.PLACED, "")
    build(cluster)
    ends = pod("p1")
    ends.metadata.labels[names.LABEL_ACCELERATOR] = "l4"
    meta = msgspec.structs.replace(ends.metadata, deletion_timestamp=NOW)
    spec = views.PodSpec(node_name=on)
    cluster.set_pod(msgspec.structs.replace(ends, metadata=meta, spec=spec))
    monkeypatch.setattr(placement, "_epoch_s", lambda: MOMENT.timestamp() + after_s)
    asked: list[PlacementRequest] = []

    def listen(inventory: Inventory, requests: Iterable[PlacementRequest]) -> Any:
        asked.extend(requests)
        return plan(inventory, asked)

    plans_with(monkeypatch, listen)
    await loop_of(cluster, queue).replan()
    assert [(r.bound, r.unbound) for r in asked] == [(1 - missing, missing)]


async def test_a_service_that_cannot_be_asked_for_is_told_and_hurts_no_other(
    cluster: ClusterState, queue: WorkQueue, caplog: pytest.LogCaptureFixture
) -> None:
    loop = loop_of(cluster, queue)
    cluster.set_service(service("bad", resources={"memory": "much"}))
    cluster.set_service(service("good"))
    for _ in range(2):
        await loop.replan()
    assert cluster.assignments[key("good")].kind is not None
    assert cluster.assignments[key("bad")].reason is Reason.STEP_ERROR
    assert await woken(queue) == {"bad", "good"}
    assert len(caplog.records) == 1, "a defect that stays is logged once"


async def test_a_service_the_planner_fails_on_keeps_its_class_and_hurts_no_other(
    cluster: ClusterState, queue: WorkQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = loop_of(cluster, queue)
    cluster.set_service(service("bad"))
    await loop.replan()
    before = cluster.assignments[key("bad")]

    def fail(inventory: Inventory, requests: Iterable[PlacementRequest]) -> Any:
        asked = list(requests)
        if any(r.key.name == "bad" for r in asked):
            raise ZeroDivisionError
        return plan(inventory, asked)

    plans_with(monkeypatch, fail)
    cluster.set_service(service("good"))
    await loop.replan()
    assert cluster.assignments[key("bad")] is before
    assert cluster.assignments[key("good")].kind is not None


async def test_all_that_cannot_be_planned_for_are_found(
    cluster: ClusterState, queue: WorkQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = {"s03", "s11", "s12"}

    def fail(inventory: Inventory, requests: Iterable[PlacementRequest]) -> Any:
        asked = list(requests)
        if any(r.key.name in bad for r in asked):
            raise ZeroDivisionError
        return plan(inventory, asked)

    for number in range(20):
        cluster.set_service(service(f"s{number:02}"))
    plans_with(monkeypatch, fail)
    await loop_of(cluster, queue).replan()
    told = {k.name for k, a in cluster.assignments.items() if a.reason is Reason.STEP_ERROR}
    assert told == bad
    assert len(cluster.assignments) == 20


async def test_others_have_their_turn_while_a_plan_is_made(
    cluster: ClusterState, queue: WorkQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And a service that is deleted meanwhile is not brought back by the plan."""
    planning, go_on = asyncio.Event(), threading.Event()
    running = asyncio.get_running_loop()

    def wait(inventory: Inventory, requests: Iterable[PlacementRequest]) -> Any:
        running.call_soon_threadsafe(planning.set)
        assert go_on.wait(5)
        return plan(inventory, requests)

    plans_with(monkeypatch, wait)
    for name in ("a", "b"):
        cluster.set_service(service(name))
    task = asyncio.create_task(loop_of(cluster, queue).replan())
    async with asyncio.timeout(5):
        await planning.wait()
    cluster.remove_service(key("a"), cluster.services[key("a")].raw["metadata"]["uid"])
    go_on.set()
    await task
    assert set(cluster.assignments) == {key("b")}


async def test_when_no_plan_can_be_made_all_stays(
    cluster: ClusterState,
    queue: WorkQueue,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    loop = loop_of(cluster, queue)
    cluster.set_service(service("a"))
    cluster.set_service(service("b"))
    await loop.replan()
    before = dict(cluster.assignments)

    def fail(inventory: Inventory, requests: Iterable[PlacementRequest]) -> Any:
        asked = list(requests)
        if len(asked) > 1:
            raise ZeroDivisionError
        return plan(inventory, asked)

    plans_with(monkeypatch, fail)
    await loop.replan()
    assert cluster.assignments == before
    assert "everything stays" in caplog.text


def taken(gpus: int) -> views.Pod:
    """Somebody else's pod on the node."""
    needs = views.ResourceRequirements(requests={"nvidia.com/gpu": str(gpus)})
    return views.Pod(
        metadata=views.Metadata(name="foreign", namespace="other", uid=f"foreign-{gpus}"),
        spec=views.PodSpec(node_name="n1", containers=(views.Container(resources=needs),)),
    )


async def test_numbers_in_a_message_wake_nobody_at_once(
    cluster: ClusterState, queue: WorkQueue
) -> None:
    loop = loop_of(cluster, queue)
    cluster.inventory_builder.upsert_pod(taken(3))
    cluster.set_service(service("a", placement={"accelerators": {"count": 2}}))
    await loop.replan()
    before = cluster.assignments[key("a")]
    assert await woken(queue) == {"a"}
    cluster.inventory_builder.upsert_pod(taken(1))
    await loop.replan()
    after = cluster.assignments[key("a")]
    assert before.reason is after.reason is Reason.NO_CAPACITY
    assert before.message != after.message
    assert await woken(queue) == set()


async def test_no_further_deployment_takes_another_services_name(queue: WorkQueue) -> None:
    cluster = ClusterState()
    for name, gpus in (("l4", 3), ("t4", 3)):
        one = node(gpus)
        labels = {"nvidia.com/gpu.product": f"NVIDIA-{name.upper()}"}
        meta = msgspec.structs.replace(one.metadata, name=name, labels=labels)
        cluster.inventory_builder.upsert_node(msgspec.structs.replace(one, metadata=meta))
    six = {"scaling": {"mode": "Fixed", "replicas": 6}}
    cluster.set_service(service("big", **six))
    loop = loop_of(cluster, queue)
    await loop.replan()
    parts = cluster.assignments[key("big")].parts
    assert {part.kind.name: part.replicas for part in parts} == {"l4": 3, "t4": 3}
    further = next(part.kind.name for part in parts if not part.main)
    none = {"scaling": {"mode": "Fixed", "replicas": 0}}
    cluster.set_service(service(f"big-on-{further}", **none))
    await loop.replan()
    assert cluster.assignments[key("big")].parts == ()


async def test_another_number_on_another_class_wakes_the_service(
    cluster: ClusterState, queue: WorkQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    t4 = replace(L4, name="t4")
    answer = Assignment(L4, Reason.PLACED, "2 on l4", 2)
    plans_with(monkeypatch, lambda _, requests: {r.key: answer for r in requests})
    loop = loop_of(cluster, queue)
    cluster.set_service(service("web"))
    await loop.replan()
    await woken(queue)
    for beside in (1, 2):
        parts = (Part(L4, 2, main=True), Part(t4, beside))
        answer = replace(answer, parts=parts)
        await loop.replan()
        assert await woken(queue) == {"web"}, "it must not wait for the next retelling"
    answer = replace(answer, parts=(parts[0], replace(parts[1], room=7)))
    await loop.replan()
    assert await woken(queue) == set()


async def test_room_at_a_site_that_lacks_its_minimum_wakes_the_service(queue: WorkQueue) -> None:
    cluster = ClusterState()
    for name, site in (("n1", "oslo"), ("n2", "rome")):
        labels = {**node().metadata.labels, names.LABEL_SITE: site}
        meta = views.Metadata(name=name, labels=labels)
        cluster.inventory_builder.upsert_node(views.Node(meta, node().spec, node(1).status))
    theirs = views.Container(resources=views.ResourceRequirements({"nvidia.com/gpu": "1"}))
    spec = views.PodSpec(node_name="n2", containers=(theirs,))
    cluster.inventory_builder.upsert_pod(views.Pod(views.Metadata(uid="theirs"), spec))
    sites = {"sites": ["oslo", "rome"], "minReplicasPerSite": 1}
    cluster.set_service(service("web", placement=sites))
    loop = loop_of(cluster, queue)
    await loop.replan()
    assert cluster.assignments[key("web")].site_room == {"oslo": 1, "rome": 0}
    await woken(queue)
    await loop.replan()
    assert await woken(queue) == set()
    cluster.inventory_builder.remove_pod("theirs")
    await loop.replan()
    assert cluster.assignments[key("web")].site_room == {"oslo": 1, "rome": 1}
    assert await woken(queue) == {"web"}


async def test_a_trigger_while_planning_is_not_lost(
    cluster: ClusterState, queue: WorkQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = loop_of(cluster, queue)
    running = asyncio.get_running_loop()
    second = asyncio.Event()
    plans = 0

    def listen(inventory: Inventory, requests: Iterable[PlacementRequest]) -> Any:
        nonlocal plans
        plans += 1
        running.call_soon_threadsafe(loop.trigger if plans == 1 else second.set)
        return plan(inventory, requests)

    plans_with(monkeypatch, listen)
    task = asyncio.create_task(loop.run())
    loop.trigger()
    async with asyncio.timeout(5):
        await second.wait()
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert plans == 2


async def test_a_person_waits_for_a_short_rest_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a slow plan the next one rests; somebody's change cuts that short."""
    loop = asyncio.get_running_loop()
    metrics, settings = Metrics(), Settings(placement_window_s=0.001)
    placement = PlacementLoop(ClusterState(), WorkQueue(), settings, metrics)
    planned = asyncio.Event()
    plans: list[float] = []

    async def slow_plan() -> None:
        await asyncio.sleep(0.1)
        plans.append(loop.time())
        planned.set()

    monkeypatch.setattr(placement, "replan", slow_plan)
    running = asyncio.create_task(placement.run())
    placement.trigger()
    await planned.wait()
    planned.clear()
    placement.hurry()
    await asyncio.wait_for(planned.wait(), 5)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    rest_s = plans[1] - plans[0] - 0.1
    assert 0.2 <= rest_s < 1, "two rests of the plan's own time, not twenty"


async def test_a_replica_that_has_waited_long_enough_cuts_a_rest_short(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(placement, "_REST", 10_000)
    monkeypatch.setattr(placement, "_LONGEST_REST_S", 60)
    settings = Settings(placement_window_s=0.001)
    loop = PlacementLoop(ClusterState(), WorkQueue(), settings, Metrics())
    plans = asyncio.Queue[None]()

    async def plan_once_more() -> None:
        await asyncio.sleep(0.01)
        plans.put_nowait(None)

    monkeypatch.setattr(loop, "replan", plan_once_more)
    monkeypatch.setattr(Relief, "next_s", lambda _: time.time() + 0.02)
    running = asyncio.create_task(loop.run())
    loop.trigger()
    for _ in range(2):
        await asyncio.wait_for(plans.get(), 5)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_rest_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long a plan takes: replicas may wait for room that has appeared."""
    monkeypatch.setattr(placement, "_REST", 10_000)
    monkeypatch.setattr(placement, "_LONGEST_REST_S", 0.05)
    settings = Settings(placement_window_s=0.001)
    loop = PlacementLoop(ClusterState(), WorkQueue(), settings, Metrics())
    plans = asyncio.Queue[None]()

    async def slow_plan() -> None:
        await asyncio.sleep(0.01)
        plans.put_nowait(None)

    monkeypatch.setattr(loop, "replan", slow_plan)
    running = asyncio.create_task(loop.run())
    for _ in range(2):
        loop.trigger()
        await asyncio.wait_for(plans.get(), 5)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
