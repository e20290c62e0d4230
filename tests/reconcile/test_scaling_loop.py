"""The scaling loop: what is published and when, and that one service's trouble stays its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from conch.api import names
from conch.api.conditions import Reason
from conch.autoscale import ScalerState
from conch.autoscale.season import WEEK_S, week_s
from conch.kube import views
from conch.observe.state import ClusterState
from conch.observe.types import (
    Decision,
    Key,
    Outlook,
    Part,
    Prospect,
    ScalingObservation,
    ScalingPolicy,
)
from conch.reconcile import looks, scaling, sources
from conch.reconcile.queue import WorkQueue
from conch.reconcile.scaling import ScalingLoop
from conch.settings import Settings
from conch.telemetry.catalog import Metrics
from conch.triton.configuration import ModelConfig
from conch.triton.sample import ModelCounters, PodSample
from tests.kube.fake_api import until
from tests.reconcile.builders import KEY, UID, build, decision, placed, pod, raw, state

OTHER = Key(KEY.namespace, "other")


class World:
    """The loop, with pods and a scaler that say what the test wants."""

    def __init__(self, cluster: ClusterState) -> None:
        self.cluster = cluster
        self.queue = WorkQueue()
        self.metrics = Metrics()
        self.loop = ScalingLoop(cluster, self.queue, Settings(), self.metrics)
        self.answer: Decision | Exception = decision(1, Reason.WITHIN_OBJECTIVE)
        self.problems: dict[str, str] = {}
        self.seen: list[tuple[ScalingPolicy, ScalerState, ScalingObservation]] = []
        self.looks = 0
        self.most_looks = 0
        self.hang = asyncio.Event()
        self.hang.set()

    def step(
        self, policy: ScalingPolicy, before: ScalerState, observation: ScalingObservation
    ) -> tuple[ScalerState, Decision]:
        self.seen.append((policy, before, observation))
        if isinstance(self.answer, Exception):
            raise self.answer
        return replace(before, stepped_s=(before.stepped_s or 0) + 1), self.answer

    async def scrape(self, uid: str, ip: str, *__: Any) -> PodSample:
        self.looks += 1
        self.most_looks = max(self.looks, self.most_looks)
        await self.hang.wait()
        self.looks -= 1
        return PodSample(uid, 0.0, {}, "refused" if uid == "uid-bad" else "")

    async def load_problems(self, *_: Any) -> dict[str, str]:
        return self.problems

    async def round(self) -> None:
        await self.loop.round()

    async def woken(self) -> set[Key]:
        found = set()
        while len(self.queue):
            key = await self.queue.get()
            self.queue.done(key)
            found.add(key)
        return found

    def gauge(self, name: str, key: Key = KEY) -> float | None:
        labels = {"namespace": key.namespace, "service": key.name}
        return self.metrics.registry.get_sample_value(name, labels)


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    cluster = state()
    build(cluster)
    cluster.set_pod(pod())
    made = World(cluster)
    monkeypatch.setattr(scaling, "step", made.step)
    monkeypatch.setattr(looks, "scrape", made.scrape)
    monkeypatch.setattr(looks, "load_problems", made.load_problems)
    yield made
    made.queue.close()


async def test_the_scaler_is_told_the_time_of_the_week(world: World) -> None:
    before = week_s(time.time())
    await world.round()
    told = world.seen[0][2].time_of_week_s
    assert told is not None
    assert (told - before) % WEEK_S < 300


def on_class(made: views.Pod, name: str) -> views.Pod:
    made.metadata.labels[names.LABEL_ACCELERATOR] = name
    return made


async def test_the_scaler_is_told_who_is_on_which_class(world: World) -> None:
    await world.round()
    alike = world.seen[0][2]
    assert [sample.group for sample in alike.samples] == ["l4"], "as its Deployment asks for"
    assert (alike.starting_groups, alike.growing, alike.shrinking) == ((), "l4", "l4")
    world.cluster.set_pod(on_class(pod("old"), "t4"))
    world.cluster.set_pod(on_class(pod("new", ready=False), "t4"))
    await world.round()
    moving = world.seen[1][2]
    assert sorted(sample.group for sample in moving.samples) == ["l4", "t4"]
    assert (moving.starting_groups, moving.growing, moving.shrinking) == (("t4",), "l4", "t4")


async def test_of_a_service_on_two_classes_the_plan_tells_which_grows(world: World) -> None:
    known = world.cluster.assignments[KEY]
    assert known.kind is not None
    other = replace(known.kind, name="a10")
    parts = (Part(other, 2), Part(known.kind, 1, main=True))
    world.cluster.assignments[KEY] = replace(known, parts=parts, growing="a10", shrinking="l4")
    await world.round()
    assert (world.seen[0][2].growing, world.seen[0][2].shrinking) == ("a10", "l4")


async def test_only_what_matters_is_published(world: World) -> None:
    world.answer = decision(1, Reason.WITHIN_OBJECTIVE, demand_rps=100.0)
    await world.round()
    assert await world.woken() == {KEY}
    world.answer = decision(1, Reason.WITHIN_OBJECTIVE, demand_rps=101.0)
    await world.round()
    assert await world.woken() == set()
    assert world.cluster.decisions[KEY].demand_rps == 100.0
    assert world.gauge("conch_service_demand_requests_per_second") == 101.0
    world.answer = decision(1, Reason.AT_MAXIMUM, demand_rps=101.0)
    await world.round()
    assert await world.woken() == {KEY}


async def test_what_a_replica_carries_is_known_to_placement(world: World) -> None:
    world.answer = decision(1, Reason.WITHIN_OBJECTIVE, bound_rps=80.0, capacity_rps=60.0)
    await world.round()
    assert world.cluster.outlooks[KEY] == Outlook(80.0, {"l4": Prospect(60.0, False)})
    assert world.cluster.budget_left[KEY] is None, "nothing was counted"
    world.answer = decision(
        1, Reason.WITHIN_OBJECTIVE, bound_rps=80.0, capacity_rps=60.0, ended=1000.0, late=5.0
    )
    await world.round()
    assert world.cluster.budget_left[KEY] == pytest.approx(0.5)
    world.cluster.remove_service(KEY, UID)
    assert KEY not in world.cluster.outlooks
    assert KEY not in world.cluster.budget_left


async def test_a_decision_that_is_not_carried_out_is_not_told_each_round(world: World) -> None:
    world.answer = decision(5, demand_rps=100.0)  # a paused service runs one and stays there
    await world.round()
    assert await world.woken() == {KEY}
    for demand in (103.0, 97.0):
        world.answer = decision(5, demand_rps=demand)
        await world.round()
        assert await world.woken() == set()


async def test_what_arrived_is_kept_for_conch_trace(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_s = 100.0
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: at_s)

    async def counted(uid: str, *_: Any) -> PodSample:
        answered = 12.0 * at_s
        counters = ModelCounters(answered, 0.0, answered, answered, 0.0, 0.0, 0.0)
        return PodSample(uid, at_s, {"resnet": counters})

    monkeypatch.setattr(looks, "scrape", counted)
    world.answer = decision(1, Reason.WITHIN_OBJECTIVE)
    assert world.loop.arrivals(KEY.namespace, KEY.name) is None
    for _ in range(5):
        await world.round()
        at_s += 2.0
    at_s -= 1.0
    found = world.loop.arrivals(KEY.namespace, KEY.name)
    assert found is not None
    assert (found["bin_s"], found["rates"]) == (2.0, {"resnet": [12.0] * 3})
    age = datetime.now(UTC) - datetime.fromisoformat(found["end"])
    assert 3.0 <= age.total_seconds() < 30.0  # the last whole bin ended at 106
    assert world.loop.arrivals(KEY.namespace, "unknown") is None
    world.cluster.remove_service(KEY, raw()["metadata"]["uid"])
    await world.round()
    assert world.loop.arrivals(KEY.namespace, KEY.name) is None


async def test_a_moment_without_metrics_is_not_told_and_one_that_lasts_is(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_s = 100.0
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: at_s)

    async def at(moment_s: float, reason: Reason) -> set[Key]:
        nonlocal at_s
        at_s = moment_s
        world.answer = decision(1, reason)
        await world.round()
        return await world.woken()

    assert await at(100.0, Reason.WITHIN_OBJECTIVE) == {KEY}
    assert await at(102.0, Reason.NO_METRICS) == set()
    assert await at(104.0, Reason.WITHIN_OBJECTIVE) == set()
    assert await at(106.0, Reason.NO_METRICS) == set()
    assert await at(108.0, Reason.NO_METRICS) == set()
    assert await at(110.0, Reason.NO_METRICS) == {KEY}
    assert await at(112.0, Reason.NO_METRICS) == set()
    assert await at(114.0, Reason.WITHIN_OBJECTIVE) == {KEY}


async def test_without_metrics_from_the_start_it_is_told_at_once(world: World) -> None:
    world.answer = decision(1, Reason.NO_METRICS)
    await world.round()
    assert await world.woken() == {KEY}


async def test_a_defect_of_one_service_holds_it_and_stops_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    other = raw(name=OTHER.name, uid="u2")
    world.cluster.set_service(other)
    world.cluster.assignments[OTHER] = placed()
    deployment = msgspec.json.decode(
        msgspec.json.encode(world.cluster.child(KEY, "Deployment", KEY.name))
    )
    deployment["metadata"] |= {"name": OTHER.name, "labels": names.service_labels(OTHER.name)}
    world.cluster.set_child(deployment)

    def step(
        policy: ScalingPolicy, before: ScalerState, observation: ScalingObservation
    ) -> tuple[ScalerState, Decision]:
        if observation.ready:
            raise ZeroDivisionError
        return world.step(policy, before, observation)

    monkeypatch.setattr(scaling, "step", step)
    for _ in range(2):
        await world.round()
    held = world.cluster.decisions[KEY]
    assert (held.replicas, held.reason) == (1, Reason.STEP_ERROR)
    assert world.cluster.decisions[OTHER].reason is Reason.WITHIN_OBJECTIVE
    assert len(caplog.records) == 1, "a defect that stays is logged once"
    assert await world.woken() == {KEY, OTHER}


async def test_a_spec_without_a_policy_is_a_defect_of_that_service_alone(world: World) -> None:
    world.cluster.set_service(
        raw({"objectives": {"latency": {"target": "100ms"}}}, resourceVersion="12")
    )
    record = world.cluster.services[KEY]
    assert record.service is not None
    bad = record.service.model_copy(deep=True)
    object.__setattr__(bad.spec.objectives.latency, "target", "soon")
    world.cluster.services[KEY] = replace(record, service=bad)
    await world.round()
    assert world.cluster.decisions[KEY].reason is Reason.STEP_ERROR


async def test_what_was_learned_after_a_defect_is_forgotten(world: World) -> None:
    await world.round()
    world.answer = ZeroDivisionError()
    await world.round()
    world.answer = decision(1, Reason.WITHIN_OBJECTIVE)
    await world.round()
    assert [before.stepped_s for _, before, _ in world.seen] == [None, 1.0, None]


async def test_a_namesake_starts_anew_and_the_dead_are_forgotten(world: World) -> None:
    await world.round()
    world.cluster.set_service(raw(uid="u2", resourceVersion="50"))
    await world.round()
    assert [before.stepped_s for _, before, _ in world.seen] == [None, None]
    world.cluster.remove_service(KEY, "u2")
    await world.round()
    assert world.loop._scalers == {}
    assert world.loop._news._told_at_s == {}


async def test_nothing_is_decided_for_a_service_that_went_meanwhile(world: World) -> None:
    world.hang.clear()
    turning = asyncio.create_task(world.round())
    await until(lambda: world.looks)
    world.cluster.remove_service(KEY, str(raw()["metadata"]["uid"]))
    world.hang.set()
    await turning
    assert world.seen == []
    assert world.cluster.decisions == {}


async def test_a_pod_waits_for_its_turn_before_its_time_out_begins(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world.loop._looks, "_places", asyncio.Semaphore(3))
    for number in range(10):
        world.cluster.set_pod(pod(f"p{number}"))
    world.hang.clear()
    turning = asyncio.create_task(world.round())
    await until(lambda: world.looks >= 3)
    world.hang.set()
    await turning
    assert world.most_looks == 3
    assert world.seen[0][2].ready == 10


async def test_what_is_unknown_has_no_number(world: World) -> None:
    world.answer = decision(1, Reason.WITHIN_OBJECTIVE, latency_s=0.2)
    await world.round()
    assert world.gauge("conch_service_latency_seconds") == 0.2
    world.answer = decision(1, Reason.NO_METRICS)
    await world.round()
    assert world.gauge("conch_service_latency_seconds") is None
    assert world.gauge("conch_service_latency_target_seconds") == pytest.approx(0.1)
    assert world.gauge("conch_service_objective_ratio") == pytest.approx(0.99)


async def test_pods_without_a_node_take_from_the_room(world: World) -> None:
    world.cluster.assignments[KEY] = placed(room=3)
    waiting = pod("p2", ready=False)
    world.cluster.set_pod(msgspec.structs.replace(waiting, spec=views.PodSpec()))
    await world.round()
    observed = world.seen[0][2]
    assert (observed.room, observed.ready, len(observed.starting_age_s)) == (2, 1, 1)


async def test_what_a_starting_server_says_of_its_models_wakes_the_service(world: World) -> None:
    running = views.ContainerStatus(
        name=names.CONTAINER_TRITON, state=views.ContainerState(running=views.Running())
    )
    world.cluster.set_pod(pod(ready=False, container_statuses=(running,)))
    world.problems = {"resnet": "no such file"}
    await world.round()
    await world.woken()
    assert world.cluster._families[KEY].model_problems == {"uid-p1": "resnet: no such file"}


async def test_late_requests_use_up_the_budget(world: World) -> None:
    for late in (0.0, 1.0):
        world.answer = decision(1, Reason.WITHIN_OBJECTIVE, ended=100.0, late=late)
        await world.round()
    assert world.gauge("conch_service_requests_total") == 200
    assert world.gauge("conch_service_late_requests_total") == 1
    labels = {"namespace": KEY.namespace, "service": KEY.name}
    for window in ("1h", "30d"):
        found = {
            name: world.metrics.registry.get_sample_value(name, {**labels, "window": window})
            for name in ("conch_service_attained_ratio", "conch_service_error_budget_left_ratio")
        }
        assert list(found.values()) == [pytest.approx(0.995), pytest.approx(0.5)]


async def test_without_requests_there_is_no_share(world: World) -> None:
    await world.round()
    assert world.gauge("conch_service_requests_total") == 0
    assert b"conch_service_attained_ratio{" not in world.metrics.exposition()


async def test_the_first_look_after_a_start_tells_nothing_and_the_second_does(world: World) -> None:
    world.answer = decision(1, Reason.LEARNING)
    await world.round()
    assert await world.woken() == set()
    await world.round()
    assert await world.woken() == {KEY}


async def test_what_changes_the_number_is_told_at_the_first_look(world: World) -> None:
    world.answer = decision(3, Reason.LEARNING)  # of a minimum that was raised meanwhile
    await world.round()
    assert await world.woken() == {KEY}


async def test_what_servers_told_holds_while_they_are_silent(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: dict[str, ModelConfig] | None = {"resnet": ModelConfig(max_batch=8, instances=2)}

    async def look(uid: str, *_: Any) -> PodSample:
        return PodSample(uid, 0.0, {}, configs=told)

    monkeypatch.setattr(looks, "scrape", look)
    await world.round()
    told = None
    await world.round()
    assert [policy.max_batch for policy, _, _ in world.seen] == [{"resnet": 8}] * 2
    world.cluster.set_service(raw(uid="u2", resourceVersion="50"))
    await world.round()
    assert world.seen[-1][0].max_batch == {}, "a namesake starts anew"


async def test_pods_out_of_reach_are_looked_at_through_prometheus(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, dict[str, str]]] = []

    class Prometheus:
        def __init__(self, url: str, *_: object) -> None:
            assert url == "http://prometheus:9090"

        async def look(
            self, namespace: str, pods: dict[str, str], *_: object
        ) -> tuple[PodSample, ...]:
            asked.append((namespace, pods))
            return tuple(PodSample(uid, 1.0, {}) for uid in pods.values())

    async def out_of_reach(uid: str, *_: Any) -> PodSample:
        return PodSample(uid, 0.0, {}, "refused", unreachable=True)

    monkeypatch.setattr(sources, "Prometheus", Prometheus)
    monkeypatch.setattr(looks, "scrape", out_of_reach)
    settings = Settings(prometheus_url="http://prometheus:9090")
    world.loop = ScalingLoop(world.cluster, world.queue, settings, world.metrics)
    for _ in range(5):
        await world.round()
    assert [s.error for _, _, o in world.seen for s in o.samples] == ["refused"] * 4 + [""]
    [(namespace, pods)] = asked
    (known,) = world.cluster.pods(KEY)
    assert (namespace, pods) == (KEY.namespace, {known.metadata.name: known.metadata.uid})
    good = world.metrics.registry.get_sample_value("conch_scrapes_total", {"result": "ok"})
    assert good == 1
