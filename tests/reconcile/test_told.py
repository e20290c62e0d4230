"""A restart of the operator tells nothing new of services that go on as before."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from conch.api.conditions import Reason
from conch.observe.state import ClusterState
from conch.reconcile import plan as planning
from tests.reconcile.builders import KEY, OPTIONS, build, decision, observe, pod, raw, state


def concluded(cluster: ClusterState) -> planning.Status:
    obs = observe(cluster)
    return planning.conclude(obs, planning.make(obs, OPTIONS), planning.Outcome())


def restarted(reason: Reason, spec: dict[str, Any] | None = None, **numbers: Any) -> ClusterState:
    """A cluster as a new operator finds it: the status is an earlier one's."""
    cluster = state(raw(spec))
    build(cluster)
    cluster.set_pod(pod())
    cluster.decisions[KEY] = decision(1, reason, **numbers)
    body = copy.deepcopy(dict(concluded(cluster).body))
    del cluster.decisions[KEY]
    cluster.set_service({**cluster.services[KEY].raw, "status": body})
    return cluster


def conditions(cluster: ClusterState) -> dict[str, str]:
    return {c.type.value: c.reason.value for c in concluded(cluster).conditions}


@pytest.mark.parametrize("mode", [{}, {"mode": "External", "replicas": 1}])
def test_a_restart_writes_no_status(mode: dict[str, Any]) -> None:
    measured = {"demand_rps": 83.0, "capacity_rps": 34.0, "latency_s": 0.08}
    cluster = restarted(Reason.WITHIN_OBJECTIVE, {"scaling": mode}, **measured)
    assert not planning.status_differs(observe(cluster), concluded(cluster))
    assert conditions(cluster)["Serving"] == "Serving"


def test_what_is_decided_now_replaces_it() -> None:
    cluster = restarted(Reason.AT_MAXIMUM, demand_rps=83.0, not_answering=("resnet",))
    assert conditions(cluster)["Serving"] == "NotAnswering"
    cluster.decisions[KEY] = decision(1, Reason.NO_TRAFFIC, demand_rps=0.0)
    found = conditions(cluster)
    assert (found["Scaling"], found["Serving"], found["Ready"]) == ("NoTraffic", "Idle", "Ready")


def test_another_spec_is_not_judged_by_the_last() -> None:
    cluster = restarted(Reason.AT_MAXIMUM, demand_rps=83.0)
    before = cluster.services[KEY].raw
    meta = {**before["metadata"], "generation": 2, "resourceVersion": "11"}
    cluster.set_service({**before, "metadata": meta})
    assert conditions(cluster)["Scaling"] == "Learning"
    assert "decision" not in concluded(cluster).body


@pytest.mark.parametrize("reason", ["ForeignScaler", "InvalidSchedule", "Fixed", "FromTheFuture"])
def test_what_is_judged_anew_each_time_is_never_remembered(reason: str) -> None:
    cluster = restarted(Reason.WITHIN_OBJECTIVE)
    old = copy.deepcopy(cluster.services[KEY].raw)
    for condition in old["status"]["conditions"]:
        if condition["type"] == "Scaling":
            condition |= {"reason": reason, "status": "False"}
    old["metadata"]["resourceVersion"] = "12"
    cluster.set_service(old)
    assert conditions(cluster)["Scaling"] == "Learning"
