"""Pods whose node is lost or about to be: replaced before they end, and counted back after."""

from __future__ import annotations

from typing import Any

from conch.api.conditions import ConditionType, Reason
from conch.kube import views
from conch.observe.state import ClusterState
from conch.reconcile import plan as planning
from tests.reconcile.builders import KEY, OPTIONS, build, decision, observe, pod, raw, state


def node(name: str, *, ready: bool = True) -> views.Node:
    """A node whose kubelet does or does not report."""
    condition = views.StatusCondition("Ready", "True" if ready else "Unknown")
    return views.Node(
        metadata=views.Metadata(name=name), status=views.NodeStatus(conditions=(condition,))
    )


def fleet(replicas: int = 3, **spec: Any) -> ClusterState:
    """One service, settled, each pod on a node of its own."""
    cluster = state(raw(spec))
    build(cluster, replicas=replicas)
    for number in range(replicas):
        name = f"n{number}"
        cluster.inventory_builder.upsert_node(node(name))
        bound = pod(f"p{number}")
        cluster.set_pod(_on(bound, name))
    return cluster


def _on(bound: views.Pod, name: str) -> views.Pod:
    return views.Pod(bound.metadata, views.PodSpec(node_name=name), bound.status)


def plan(cluster: ClusterState) -> planning.Plan:
    return planning.make(observe(cluster), OPTIONS)


def available(cluster: ClusterState, made: planning.Plan) -> tuple[str, Reason, str]:
    status = planning.conclude(observe(cluster), made, planning.Outcome())
    found = next(c for c in status.conditions if c.type is ConditionType.AVAILABLE)
    return found.status, found.reason, found.message


def carried_out(cluster: ClusterState, made: planning.Plan) -> None:
    """The plan's number is on the Deployment."""
    cluster.stood_in(KEY, made.substitutes)
    if made.scale_to is not None:
        live = cluster.child(KEY, "Deployment", KEY.name)
        assert live is not None
        metadata = {**live["metadata"], "resourceVersion": "6"}
        spec = {**live["spec"], "replicas": made.scale_to}
        cluster.set_child({**live, "metadata": metadata, "spec": spec})


def test_a_lost_node_is_stood_in_for() -> None:
    cluster = fleet()
    cluster.decisions[KEY] = decision(3)
    cluster.inventory_builder.upsert_node(node("n1", ready=False))
    made = plan(cluster)
    assert (made.replicas, made.substitutes, made.scale_to) == (3, 1, 4)
    carried_out(cluster, made)
    assert plan(cluster).scale_to is None  # asked for once
    status, reason, message = available(cluster, made)
    assert (status, reason) == ("True", Reason.NODE_LEAVING)
    assert "n1" in message
    assert "2 of 3 replicas are ready elsewhere" in message


def test_the_number_goes_back_when_the_pod_has_ended() -> None:
    cluster = fleet()
    cluster.decisions[KEY] = decision(3)
    cluster.inventory_builder.upsert_node(node("n1", ready=False))
    carried_out(cluster, plan(cluster))
    cluster.set_pod(_on(pod("p9"), "n2"))
    cluster.remove_pod("uid-p1")
    made = plan(cluster)
    assert (made.substitutes, made.scale_to) == (0, 3)


def test_a_node_that_comes_back_needs_nobody() -> None:
    cluster = fleet()
    cluster.decisions[KEY] = decision(3)
    cluster.inventory_builder.upsert_node(node("n1", ready=False))
    carried_out(cluster, plan(cluster))
    cluster.inventory_builder.upsert_node(node("n1"))
    assert plan(cluster).scale_to == 3


def test_a_deleted_node_counts_as_lost_and_an_unknown_one_does_not() -> None:
    cluster = fleet()
    cluster.set_pod(_on(pod("p3"), "never-seen"))
    assert observe(cluster).leaving == ()
    cluster.inventory_builder.remove_node("n0")
    assert [p.metadata.name for p in observe(cluster).leaving] == ["p0"]


def test_stand_ins_are_never_taken_for_wanted() -> None:
    """Without a decision the number there is stays: less those that stand in."""
    cluster = fleet()
    cluster.inventory_builder.upsert_node(node("n1", ready=False))
    carried_out(cluster, plan(cluster))
    assert cluster.live_replicas(KEY) == 3
    made = plan(cluster)
    assert (made.replicas, made.substitutes, made.scale_to) == (3, 1, None)


def test_never_more_stand_in_than_are_wanted() -> None:
    cluster = fleet()
    cluster.decisions[KEY] = decision(1, Reason.SCALE_DOWN)
    for name in ("n0", "n1", "n2"):
        cluster.inventory_builder.upsert_node(node(name, ready=False))
    made = plan(cluster)
    assert (made.replicas, made.substitutes, made.scale_to) == (1, 1, 2)


def test_pods_that_end_anyway_are_not_replaced() -> None:
    cluster = fleet()
    ending = _on(pod("p1"), "n1")
    cluster.set_pod(
        views.Pod(
            views.Metadata(
                name="p1",
                namespace=KEY.namespace,
                uid="uid-p1",
                creation_timestamp=ending.metadata.creation_timestamp,
                deletion_timestamp="2026-01-01T00:00:00Z",
                labels=ending.metadata.labels,
            ),
            ending.spec,
            ending.status,
        )
    )
    cluster.inventory_builder.upsert_node(node("n1", ready=False))
    assert observe(cluster).leaving == ()


def test_who_is_on_a_node() -> None:
    cluster = fleet()
    assert cluster.on_node("n1") == {KEY}
    assert cluster.on_node("elsewhere") == set()
