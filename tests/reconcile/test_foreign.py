"""Somebody else scales our Deployment: it is left alone and told, and taken back afterwards."""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import pytest

from conch.api import names
from conch.api.conditions import Condition, ConditionType, Reason
from conch.kube.views import Autoscaler, AutoscalerSpec, Metadata, ScaleTarget
from conch.observe.state import ClusterState
from conch.reconcile import plan as planning
from tests.reconcile.builders import KEY, OPTIONS, build, decision, observe, pod, raw, state

HPA = Autoscaler(
    Metadata(name="rule", namespace=KEY.namespace, uid="hpa"),
    AutoscalerSpec(ScaleTarget("apps/v1", "Deployment", KEY.name)),
)


def world(scaling: dict[str, Any] | None = None, live: int = 3) -> ClusterState:
    cluster = state(raw({"scaling": scaling or {"minReplicas": 2}}))
    cluster.decisions[KEY] = decision(5, Reason.SCALE_UP)
    build(cluster, replicas=live)
    for number in range(live):
        cluster.set_pod(pod(f"p{number}"))
    return cluster


def written(cluster: ClusterState, replicas: int, *managers: str) -> None:
    """The Deployment as the server has it after somebody wrote its replicas."""
    live = cluster.child(KEY, "Deployment", KEY.name)
    assert live is not None
    fields = {"f:spec": {"f:replicas": {}}}
    managed = [{"manager": m, "fieldsV1": fields} for m in managers]
    version = str(int(live["metadata"]["resourceVersion"]) + 1)
    meta = {**live["metadata"], "uid": "d", "resourceVersion": version, "managedFields": managed}
    cluster.set_child({**live, "metadata": meta, "spec": {**live["spec"], "replicas": replicas}})


def scaling_of(cluster: ClusterState, now: str = "2026-01-01T00:10:00Z") -> Condition:
    obs = dataclasses.replace(observe(cluster), now=now)
    status = planning.conclude(obs, planning.make(obs, OPTIONS), planning.Outcome())
    (found,) = (c for c in status.conditions if c.type is ConditionType.SCALING)
    return found


@pytest.mark.parametrize(
    "scaling",
    [{"minReplicas": 4}, {"mode": "Fixed", "replicas": 9}, {"mode": "External", "replicas": 9}],
)
def test_an_autoscaler_on_our_deployment_is_never_fought(scaling: dict[str, Any]) -> None:
    cluster = world(scaling)
    assert planning.make(observe(cluster), OPTIONS).scale_to in (5, 9)
    cluster.foreign.set_autoscaler(HPA)
    plan = planning.make(observe(cluster), OPTIONS)
    assert (plan.replicas, plan.scale_to) == (3, None)
    told = scaling_of(cluster)
    assert (told.status, told.reason) == ("False", Reason.FOREIGN_SCALER)
    assert told.message == (
        "HorizontalPodAutoscaler rule scales Deployment resnet, which is Conch's: its replicas are "
        "left alone. For one scaler only, delete it, or let it target InferenceService resnet "
        f"({names.API_VERSION}) with scaling.mode External."
    )
    cluster.foreign.remove_autoscaler("hpa")
    assert planning.make(observe(cluster), OPTIONS).scale_to in (5, 9)
    assert scaling_of(cluster).status == "True"


def test_what_it_does_is_followed_without_a_write_but_the_status() -> None:
    cluster = world()
    cluster.foreign.set_autoscaler(HPA)
    for replicas in (7, 1):
        written(cluster, replicas, "kube-controller-manager")
        plan = planning.make(observe(cluster), OPTIONS)
        assert (plan.replicas, plan.scale_to) == (replicas, None)
    obs = observe(cluster)
    status = planning.conclude(obs, planning.make(obs, OPTIONS), planning.Outcome())
    body = copy.deepcopy(dict(status.body))
    cluster.set_service({**cluster.services[KEY].raw, "status": body})
    obs = observe(cluster)
    again = planning.conclude(obs, planning.make(obs, OPTIONS), planning.Outcome())
    assert not planning.status_differs(obs, again)


def test_it_may_even_go_to_zero_where_the_activator_holds() -> None:
    cluster = world()
    cluster.foreign.set_autoscaler(HPA)
    written(cluster, 0, "keda-operator")
    plan = planning.make(observe(cluster), OPTIONS)
    assert (plan.replicas, plan.scale_to) == (0, None)


def test_an_autoscaler_for_a_deployment_that_is_not_there_yet_does_not_stop_it() -> None:
    cluster = state()
    cluster.foreign.set_autoscaler(HPA)
    plan = planning.make(observe(cluster), OPTIONS)
    assert any(a.obj["kind"] == "Deployment" for a in plan.applies)


def test_a_hand_in_it_is_put_right_and_a_fight_is_ended() -> None:
    cluster = world()
    for number, minute in enumerate(("01", "02", "03")):
        at = f"2026-01-01T00:{minute}:00Z"
        written(cluster, 8, "kubectl")
        plan = planning.make(dataclasses.replace(observe(cluster), now=at), OPTIONS)
        assert plan.scale_to == (5 if number < 2 else None)
        if number < 2:
            assert scaling_of(cluster, at).reason is Reason.SCALE_UP
            cluster.foreign.retaken(KEY, at)
            written(cluster, 5, names.MANAGER_SCALER)
    told = scaling_of(cluster, "2026-01-01T00:04:00Z")
    assert (told.status, told.reason) == ("False", Reason.FOREIGN_SCALER)
    assert told.message.startswith("Field manager kubectl keeps setting spec.replicas of Deployme")
    late = dataclasses.replace(observe(cluster), now="2026-01-01T00:11:30Z")
    assert planning.make(late, OPTIONS).scale_to == 5, "one in ten minutes is no fight"


def test_different_hands_are_no_fight() -> None:
    cluster = world()
    for who in ("kubectl", "dashboard", "helm"):
        written(cluster, 8, who)
        cluster.foreign.retaken(KEY, "2026-01-01T00:01:00Z")
    obs = dataclasses.replace(observe(cluster), now="2026-01-01T00:02:00Z")
    assert planning.make(obs, OPTIONS).scale_to == 5
