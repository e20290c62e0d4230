"""What is expected of classes a service is not on: learned, estimated, or not known; and steady."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from conch.api import names
from conch.api.conditions import Reason
from conch.autoscale import ScalerState
from conch.autoscale.curve import Curve
from conch.autoscale.state import ModelState, Plan, Speed
from conch.kube import views
from conch.observe.state import ClusterState
from conch.observe.types import Outlook, Prospect, ScalingPolicy
from conch.reconcile.memory import Memory
from conch.reconcile.plan import Outcome, conclude, make
from conch.reconcile.prospects import Prospects, fed, outlook_of, ratio_on, steady, told
from conch.triton.sample import BatchStat
from tests.reconcile.builders import (
    KEY,
    OPTIONS,
    UID,
    build,
    decision,
    observe,
    pod,
    raw,
    state,
)

TWO_CLASSES = {"placement": {"accelerators": {"classes": ["l4", "t4"]}}}


def policy(target_s: float = 0.2, *models: str) -> ScalingPolicy:
    return ScalingPolicy(99, target_s, 1, 10, models or ("m",), {}, {})


def runs(ms: float) -> Speed:
    """A model whose requests take that long, one by one."""
    return Speed(plan=Plan((ms / 1000,), 0.0))


def curve(ms: float, executions: int = 100) -> Curve:
    return Curve().learned({1: BatchStat(executions, executions * ms / 1000)}, 0.0)


def ratio(
    models: Mapping[str, Speed] | None = None,
    known: Mapping[str, Curve] | None = None,
    speed: float | None = None,
    target_s: float = 0.2,
) -> Prospect | None:
    found = {"m": runs(10)} if models is None else models
    return ratio_on(policy(target_s, *found), found, known or {}, speed)


def test_a_class_it_has_been_on_is_known() -> None:
    found = ratio(known={"m": curve(20)}, speed=5.0)
    assert found is not None
    assert not found.estimated
    assert 0.3 < found.rps < 0.55, "twice as long, and less of the target left for waiting"


def test_elsewhere_the_two_gpus_are_compared() -> None:
    assert ratio(speed=1.5) == Prospect(1.5, estimated=True)
    slower = ratio(speed=0.5)
    learned = ratio(known={"m": curve(20)})
    assert slower is not None
    assert learned is not None
    assert slower.estimated
    assert slower.rps == pytest.approx(learned.rps, rel=0.05)


def test_what_nothing_tells_of_is_left_out() -> None:
    assert ratio() is None
    assert ratio(models={"m": Speed()}, speed=2.0) is None


def test_where_no_request_is_in_time_nothing_is_carried() -> None:
    assert ratio(known={"m": curve(300)}) == Prospect(0.0, estimated=False)
    assert ratio(speed=1 / 30) == Prospect(0.0, estimated=True)


def test_of_several_models_the_one_that_loses_most_counts() -> None:
    models = {"m": runs(10), "n": runs(10), "silent": Speed()}
    assert ratio(models, {"m": curve(10), "n": curve(20)}) == ratio(known={"m": curve(20)})
    mixed = ratio(models, {"m": curve(10)}, speed=1.2)
    assert mixed is not None
    assert mixed.estimated
    assert mixed.rps == pytest.approx(1.0, abs=0.05)
    assert ratio(models, {"m": curve(10)}) is None, "of one nothing is known"


def test_an_unreachable_target_compares_nothing() -> None:
    assert ratio(speed=2.0, target_s=0.005) is None
    late = decision(2, Reason.TARGET_UNREACHABLE, bound_rps=10.0, capacity_rps=5.0)
    assert outlook_of(late, "l4", {}) is None


def outlook(demand: float = 100.0, l4: float = 10.0, t4: float = 5.0) -> Outlook:
    return Outlook(demand, {"l4": Prospect(l4, False), "t4": Prospect(t4, True)})


@pytest.mark.parametrize("factor", [0.95, 1.0, 1.05])
def test_noise_changes_no_number(factor: float) -> None:
    noisy = outlook(100 * factor, 10 * factor, 5 * factor)
    assert steady(outlook(), noisy) == outlook()


def test_what_has_moved_is_followed() -> None:
    assert steady(outlook(), outlook(demand=120.0)) == outlook(demand=120.0)
    assert steady(outlook(), outlook(t4=4.0)) == outlook(t4=4.0)
    learned = replace(outlook(), by_class={"t4": Prospect(5.0, False)})
    assert steady(outlook(), learned) == learned


def test_only_what_runs_where_its_scaler_looks_is_weighed() -> None:
    assert fed(outlook(), "l4", 2) == ({"l4": 10.0, "t4": 5.0}, 100.0)
    for found, current, bound in ((None, "l4", 2), (outlook(), "l4", 0), (outlook(), "h100", 2)):
        assert fed(found, current, bound) == ({}, None)


def test_an_estimate_refuses_no_class() -> None:
    assert fed(outlook(t4=0.0), "l4", 2) == ({"l4": 10.0}, 100.0)
    seen = Outlook(100.0, {"l4": Prospect(10.0, False), "t4": Prospect(0.0, False)})
    assert fed(seen, "l4", 2) == ({"l4": 10.0, "t4": 0.0}, 100.0)


# --- in the loop ----------------------------------------------------------------------------------


def node(product: str) -> views.Node:
    return views.Node(
        metadata=views.Metadata(name=product, labels={"nvidia.com/gpu.product": product}),
        status=views.NodeStatus(
            allocatable={"cpu": "64", "memory": "256Gi", "nvidia.com/gpu": "4"},
            conditions=(views.StatusCondition("Ready", "True"),),
        ),
    )


def on_l4() -> ModelState:
    """What its scaler knows of a model that has been on l4 only."""
    return ModelState({"l4": replace(runs(10), curve=curve(10))})


def world() -> tuple[ClusterState, ScalerState]:
    """A service on l4 that may also be on t4, and what its scaler knows."""
    cluster = state(raw(TWO_CLASSES))
    for product in ("NVIDIA-L4", "Tesla-T4", "NVIDIA-A100-SXM4-40GB"):
        cluster.inventory_builder.upsert_node(node(product))
    build(cluster)
    return cluster, ScalerState(models={"resnet": on_l4()})


DECIDED = decision(2, Reason.WITHIN_OBJECTIVE, bound_rps=100.0, capacity_rps=60.0)


def looked(cluster: ClusterState, scaler: ScalerState, memory: Memory) -> Outlook:
    prospects = Prospects(cluster, memory)
    record = cluster.services[KEY]
    prospects.look(KEY, record, policy(0.2, "resnet"), scaler, DECIDED, 0.0)
    return cluster.outlooks[KEY]


def test_a_look_knows_each_class_that_the_service_may_use() -> None:
    cluster, scaler = world()
    found = looked(cluster, scaler, Memory(cluster, {}))
    assert found.demand_rps == 100.0
    assert found.by_class.keys() == {"l4", "t4"}
    assert found.by_class["l4"] == Prospect(60.0, False)
    assert found.by_class["t4"].estimated
    assert 20 < found.by_class["t4"].rps < 60


def test_what_was_learned_on_the_other_class_goes_before_an_estimate() -> None:
    cluster, scaler = world()
    memory = Memory(cluster, {UID: scaler})
    memory.learn(0.0)
    assert move(cluster, "t4") == "t4"
    scaler = ScalerState(models={"resnet": ModelState({"t4": runs(10)})})
    found = looked(cluster, scaler, memory)
    assert not found.by_class["l4"].estimated
    assert found.by_class["l4"].rps == pytest.approx(60.0, rel=0.05)


def move(cluster: ClusterState, name: str) -> str:
    """Its Deployment names another class, with the same requests."""
    live = cluster.child(KEY, "Deployment", KEY.name)
    assert live is not None
    labels = {names.LABEL_ACCELERATOR: name}
    template = live["spec"]["template"]
    meta = {**template["metadata"], "labels": {**template["metadata"]["labels"], **labels}}
    spec = {**live["spec"], "template": {**template, "metadata": meta}}
    metadata = {**live["metadata"], "labels": {**live["metadata"]["labels"], **labels}}
    cluster.set_child({**live, "metadata": metadata, "spec": spec})
    return name


def test_on_its_way_there_is_no_outlook_and_for_a_while_after() -> None:
    cluster, scaler = world()
    prospects = Prospects(cluster, Memory(cluster, {}))
    record = cluster.services[KEY]

    def looks(now_s: float) -> bool:
        prospects.look(KEY, record, policy(0.2, "resnet"), scaler, DECIDED, now_s)
        return KEY in cluster.outlooks

    assert looks(0.0)
    cluster.set_pod(on("old", "l4"))
    move(cluster, "t4")
    assert not looks(2.0)
    assert not looks(200.0), "some are still on the class it leaves"
    cluster.remove_pod("uid-old")
    assert not looks(202.0)
    assert looks(321.0)


def on(name: str, accelerator: str) -> views.Pod:
    made = pod(name)
    made.metadata.labels.update({names.LABEL_ACCELERATOR: accelerator})
    return made


def test_on_its_way_each_class_is_learned_by_itself() -> None:
    cluster, _ = world()
    cluster.set_pod(on("old", "l4"))
    record = cluster.services[KEY]
    move(cluster, "t4")
    cluster.set_pod(on("new", "t4"))
    both = {"l4": Speed(curve(10)), "t4": Speed(curve(20))}
    memory = Memory(cluster, {UID: ScalerState(models={"resnet": ModelState(both)})})
    assert memory.learn(60.0)
    found = memory.begin(KEY, record).models["resnet"].speeds
    assert {name: speed.curve.service_s(1)[0] for name, speed in found.items()} == {
        "l4": pytest.approx(0.01, rel=0.01),
        "t4": pytest.approx(0.02, rel=0.01),
    }


def test_of_a_new_class_is_expected_what_the_gpus_tell_and_that_is_not_kept() -> None:
    cluster, scaler = world()
    memory = Memory(cluster, {})
    record = cluster.services[KEY]
    memory.begin(KEY, record)
    assert memory.settle(KEY, record, scaler) is scaler
    move(cluster, "t4")
    settled = memory.settle(KEY, record, scaler)
    assert memory.settle(KEY, record, settled) is not scaler
    expected = settled.models["resnet"].speeds["t4"].curve
    assert expected.service_s(1)[0] == pytest.approx(0.0186, rel=0.1), "half the multiplications"
    assert not Memory(cluster, {UID: settled}).learn(0.0), "an estimate is no memory"
    now = expected.learned({1: BatchStat(30, 0.9)}, 2.0)
    assert now.service_s(1)[0] == pytest.approx(0.03, rel=0.1), "what is seen replaces it"


def test_what_another_service_life_learned_on_the_new_class_is_taken_up() -> None:
    cluster, scaler = world()
    memory = Memory(cluster, {UID: scaler})
    memory.learn(0.0)
    record = cluster.services[KEY]
    move(cluster, "t4")
    fresh = memory.begin(KEY, record)
    assert fresh.models == {}
    seen = ScalerState(models={"resnet": ModelState({"t4": runs(20)})})
    move(cluster, "l4")
    settled = memory.settle(KEY, record, seen)
    assert settled.models["resnet"].speeds["l4"].curve.service_s(1) == pytest.approx([0.01], 0.01)
    assert settled.models["resnet"].speeds["t4"] == runs(20), "what was seen stays"
    assert memory.settle(KEY, record, settled) is settled


# --- as it is told --------------------------------------------------------------------------------


def test_the_status_tells_it_and_is_read_again() -> None:
    cluster = state()
    build(cluster)
    cluster.decisions[KEY] = DECIDED
    cluster.outlooks[KEY] = Outlook(
        100.0, {"h100": Prospect(120.4, True), "l4": Prospect(60.0, False), "t4": Prospect(0, True)}
    )
    seen = observe(cluster)
    body = conclude(seen, make(seen, OPTIONS), Outcome()).body
    assert body["capacities"] == [
        {"accelerator": "l4", "perReplica": "60/s"},
        {"accelerator": "h100", "perReplica": "120/s", "estimated": True},
        {"accelerator": "t4", "perReplica": "0/s", "estimated": True},
    ]
    assert told(body) == Outlook(
        100.0, {"l4": Prospect(60.0, False), "h100": Prospect(120, True), "t4": Prospect(0, True)}
    )


def test_what_an_earlier_operator_told_stays_until_there_is_a_decision() -> None:
    before = [{"accelerator": "l4", "perReplica": "60/s"}]
    cluster = state({**raw(), "status": {"observedGeneration": 1, "capacities": before}})
    seen = observe(cluster)
    assert conclude(seen, make(seen, OPTIONS), Outcome()).body["capacities"] == before


@pytest.mark.parametrize(
    "status",
    [
        None,
        {},
        {"decision": {"bound": "10/s"}},
        {"decision": {"bound": "10/s"}, "capacities": [{"accelerator": "l4"}]},
        {"decision": {"bound": "10/s"}, "capacities": [{"accelerator": "l4", "perReplica": 3}]},
        {"decision": {"bound": "much"}, "capacities": []},
        {"decision": {"bound": "nan/s"}, "capacities": []},
        {"decision": [], "capacities": {}},
    ],
)
def test_nonsense_in_a_status_is_no_outlook(status: object) -> None:
    assert told(status) is None
