"""What one reconcile decides to write, and that a converged world gives no write."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import msgspec
import pytest

from conch.api.conditions import ConditionType, Reason
from conch.kube import views
from conch.observe.types import Assignment
from conch.reconcile import plan as planning
from tests.reconcile.builders import (
    KEY,
    OPTIONS,
    UID,
    build,
    decision,
    observe,
    placed,
    pod,
    raw,
    state,
)


def conditions(status: planning.Status) -> dict[str, tuple[str, str]]:
    return {c.type.value: (c.status, c.reason.value) for c in status.conditions}


def test_a_new_service_gets_its_children_in_order() -> None:
    plan = planning.make(observe(state()), OPTIONS)
    assert [a.obj["kind"] for a in plan.applies] == ["NetworkPolicy", "Service", "Deployment"]
    assert all(a.create for a in plan.applies)
    assert plan.scale_to is None, "one replica is what the API server gives by default"
    status = planning.conclude(observe(state()), plan, planning.Outcome())
    assert conditions(status)["Ready"] == ("False", "PodsStarting")
    assert conditions(status)["Reconciling"][0] == "True"


def test_a_converged_world_gives_no_write() -> None:
    cluster = state()
    build(cluster)
    cluster.set_pod(pod())
    first = planning.make(observe(cluster), OPTIONS)
    status = planning.conclude(observe(cluster), first, planning.Outcome())
    assert conditions(status)["Ready"] == ("True", "Ready")
    assert conditions(status)["Reconciling"] == ("False", "Settled")
    cluster.set_service({**raw(), "status": copy.deepcopy(dict(status.body))})
    again = planning.make(observe(cluster), OPTIONS)
    assert (again.applies, again.deletes, again.scale_to) == ((), (), None)
    assert not planning.status_differs(
        observe(cluster), planning.conclude(observe(cluster), again, planning.Outcome())
    )


def test_room_that_comes_and_goes_writes_nothing() -> None:
    cluster = state()
    build(cluster)
    cluster.assignments[KEY] = placed(room=0)
    assert planning.make(observe(cluster), OPTIONS).applies == ()


def test_a_new_version_of_the_operator_restarts_no_server() -> None:
    cluster = state()
    build(cluster)
    newer = dataclasses.replace(OPTIONS, fetch_image="conch:next")
    assert planning.make(observe(cluster), newer).applies == ()
    cluster.set_service(raw({"resources": {"memory": "8Gi"}}, resourceVersion="11"))
    (change,) = planning.make(observe(cluster), newer).applies
    (*_, fetch) = change.obj["spec"]["template"]["spec"]["initContainers"]
    assert fetch["image"] == "conch:next", "with the next change it comes along"


@pytest.mark.parametrize(
    ("room", "waiting", "surge"), [(0, 0, 0), (3, 0, 1), (3, 2, 2), (1, 2, 1), (0, 2, 0)]
)
def test_a_rollout_surges_only_into_free_accelerators(room: int, waiting: int, surge: int) -> None:
    """By one for what runs; what waits for a node serves nobody, and is replaced at once."""
    cluster = state(raw({"scaling": {"mode": "Fixed", "replicas": 2}}))
    build(cluster, replicas=2)
    for number in range(2):
        bound = views.PodSpec(node_name="n" if number >= waiting else "")
        cluster.set_pod(msgspec.structs.replace(pod(f"p{number}"), spec=bound))
    cluster.set_service(
        raw({"scaling": {"mode": "Fixed", "replicas": 2}, "resources": {"memory": "8Gi"}})
    )
    cluster.assignments[KEY] = placed(room=room)
    (change,) = planning.make(observe(cluster), OPTIONS).applies
    assert change.obj["spec"]["strategy"]["rollingUpdate"]["maxSurge"] == surge
    assert change.why


@pytest.mark.parametrize(
    ("scaling", "live", "decided", "wanted"),
    [
        ({"mode": "Fixed", "replicas": 4}, 1, None, 4),
        ({"mode": "Fixed", "replicas": 0}, 1, None, 0),
        ({"mode": "External"}, 1, 7, 1),
        ({"mode": "External", "replicas": 99, "maxReplicas": 5}, 1, None, 5),
        ({"mode": "External", "replicas": 0, "minReplicas": 2}, 1, None, 2),
        ({"mode": "Latency"}, 3, None, 3),
        ({"mode": "Latency", "maxReplicas": 2}, 3, None, 2),
        ({"mode": "Latency", "maxReplicas": 4}, 3, 9, 4),
        ({"mode": "Latency", "minReplicas": 2}, 3, 1, 2),
    ],
)
def test_replicas_wanted(
    scaling: dict[str, Any], live: int, decided: int | None, wanted: int
) -> None:
    cluster = state(raw({"scaling": scaling}))
    build(cluster, replicas=live)
    if decided is not None:
        cluster.decisions[KEY] = decision(decided)
    plan = planning.make(observe(cluster), OPTIONS)
    assert plan.replicas == wanted
    assert plan.scale_to == (None if wanted == live else wanted)


def test_a_budget_exists_only_above_one_replica() -> None:
    cluster = state(raw({"scaling": {"mode": "Fixed", "replicas": 2}}))
    build(cluster, replicas=2)
    assert ("PodDisruptionBudget", KEY.name) in observe(cluster).children
    cluster.set_service(raw({"scaling": {"mode": "Fixed", "replicas": 1}}, resourceVersion="11"))
    plan = planning.make(observe(cluster), OPTIONS)
    assert [d["kind"] for d in plan.deletes] == ["PodDisruptionBudget"]


def test_paused_or_leaving_services_are_left_alone() -> None:
    for service in (raw({"paused": True}), raw(deletionTimestamp="2026-01-01T00:00:00Z")):
        plan = planning.make(observe(state(service)), OPTIONS)
        assert (plan.applies, plan.scale_to, plan.halted) == ((), None, True)


def test_paused_is_told() -> None:
    cluster = state()
    build(cluster)
    cluster.set_pod(pod())
    cluster.set_service(raw({"paused": True}, resourceVersion="11"))
    plan = planning.make(observe(cluster), OPTIONS)
    status = planning.conclude(observe(cluster), plan, planning.Outcome())
    assert conditions(status)["Reconciling"] == ("False", "Paused")
    assert conditions(status)["Ready"] == ("True", "Ready"), "what serves keeps serving"


def test_no_capacity_builds_nothing_and_says_so() -> None:
    cluster = state(assignment=Assignment(None, Reason.NO_CAPACITY, "l4: 1 node, 0 of 4 free"))
    plan = planning.make(observe(cluster), OPTIONS)
    assert plan.applies == ()
    status = planning.conclude(observe(cluster), plan, planning.Outcome())
    assert conditions(status)["Placed"] == ("False", "NoCapacity")
    assert conditions(status)["Ready"] == ("False", "NoCapacity")
    assert conditions(status)["Stalled"][0] == "False", "a node may come"


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"runtime": "nope"}, "RuntimeNotFound"),
        ({"models": [{"name": "m", "source": {"uri": "https://x/m.tgz"}}]}, "SourceNotAllowed"),
        ({"models": "none of your business"}, "InvalidSpec"),
    ],
)
def test_what_cannot_be_built_is_refused_with_a_reason(spec: dict[str, Any], reason: str) -> None:
    cluster = state(raw(spec))
    plan = planning.make(observe(cluster), OPTIONS)
    assert plan.applies == ()
    told = conditions(planning.conclude(observe(cluster), plan, planning.Outcome()))
    assert told["Accepted"] == ("False", reason)
    assert told["Ready"] == ("False", reason)
    assert told["Stalled"] == ("True", reason)


def test_somebody_elses_object_is_refused_not_taken() -> None:
    cluster = state()
    build(cluster)
    deployment = copy.deepcopy(observe(cluster).children["Deployment", KEY.name])
    deployment["metadata"]["ownerReferences"] = []
    deployment["metadata"]["resourceVersion"] = "6"
    cluster.set_child(deployment)
    plan = planning.make(observe(cluster), OPTIONS)
    assert plan.collision == f"Deployment {KEY.name}"
    assert (plan.applies, plan.deletes) == ((), ())
    told = conditions(planning.conclude(observe(cluster), plan, planning.Outcome()))
    assert told["Applied"] == ("False", "NameCollision")


def test_children_of_an_earlier_namesake_are_waited_for() -> None:
    cluster = state()
    build(cluster)
    cluster.set_service(raw(uid="2" + UID[1:], resourceVersion="12"))
    cluster.assignments[KEY] = placed()
    plan = planning.make(observe(cluster), OPTIONS)
    assert plan.terminating
    assert (plan.applies, plan.deletes) == ((), ())
    assert planning.conclude(observe(cluster), plan, planning.Outcome()).requeue_after_s


def test_a_refused_child_is_told() -> None:
    cluster = state()
    plan = planning.make(observe(cluster), OPTIONS)
    outcome = planning.Outcome(("Deployment resnet: exceeded quota",))
    told = conditions(planning.conclude(observe(cluster), plan, outcome))
    assert told["Applied"] == ("False", "ApplyRefused")
    assert told["Stalled"] == ("True", "ApplyRefused")


def test_transition_times_stay_while_the_status_stays() -> None:
    cluster = state()
    plan = planning.make(observe(cluster), OPTIONS)
    first = planning.conclude(observe(cluster), plan, planning.Outcome())
    body = copy.deepcopy(dict(first.body))
    for condition in body["conditions"]:
        condition["lastTransitionTime"] = "2020-01-01T00:00:00Z"
    cluster.set_service({**raw(resourceVersion="11"), "status": body})
    again = planning.conclude(observe(cluster), plan, planning.Outcome())
    assert {c["lastTransitionTime"] for c in again.body["conditions"]} == {"2020-01-01T00:00:00Z"}


def test_only_what_somebody_waits_for_is_urgent() -> None:
    cluster = state()
    build(cluster, replicas=1, ready=0)
    cluster.set_pod(pod(ready=False))
    plan = planning.make(observe(cluster), OPTIONS)
    shown = planning.conclude(observe(cluster), plan, planning.Outcome())
    assert planning.urgent(observe(cluster), shown), "nothing was ever told"
    cluster.set_service({**raw(resourceVersion="11"), "status": copy.deepcopy(dict(shown.body))})
    cluster.set_pod(pod("p2", ready=False))
    counts = planning.conclude(observe(cluster), plan, planning.Outcome())
    assert planning.status_differs(observe(cluster), counts)
    assert not planning.urgent(observe(cluster), counts)
    cluster.assignments[KEY] = Assignment(None, Reason.NO_CAPACITY, "full")
    lost = planning.make(observe(cluster), OPTIONS)
    worse = planning.conclude(observe(cluster), lost, planning.Outcome())
    assert planning.urgent(observe(cluster), worse)


def test_every_condition_has_one_owner() -> None:
    cluster = state()
    plan = planning.make(observe(cluster), OPTIONS)
    told = [
        c.type for c in planning.conclude(observe(cluster), plan, planning.Outcome()).conditions
    ]
    assert sorted(told) == sorted(ConditionType)
