"""Services at sites: what is reported of each, and that a site cut off is no site lost."""

from __future__ import annotations

from typing import Any

from conch.api import names
from conch.kube import views
from conch.observe.state import ClusterState
from conch.reconcile import plan as planning
from tests.reconcile.builders import KEY, OPTIONS, build, observe, pod, raw, state

PINNED = {"placement": {"sites": ["oslo", "berlin"]}}


def node(name: str, site: str, *, ready: bool = True) -> views.Node:
    condition = views.StatusCondition("Ready", "True" if ready else "Unknown")
    return views.Node(
        metadata=views.Metadata(name=name, labels={names.LABEL_SITE: site} if site else {}),
        status=views.NodeStatus(conditions=(condition,)),
    )


def bound(name: str, to: str, *, ready: bool = True) -> views.Pod:
    made = pod(name, ready=ready)
    return views.Pod(made.metadata, views.PodSpec(node_name=to), made.status)


def cluster(spec: dict[str, Any]) -> ClusterState:
    made = state(raw(spec))
    build(made, replicas=2)
    made.inventory_builder.upsert_node(node("n1", "oslo"))
    made.inventory_builder.upsert_node(node("n2", ""))
    made.set_pod(bound("p1", "n1"))
    made.set_pod(bound("p2", "n1", ready=False))
    return made


def status(made: ClusterState) -> dict[str, Any]:
    seen = observe(made)
    told = planning.conclude(seen, planning.make(seen, OPTIONS), planning.Outcome())
    return dict(told.body)


def test_every_site_asked_for_is_reported() -> None:
    made = cluster(PINNED)
    assert status(made)["sites"] == [
        {"name": "berlin", "replicas": 0, "readyReplicas": 0},
        {"name": "oslo", "replicas": 2, "readyReplicas": 1, "connected": True},
    ]


def test_pods_left_where_they_may_be_no_more_are_reported_too() -> None:
    made = cluster({"placement": {"sites": ["berlin"]}})
    assert [site["name"] for site in status(made)["sites"]] == ["berlin", "oslo"]


def test_a_service_without_sites_reports_none() -> None:
    assert "sites" not in status(cluster({}))


def test_a_site_that_is_cut_off_is_told_and_not_replaced() -> None:
    made = cluster(PINNED)
    made.inventory_builder.upsert_node(node("n1", "oslo", ready=False))
    assert status(made)["sites"][1]["connected"] is False
    plan = planning.make(observe(made), OPTIONS)
    assert (plan.substitutes, plan.scale_to, plan.deletes) == (0, None, ())


def test_elsewhere_a_silent_node_is_replaced() -> None:
    made = cluster({})
    made.inventory_builder.upsert_node(node("n1", "oslo", ready=False))
    assert planning.make(observe(made), OPTIONS).substitutes == 2


def test_a_site_whose_node_was_deleted_is_replaced() -> None:
    made = cluster(PINNED)
    made.inventory_builder.remove_node("n1")
    assert len(made.leaving(KEY)) == 2
