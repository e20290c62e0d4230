"""The controller against a fake API server: what it writes, and what goes wrong around it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any, Literal

import pytest

from conch.api import conditions
from conch.api.conditions import Condition, ConditionType, Reason
from conch.errors import ApiError, Gone, SettingsError
from conch.kube.credentials import Credentials
from conch.kube.transport import Api
from conch.observe.state import ClusterState
from conch.observe.types import Key
from conch.reconcile import controller
from conch.reconcile import plan as planning
from conch.reconcile.apply import RateLimit, Writer
from conch.reconcile.controller import Controller, builtin_runtime
from conch.reconcile.queue import Priority, WorkQueue
from conch.settings import Settings
from conch.telemetry.catalog import Metrics
from tests.kube.fake_api import Object, status, until
from tests.reconcile.apply_api import DEPLOYMENTS, EVENTS, SERVICES, ApplyApi
from tests.reconcile.builders import KEY, NOW, decision, placed, pod, raw

SETTINGS = Settings(allowed_sources=("image://",), workers=2)
OTHER = Key(KEY.namespace, "other")


class World:
    """One controller, its state, and the server it writes to."""

    def __init__(self, server: ApplyApi, api: Api) -> None:
        self.server = server
        self.state = ClusterState()
        self.queue = WorkQueue(first_backoff_s=0.001)
        self.metrics = Metrics()
        self.leads = True
        self.lost = 0
        self.plans = 0
        self.controller = Controller(
            self.state,
            self.queue,
            Writer(api, RateLimit(1000, 1000), lambda: self.leads),
            SETTINGS,
            self.metrics,
            on_lost=self._lose,
            replan=self._replan,
            rng=random.Random(1),
        )

    def _lose(self) -> None:
        self.lost += 1

    def _replan(self) -> None:
        self.plans += 1

    def add(self, name: str = KEY.name, **spec: Any) -> Object:
        """A service that exists, is known and has its place."""
        live = self.server.service(name, **spec)
        self.state.set_service(live)
        self.state.assignments[Key(KEY.namespace, name)] = placed()
        return live

    async def reconcile(self) -> float | None:
        return await self.controller.reconcile(KEY)

    def count(self, result: str) -> float:
        labels = {"result": result}
        return self.metrics.registry.get_sample_value("conch_reconciles_total", labels) or 0.0

    def wanted(self) -> float | None:
        labels = {"namespace": KEY.namespace, "service": KEY.name}
        return self.metrics.registry.get_sample_value("conch_service_replicas_wanted", labels)


@pytest.fixture
async def world() -> AsyncIterator[World]:
    async with ApplyApi() as server, Api(Credentials.anonymous(server.url)) as api:
        made = World(server, api)
        yield made
        made.queue.close()


async def during(world: World, verb: str, act: Callable[[], object]) -> float | None:
    """Reconcile, and let something happen while the first request of that verb is under way."""
    gate = world.server.hold(verb)
    turn = asyncio.create_task(world.reconcile())
    await until(lambda: world.server.count(verb))
    act()
    gate.set()
    return await turn


# --- the way of a service -------------------------------------------------------------------------


async def test_a_new_service_gets_its_children_and_one_status(world: World) -> None:
    world.add()
    again_s = await world.reconcile()
    writes = world.server.writes()
    assert {"deployments", "services"} <= set(writes)
    assert writes.count("inferenceservices/status") == 1
    assert writes[-1] == "inferenceservices/status"
    conditions = world.server.conditions()
    assert conditions["Applied"] == ("True", "Applied")
    assert conditions["Placed"] == ("True", "Placed")
    assert conditions["Ready"] == ("False", "PodsStarting")
    assert world.wanted() == 1
    assert again_s is not None
    assert 0.8 * SETTINGS.resync_s <= again_s <= 1.2 * SETTINGS.resync_s


async def test_its_conditions_and_the_queue_can_be_read_off_the_metrics(world: World) -> None:
    world.add()
    await world.reconcile()
    found = world.metrics.registry.get_sample_value
    labels = {"namespace": KEY.namespace, "service": KEY.name, "condition": "Ready"}
    name = "conch_service_condition"
    assert found(name, labels | {"status": "False", "reason": "PodsStarting"}) == 1
    world.queue.add(OTHER)
    assert found("conch_queue_depth") == 0  # a standby, where nobody is going to work on it
    running = asyncio.create_task(world.controller.run())
    await until(lambda: len(world.queue) == 0)
    world.queue.add(OTHER)
    assert found("conch_queue_depth") == 1  # before any worker turns
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_a_converged_service_costs_no_write(world: World) -> None:
    world.add()
    await world.reconcile()
    before = len(world.server.seen)
    for _ in range(3):
        await world.reconcile()
    assert world.server.seen[before:] == []


async def test_a_decision_is_written_to_the_deployment(world: World) -> None:
    world.add()
    await world.reconcile()
    world.state.decisions[KEY] = decision(3)
    await world.reconcile()
    live = world.server.find(f"{DEPLOYMENTS}/{KEY.name}")
    assert live is not None
    assert live["spec"]["replicas"] == 3
    assert world.server.conditions()["Scaling"] == ("True", "ScaleUp")


async def test_replicas_taken_back_from_somebody_are_counted(world: World) -> None:
    world.add(scaling={"mode": "Fixed", "replicas": 1})
    await world.reconcile()
    live = world.state.child(KEY, "Deployment", KEY.name)
    assert live is not None
    owned = [{"manager": "kubectl", "fieldsV1": {"f:spec": {"f:replicas": {}}}}]
    meta = {**live["metadata"], "managedFields": owned}
    world.state.set_child({**live, "metadata": meta, "spec": {**live["spec"], "replicas": 7}})
    await world.reconcile()
    again = world.server.find(f"{DEPLOYMENTS}/{KEY.name}")
    assert again is not None
    assert again["spec"]["replicas"] == 1
    assert [r.manager for r in world.state.foreign.of(KEY).retakes] == ["kubectl"]


async def test_a_schedule_is_looked_at_again_when_it_changes(world: World) -> None:
    always = {"name": "s", "cron": "*/2 * * * *", "duration": "1m", "minReplicas": 2}
    world.add(scaling={"schedules": [always]})
    again_s = await world.reconcile()
    assert again_s is not None
    assert 0 < again_s <= 60, "a minute on, a minute off"


async def test_counts_wait_and_what_people_wait_for_does_not(world: World) -> None:
    world.add()
    await world.reconcile()
    before = world.server.writes()
    world.state.set_pod(pod(ready=False))
    later_s = await world.reconcile()
    assert later_s is not None
    assert later_s <= 2.0
    assert world.server.writes() == before
    world.state.assignments[KEY] = replace(placed(), kind=None, reason=Reason.NO_CAPACITY)
    await world.reconcile()
    assert world.server.conditions()["Placed"] == ("False", "NoCapacity")


async def test_a_service_waits_for_the_planner(world: World) -> None:
    world.add()
    world.state.assignments.clear()
    assert await world.reconcile() is None
    assert world.server.seen == []


async def test_a_paused_service_gets_a_status_and_nothing_else(world: World) -> None:
    world.add(paused=True)
    await world.reconcile()
    assert set(world.server.writes()) <= {"inferenceservices/status", "events"}
    assert world.server.conditions()["Reconciling"] == ("False", "Paused")


async def test_a_service_that_is_being_deleted_is_left_alone(world: World) -> None:
    live = world.add()
    meta = {**live["metadata"], "deletionTimestamp": NOW, "resourceVersion": "9999"}
    world.state.set_service({**live, "metadata": meta})
    assert await world.reconcile() is None
    assert world.server.seen == []


# --- refusals and strangers -----------------------------------------------------------------------


async def test_a_refused_child_is_told_and_tried_again_soon(world: World) -> None:
    world.add()
    world.server.answer("PATCH", status(403, "Forbidden", "exceeded quota: pods"))
    again_s = await world.reconcile()
    assert world.server.conditions()["Applied"] == ("False", "ApplyRefused")
    live = world.server.find(f"{SERVICES}/{KEY.name}")
    assert "exceeded quota: pods" in str(live)
    assert again_s is not None
    assert again_s <= 60, "nobody tells of a quota that was raised"


async def test_refused_replicas_are_told(world: World) -> None:
    world.add()
    await world.reconcile()
    world.state.decisions[KEY] = decision(3)
    world.server.answer("PATCH", status(422, "Invalid", "no more than two"))
    await world.reconcile()
    assert world.server.conditions()["Applied"] == ("False", "ApplyRefused")


async def test_an_object_that_was_there_before_is_not_taken(world: World) -> None:
    world.add()
    world.server.put(DEPLOYMENTS, KEY.name, KEY.namespace, spec={"replicas": 9})
    again_s = await world.reconcile()
    assert set(world.server.writes()) <= {"inferenceservices/status", "events"}
    assert world.server.conditions()["Applied"] == ("False", "NameCollision")
    assert again_s is not None
    assert again_s <= 60, "nobody tells of a foreign object that was renamed"


async def test_in_a_burst_children_come_before_what_is_told_of_them(world: World) -> None:
    world.add()
    world.queue.add(Key(KEY.namespace, "another"), Priority.USER)
    assert await world.reconcile() is None
    assert set(world.server.writes()) == {"deployments", "services", "networkpolicies"}
    await world.queue.get()
    assert await world.queue.get() == KEY
    await world.reconcile()
    assert "inferenceservices/status" in world.server.writes()


async def test_a_refused_event_costs_no_status(world: World) -> None:
    live = world.add()
    no_room = Condition(ConditionType.PLACED, "False", Reason.NO_CAPACITY)
    old = conditions.merge([], [no_room], 1, "2026-01-01T00:00:00Z")
    world.state.set_service({**live, "status": {"conditions": old}})
    world.server.answer("POST", status(403, "Forbidden", "namespace is terminating"))
    await world.reconcile()
    assert "events" in world.server.writes()
    assert world.server.conditions()["Placed"] == ("True", "Placed")


# --- races ----------------------------------------------------------------------------------------


async def test_nothing_is_built_for_a_service_that_is_gone(world: World) -> None:
    world.add()
    world.server.remove(SERVICES, KEY.name, KEY.namespace)
    assert await world.reconcile() is None
    assert world.server.writes() == []
    assert world.state.services == {}
    assert world.plans == 1, "its place is free"


async def test_a_status_nobody_can_receive_ends_the_service(world: World) -> None:
    world.add()
    await world.reconcile()
    world.server.remove(SERVICES, KEY.name, KEY.namespace)
    world.state.assignments[KEY] = replace(placed(), kind=None, reason=Reason.NO_CAPACITY)
    await world.reconcile()
    assert world.state.services == {}
    assert world.plans == 1
    assert world.wanted() is None


async def test_a_namesake_made_meanwhile_is_kept(world: World) -> None:
    world.add()
    world.server.remove(SERVICES, KEY.name, KEY.namespace)
    namesake = world.server.service()
    await during(world, "GET", lambda: world.state.set_service(namesake))
    assert world.server.writes() == []
    assert world.state.services[KEY].raw["metadata"]["uid"] == namesake["metadata"]["uid"]


async def test_a_spec_that_changed_meanwhile_gets_no_status_of_the_old_one(world: World) -> None:
    live = world.add()
    meta = {**live["metadata"], "generation": 2, "resourceVersion": "9999"}
    changed = {**live, "metadata": meta}
    assert await during(world, "PATCH", lambda: world.state.set_service(changed)) is None
    assert "inferenceservices/status" not in world.server.writes()
    assert len(world.queue) == 1, "it is looked at again"


async def test_a_spec_first_seen_in_an_answer_is_looked_at(world: World) -> None:
    world.add()
    stored = world.server.find(f"{SERVICES}/{KEY.name}")
    assert stored is not None
    stored["metadata"]["generation"] = 2
    await world.reconcile()
    assert len(world.queue) == 1


async def test_a_status_of_a_replaced_service_is_refused_by_the_server(world: World) -> None:
    world.add()
    await world.reconcile()
    world.server.remove(SERVICES, KEY.name, KEY.namespace)
    world.server.service()
    world.state.assignments[KEY] = replace(placed(), kind=None, reason=Reason.NO_CAPACITY)
    with pytest.raises(Gone):
        await world.reconcile()


async def test_everything_about_a_forgotten_service_is_dropped(world: World) -> None:
    live = world.add()
    await world.reconcile()
    world.state.remove_service(KEY, live["metadata"]["uid"])
    assert await world.reconcile() is None
    assert world.wanted() is None
    assert world.controller._reported_s == {}


# --- the workers ----------------------------------------------------------------------------------


@pytest.fixture
async def running(world: World) -> AsyncIterator[World]:
    task = asyncio.create_task(world.controller.run())
    yield world
    task.cancel()
    await asyncio.wait({task})


async def test_a_server_that_fails_is_asked_again(running: World) -> None:
    running.add()
    running.server.answer("PATCH", *(status(code) for code in (503, 500, 429, 502, 504)))
    running.queue.add(KEY)
    await until(lambda: running.count("ok"))
    assert running.count("retry") >= 1
    assert running.server.conditions()["Applied"] == ("True", "Applied")


async def test_a_defect_is_told_backs_off_and_stops_no_other(
    running: World, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    make = planning.make

    def fail(obs: Any, options: planning.Options) -> planning.Plan:
        if obs.key == KEY:
            raise ZeroDivisionError
        return make(obs, options)

    monkeypatch.setattr(planning, "make", fail)
    running.add()
    running.add(OTHER.name)
    running.queue.add(KEY)
    running.queue.add(OTHER)
    await until(lambda: running.count("ok") and running.count("error") > 1)
    told = [seen.json for seen in running.server.seen if seen.path == EVENTS]
    names = {e["metadata"]["name"] for e in told if e["reason"] == Reason.STEP_ERROR.value}
    assert len(names) == 1, "told once, however often it is tried"
    assert "reconcile failed" in caplog.text


async def test_a_defect_in_telling_of_a_defect_ends_no_worker(
    running: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise ZeroDivisionError

    monkeypatch.setattr(planning, "make", fail)
    monkeypatch.setattr(Writer, "event", fail)
    running.add()
    running.queue.add(KEY)
    await until(lambda: running.count("error") > 2 * SETTINGS.workers)


async def test_without_the_lease_the_workers_end(world: World) -> None:
    world.add()
    world.leads = False
    for name in ("a", "b"):
        world.add(name)
        world.queue.add(Key(KEY.namespace, name))
    async with asyncio.timeout(5):
        await world.controller.run()
    assert world.lost == SETTINGS.workers
    assert world.server.writes() == []


async def test_silence_counts_from_when_there_was_work(world: World) -> None:
    assert world.controller.silent_s() == 0.0
    gate = world.server.hold("GET")
    task = asyncio.create_task(world.controller.run())
    world.add()
    world.queue.add(KEY)
    await until(lambda: world.server.count("GET"))
    assert 0.0 < world.controller.silent_s() < 60.0, "an idle night before is no silence"
    gate.set()
    await until(lambda: world.count("ok"))
    assert world.controller.silent_s() == 0.0
    task.cancel()
    await asyncio.wait({task})


def test_a_built_in_runtime_that_cannot_be_is_a_setting() -> None:
    with pytest.raises(SettingsError, match="release"):
        builtin_runtime(Settings(triton_release="latest"))


async def test_a_status_the_server_refuses_backs_off(world: World) -> None:
    world.add()
    await world.reconcile()
    world.state.set_service({**raw(uid="u2", resourceVersion="9999"), "status": {}})
    world.state.assignments[KEY] = placed()
    world.server.answer("GET", status(500))
    with pytest.raises(ApiError):
        await world.reconcile()


@pytest.mark.parametrize(
    ("old", "reason", "resized", "told"),
    [
        ({"status": "True", "reason": "ScaleUp"}, Reason.SCALE_UP, True, True),
        ({"status": "True", "reason": "ScaleUp"}, Reason.SCALE_UP, False, False),
        ({"status": "True", "reason": "ScaleUp"}, Reason.WITHIN_OBJECTIVE, False, False),
        ({"status": "True", "reason": "ScaleUp"}, Reason.NO_METRICS, False, True),
        ({"status": "False", "reason": "NoMetrics"}, Reason.NO_METRICS, False, False),
    ],
)
def test_every_change_of_size_is_told_and_what_keeps_it_from_following(
    old: dict[str, str], reason: Reason, resized: bool, told: bool
) -> None:
    status: Literal["True", "False"] = "False" if reason is Reason.NO_METRICS else "True"
    condition = Condition(ConditionType.SCALING, status, reason)
    assert controller._worth_telling(condition, old, resized) is told


@pytest.mark.parametrize(("old", "told"), [({}, False), ({"status": "False"}, True)])
def test_a_place_is_news_only_after_there_was_none(old: dict[str, str], told: bool) -> None:
    condition = Condition(ConditionType.PLACED, "True", Reason.PLACED)
    assert controller._worth_telling(condition, old, False) is told
