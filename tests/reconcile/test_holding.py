"""Into the path and out of it: what is written when, and what is told meanwhile."""

from __future__ import annotations

from typing import Any

import pytest

from conch.api import names
from conch.api.conditions import Reason
from conch.observe.activation import Listening
from conch.observe.state import ClusterState
from conch.reconcile import plan as planning
from tests.reconcile.builders import KEY, OPTIONS, build, decision, observe, raw, state

TO_ZERO = {"scaling": {"minReplicas": 0, "maxReplicas": 4, "idle": {"toZeroAfter": "15m"}}}
ONE, TWO = "10.0.0.1", "10.0.0.2"


def listen(cluster: ClusterState, *addresses: str) -> None:
    """These activators, and no others, listen for the service."""
    book = cluster.activation
    for address in (ONE, TWO):
        book.gone(address)
    for address in addresses:
        book.seen(address, address, leaving=False)
    found = book.of(KEY)
    assert found is not None
    for address in addresses:
        book.told(address, {str(KEY): Listening((found.port, found.port + 1), 0)})


def written(cluster: ClusterState) -> list[str] | None:
    """The addresses that the plan writes into our slice; None: it writes no slice."""
    plan = planning.make(observe(cluster), OPTIONS)
    for action in plan.applies:
        if action.obj["kind"] == "EndpointSlice":
            return [a for e in action.obj["endpoints"] for a in e["addresses"]]
    return None


def world(*, replicas: int = 1, inside: bool = False) -> ClusterState:
    """A service that may go to zero, with so many replicas; are both activators in its path?"""
    cluster = state(raw(TO_ZERO))
    listen(cluster, ONE, TWO)
    if inside:
        cluster.decisions[KEY] = decision(0, Reason.IDLE)
    build(cluster, replicas=replicas)
    cluster.decisions.pop(KEY, None)
    assert written(cluster) is None
    return cluster


def served(cluster: ClusterState, *, ready: bool = True) -> None:
    """Kubernetes' own slice has the server."""
    labels = {
        **names.service_labels(KEY.name),
        names.LABEL_SLICE_MANAGER: "endpointslice-controller.k8s.io",
    }
    meta = {"name": "resnet-x", "namespace": KEY.namespace, "labels": labels, "uid": "slice"}
    endpoint = {"addresses": ["10.1.0.1"], "conditions": {"ready": ready}}
    cluster.set_child({"kind": "EndpointSlice", "metadata": meta, "endpoints": [endpoint]})


def test_it_is_there_from_the_start_but_not_in_the_path() -> None:
    cluster = state(raw(TO_ZERO))
    listen(cluster, ONE)
    plan = planning.make(observe(cluster), OPTIONS)
    assert written(cluster) == []
    assert plan.replicas == 1  # its first replica shows that it works


def test_it_enters_with_the_decision_for_zero() -> None:
    cluster = world()
    served(cluster)
    assert written(cluster) is None
    cluster.decisions[KEY] = decision(0, Reason.IDLE)
    plan = planning.make(observe(cluster), OPTIONS)
    assert written(cluster) == [ONE, TWO]
    assert plan.scale_to == 0


def test_without_anybody_to_hold_there_is_no_zero() -> None:
    cluster = world()
    cluster.decisions[KEY] = decision(0, Reason.IDLE)
    listen(cluster)
    plan = planning.make(observe(cluster), OPTIONS)
    assert (plan.replicas, plan.scale_to) == (1, None)
    assert written(cluster) is None


def test_it_stays_until_a_server_is_ready() -> None:
    cluster = world(inside=True)  # asked for one replica by now
    assert written(cluster) is None
    served(cluster, ready=False)
    assert written(cluster) is None
    served(cluster)
    assert written(cluster) == []


def test_a_server_that_fails_above_zero_does_not_bring_it_back() -> None:
    cluster = world()
    served(cluster, ready=False)
    assert written(cluster) is None


def test_it_follows_the_activators_while_it_is_in_the_path() -> None:
    cluster = world(replicas=0, inside=True)
    listen(cluster, TWO)
    assert written(cluster) == [TWO]
    listen(cluster)  # the operator reaches none: those that are there are the best it knows
    assert written(cluster) is None
    assert planning.make(observe(cluster), OPTIONS).replicas == 0


def test_a_restarted_operator_writes_nothing() -> None:
    before = world(replicas=0, inside=True)
    after = state(raw(TO_ZERO))
    for child in observe(before).children.values():
        after.set_child(child)
    plan = planning.make(observe(after), OPTIONS)
    assert plan.applies == ()
    assert (plan.replicas, plan.scale_to) == (0, None)


def test_one_that_may_go_to_zero_no_more_is_held_until_it_is_served() -> None:
    cluster = world(replicas=0, inside=True)
    served(cluster, ready=False)
    cluster.set_service(raw(generation=2, resourceVersion="11"))
    plan = planning.make(observe(cluster), OPTIONS)
    assert plan.scale_to == 1
    assert plan.deletes == ()
    served(cluster)
    (gone,) = planning.make(observe(cluster), OPTIONS).deletes
    assert (gone["kind"], gone["metadata"]["name"]) == ("EndpointSlice", KEY.name)


def test_no_slice_where_there_never_was_an_activator() -> None:
    cluster = state(raw(TO_ZERO))
    assert written(cluster) is None
    assert planning.make(observe(cluster), OPTIONS).applies


def conditions(cluster: ClusterState) -> dict[str, tuple[str, str]]:
    seen = observe(cluster)
    status = planning.conclude(seen, planning.make(seen, OPTIONS), planning.Outcome())
    found: Any = status.body["conditions"]
    return {c["type"]: (c["status"], c["reason"]) for c in found}


@pytest.mark.parametrize("decided", [True, False])
def test_at_zero_it_is_ready_and_says_why(decided: bool) -> None:
    cluster = world(replicas=0, inside=True)
    if decided:
        cluster.decisions[KEY] = decision(0, Reason.IDLE, demand_rps=0.0)
    told = conditions(cluster)
    assert told["Ready"] == ("True", "Idle")
    assert told["Available"] == ("True", "Idle")
    assert told["Reconciling"][0] == told["Stalled"][0] == "False"
    assert told["Scaling"] == ("True", "Idle" if decided else "Learning")


def test_on_the_way_back_it_is_not_ready_and_in_progress() -> None:
    cluster = world(replicas=0, inside=True)
    cluster.decisions[KEY] = decision(1, Reason.FROM_ZERO)
    told = conditions(cluster)
    assert told["Ready"] == ("False", "PodsStarting")
    assert told["Reconciling"][0] == "True"
    assert told["Scaling"] == ("True", "FromZero")


def test_without_an_activator_scaling_says_so() -> None:
    cluster = world()
    cluster.decisions[KEY] = decision(1, Reason.NO_ACTIVATOR)
    assert conditions(cluster)["Scaling"] == ("False", "NoActivator")
