"""Who is well enough to be moved, and which classes could take it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from conch.api import names
from conch.api.conditions import Reason
from conch.kube import views
from conch.observe.state import ClusterState, Observation
from conch.observe.types import (
    Decision,
    Inventory,
    NodeCapacity,
    Outlook,
    PlacementRequest,
    Prospect,
)
from conch.reconcile.moves_ready import free_units, may_move, shunned
from tests.reconcile.builders import KEY, L4, NOW, build, decision, observe, pod, raw, state
from tests.reconcile.test_moves import REQUEST as ON_A100

REQUEST = replace(ON_A100, current="l4")
CALM = decision(2, Reason.WITHIN_OBJECTIVE, latency_s=0.05)
READY = {
    "status": {
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": "Ready",
                "message": "",
                "lastTransitionTime": NOW,
            }
        ]
    }
}


def world(**meta: Any) -> ClusterState:
    """A service of two replicas on l4, both ready."""
    cluster = state({**raw(), **READY})
    build(cluster, replicas=2)
    for name in ("a", "b"):
        cluster.set_pod(replica(name, **meta))
    cluster.decisions[KEY] = CALM
    return cluster


def replica(name: str, on: str = "l4", **changes: Any) -> views.Pod:
    made = pod(name, **changes)
    made.metadata.labels[names.LABEL_ACCELERATOR] = on
    return made


def able(obs: Observation, request: PlacementRequest = REQUEST, budget: float | None = 0.5) -> bool:
    return may_move(obs, request, budget, target_s=0.1)


def test_one_that_is_well_may_move() -> None:
    assert able(observe(world()))
    assert able(observe(world()), budget=None), "nothing was counted"


def with_decision(**numbers: Any) -> Callable[[Observation], Observation]:
    made: Decision = replace(CALM, **numbers)
    return lambda obs: replace(obs, decision=made)


def unready(obs: Observation) -> Observation:
    return replace(obs, raw={**obs.raw, "status": {}})


def rolling(obs: Observation) -> Observation:
    live = copy.deepcopy(obs.children["Deployment", KEY.name])
    live["status"]["updatedReplicas"] = 1
    return replace(obs, children={**obs.children, ("Deployment", KEY.name): live})


def unseen(obs: Observation) -> Observation:
    live = copy.deepcopy(obs.children["Deployment", KEY.name])
    live["metadata"]["generation"] = 7
    return replace(obs, children={**obs.children, ("Deployment", KEY.name): live})


def one_starting(obs: Observation) -> Observation:
    return replace(obs, pods=(replica("a"), replica("b", ready=False)))


def one_elsewhere(obs: Observation) -> Observation:
    return replace(obs, pods=(replica("a"), replica("b", on="t4")))


def one_more(obs: Observation) -> Observation:
    return replace(obs, pods=(*obs.pods, replica("c")))


@pytest.mark.parametrize(
    "change",
    [
        unready,
        rolling,
        unseen,
        one_starting,
        one_elsewhere,
        one_more,
        lambda obs: replace(obs, decision=None),
        lambda obs: replace(obs, leaving=obs.pods[:1]),
        lambda obs: replace(obs, substitutes=1),
        with_decision(reason=Reason.AT_MAXIMUM),
        with_decision(reason=Reason.SCALE_UP),
        with_decision(latency_s=0.2),
        with_decision(failing=("resnet",)),
        with_decision(not_answering=("resnet",)),
        with_decision(pods_without_metrics=1),
    ],
)
def test_trouble_keeps_it_where_it_is(change: Callable[[Observation], Observation]) -> None:
    assert not able(change(observe(world())))


@pytest.mark.parametrize(
    "request_",
    [
        replace(REQUEST, unbound=1),
        replace(REQUEST, bound=0),
        replace(REQUEST, bound=3),
        replace(REQUEST, current="t4"),
    ],
)
def test_all_that_is_wanted_must_run_on_its_class(request_: PlacementRequest) -> None:
    assert not able(observe(world()), request_)


def test_who_has_been_late_too_often_stays() -> None:
    assert not able(observe(world()), budget=0.0)
    assert not able(observe(world()), budget=-1.0)


def test_a_number_somebody_else_chose_needs_no_decision() -> None:
    cluster = world()
    fixed = raw({"scaling": {"mode": "Fixed", "replicas": 2}}, resourceVersion="11")
    cluster.set_service({**fixed, **READY})
    del cluster.decisions[KEY]
    assert able(observe(cluster), budget=None)


def test_a_paused_one_is_left_alone() -> None:
    cluster = world()
    cluster.set_service({**raw({"paused": True}, resourceVersion="11"), **READY})
    assert not able(observe(cluster))


def test_one_with_a_minimum_per_site_stays() -> None:
    cluster = world()
    at_sites = {"placement": {"sites": ["a", "b"], "minReplicasPerSite": 1}}
    cluster.set_service({**raw(at_sites, resourceVersion="11"), **READY})
    assert cluster.services[KEY].service is not None
    assert not able(observe(cluster))


def test_pods_that_end_do_not_count() -> None:
    cluster = world()
    ending = replica("c")
    gone = msgspec.structs.replace(ending.metadata, deletion_timestamp="2026-01-01T00:00:00Z")
    cluster.set_pod(msgspec.structs.replace(ending, metadata=gone))
    assert able(observe(cluster))


def test_classes_that_hold_no_objective_or_take_too_many_are_shunned() -> None:
    outlook = Outlook(
        100.0,
        {
            "l4": Prospect(50.0, False),
            "t4": Prospect(9.0, True),
            "p4": Prospect(0.0, True),
            "h100": Prospect(90.0, True),
        },
    )
    rates = {name: found.rps for name, found in outlook.by_class.items()}
    sized = replace(REQUEST, capacity_rps=rates, demand_rps=100.0)
    assert shunned(sized, outlook, most=10) == {"t4", "p4"}
    assert shunned(sized, outlook, most=12) == {"p4"}
    assert shunned(REQUEST, None, most=1) == frozenset()


def node(name: str, **changes: Any) -> NodeCapacity:
    product = {"nvidia.com/gpu.product": "NVIDIA-L4"}
    made = NodeCapacity(name, product, (), True, False, {"nvidia.com/gpu": 4}, {})
    return replace(made, **changes)


def test_only_units_of_nodes_that_take_pods_count() -> None:
    nodes = (
        node("free", requested={"nvidia.com/gpu": 1}),
        node("lost", ready=False),
        node("cordoned", unschedulable=True),
        node("going", reclaimed=True),
        node("other", labels={"nvidia.com/gpu.product": "Tesla-T4"}),
    )
    assert free_units(Inventory(nodes, (L4,)), L4) == 3
