"""Schedules live: what is wanted when, what is told of it, and when it is looked at again."""

from __future__ import annotations

import copy
import dataclasses
from datetime import datetime
from typing import Any

import pytest

from conch.api.conditions import ConditionType, Reason
from conch.autoscale import ScalerState
from conch.observe.state import ClusterState, Observation
from conch.observe.types import Decision, PodSample
from conch.reconcile import looks, scaling
from conch.reconcile import plan as planning
from conch.reconcile.policy import policy_of
from conch.reconcile.queue import WorkQueue
from conch.reconcile.scaling import ScalingLoop
from conch.settings import Settings
from conch.telemetry.catalog import Metrics
from tests.reconcile.builders import KEY, OPTIONS, build, decision, observe, pod, raw, state

MORNING = {
    "name": "morning", "cron": "0 7 * * 1-5", "timezone": "Europe/Berlin",
    "duration": "3h", "minReplicas": 4,
}  # fmt: skip
BEFORE, DURING, AFTER = (f"2026-01-05T{at}Z" for at in ("05:59:59", "06:00:00", "09:00:00"))


def world(scaling: dict[str, Any] | None = None, *, live: int = 1) -> ClusterState:
    cluster = state(raw({"scaling": {"schedules": [MORNING], **(scaling or {})}}))
    build(cluster, replicas=live)
    for number in range(live):
        cluster.set_pod(pod(f"p{number}"))
    return cluster


def at(cluster: ClusterState, now: str) -> Observation:
    return dataclasses.replace(observe(cluster), now=now)


def concluded(obs: Observation) -> planning.Status:
    return planning.conclude(obs, planning.make(obs, OPTIONS), planning.Outcome())


@pytest.mark.parametrize(
    ("scaling", "decided", "wanted"),
    [
        ({}, 1, (1, 4, 1)),
        ({}, 6, (6, 6, 6)),
        ({}, None, (1, 4, 1)),
        ({"mode": "External", "replicas": 2}, None, (2, 4, 2)),
        ({"minReplicas": 0, "idle": {"toZeroAfter": "1m"}}, 1, (1, 4, 1)),
        ({"maxReplicas": 5, "schedules": [{**MORNING, "maxReplicas": 8}]}, 9, (5, 8, 5)),
        ({"schedules": [{**MORNING, "minReplicas": 0, "maxReplicas": 2}]}, 9, (9, 2, 9)),
    ],
)
def test_the_limits_hold_while_it_is_time(
    scaling: dict[str, Any], decided: int | None, wanted: tuple[int, int, int]
) -> None:
    cluster = world(scaling)
    if decided is not None:
        cluster.decisions[KEY] = decision(decided)
    plans = (planning.make(at(cluster, now), OPTIONS) for now in (BEFORE, DURING, AFTER))
    assert tuple(plan.replicas for plan in plans) == wanted


def test_the_scaler_decides_within_them() -> None:
    record = world({"maxReplicas": 5}).services[KEY]
    policies = (policy_of(record, datetime.fromisoformat(now)) for now in (BEFORE, DURING))
    assert [(p.min_replicas, p.max_replicas) for p in policies] == [(1, 5), (4, 5)]


def test_the_status_says_what_holds_and_what_comes() -> None:
    cluster = world()
    cluster.decisions[KEY] = decision(1, Reason.WITHIN_OBJECTIVE)
    before, during = concluded(at(cluster, BEFORE)), concluded(at(cluster, DURING))
    assert before.body["schedule"] == {
        "minReplicas": 1, "maxReplicas": 10, "next": "morning", "nextStart": DURING,
    }  # fmt: skip
    assert during.body["schedule"] == {
        "minReplicas": 4, "maxReplicas": 10, "active": ["morning"], "until": AFTER,
    }  # fmt: skip
    (told,) = (c for c in during.conditions if c.type is ConditionType.SCALING)
    assert (told.status, told.reason) == ("True", Reason.WITHIN_OBJECTIVE)
    assert told.message.endswith(f"Scheduled (morning): 4 to 10 replicas until {AFTER}.")
    assert "schedule" not in concluded(observe(state())).body


def test_it_is_looked_at_again_when_it_changes() -> None:
    cluster = world()
    assert concluded(at(cluster, BEFORE)).requeue_after_s == 1.0
    assert concluded(at(cluster, DURING)).requeue_after_s == 3 * 3600
    assert concluded(at(cluster, AFTER)).requeue_after_s == 21 * 3600
    assert concluded(observe(state())).requeue_after_s is None


def test_between_two_changes_nothing_is_written() -> None:
    cluster = world({"minReplicas": 2}, live=4)
    cluster.decisions[KEY] = decision(4, Reason.AT_MINIMUM)
    body = copy.deepcopy(dict(concluded(at(cluster, DURING)).body))
    cluster.set_service({**cluster.services[KEY].raw, "status": body})
    for now in (DURING, "2026-01-05T07:13:21Z", "2026-01-05T08:59:59Z"):
        obs = at(cluster, now)
        plan = planning.make(obs, OPTIONS)
        assert (plan.applies, plan.deletes, plan.scale_to) == ((), (), None)
        assert not planning.status_differs(obs, concluded(obs))
    assert planning.status_differs(at(cluster, AFTER), concluded(at(cluster, AFTER)))


@pytest.mark.parametrize(("scheduled", "replicas"), [(False, 0), (True, 4)])
async def test_no_service_goes_to_zero_while_a_schedule_keeps_it_up(
    monkeypatch: pytest.MonkeyPatch, scheduled: bool, replicas: int
) -> None:
    always = {**MORNING, "cron": "* * * * *", "duration": "1h"}
    idle = {"minReplicas": 0, "idle": {"toZeroAfter": "1m"}}
    cluster = world(idle | {"schedules": [always] if scheduled else []})
    queue = WorkQueue()
    loop = ScalingLoop(cluster, queue, Settings(), Metrics())

    def step(*_: Any) -> tuple[ScalerState, Decision]:
        return ScalerState(), decision(4, Reason.AT_MINIMUM)

    async def scrape(uid: str, *_: Any) -> PodSample:
        return PodSample(uid, 0.0, {})

    monkeypatch.setattr(scaling, "step", step)
    monkeypatch.setattr(looks, "scrape", scrape)
    monkeypatch.setattr(loop._to_zero, "decide", lambda *_: decision(0, Reason.IDLE))
    await loop.round()
    assert cluster.decisions[KEY].replicas == replicas
    queue.close()


def test_a_schedule_that_is_none_stops_nothing_but_itself() -> None:
    bad = {**MORNING, "name": "bad", "timezone": "Europe/Atlantis", "minReplicas": 9}
    cluster = world({"schedules": [bad, MORNING]})
    cluster.decisions[KEY] = decision(1, Reason.WITHIN_OBJECTIVE)
    obs = at(cluster, DURING)
    assert planning.make(obs, OPTIONS).replicas == 4
    told = {c.type: c for c in concluded(obs).conditions}
    scaling = told[ConditionType.SCALING]
    assert (scaling.status, scaling.reason) == ("False", Reason.INVALID_SCHEDULE)
    assert "spec.scaling.schedules[bad].timezone: there is no time zone" in scaling.message
    assert told[ConditionType.READY].status == "True"
    assert told[ConditionType.ACCEPTED].status == "True"
