"""What a service that waits for a node is told, and which nodes its status names."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec

from conch.api import names
from conch.api.conditions import Reason
from conch.kube import views
from conch.observe.types import Assignment, Provisioning
from conch.reconcile.steps import available, figures, placed
from tests.reconcile.builders import L4, NOW, build, observe, pod, state

ADDED = replace(L4, provisioning=Provisioning(4, 8, 600.0))
WAITS = Assignment(ADDED, Reason.WAITING_FOR_NODE, "on l4; 1 replica waits up to 10 min for a node")


def on(node: str, number: int = 0, created: str = NOW, **status: Any) -> views.Pod:
    """A pod of the class, bound to that node; "": to none."""
    made = pod(f"p{number}", ready=bool(node), **status)
    labels = {**made.metadata.labels, names.LABEL_ACCELERATOR: "l4"}
    meta = msgspec.structs.replace(made.metadata, labels=labels, creation_timestamp=created)
    return msgspec.structs.replace(made, metadata=meta, spec=views.PodSpec(node_name=node))


def test_the_condition_says_since_when() -> None:
    cluster = state(assignment=WAITS)
    assert placed.judge(observe(cluster)).message == WAITS.message
    cluster.set_pod(on("n1", 0))
    cluster.set_pod(on("", 1, "2026-01-01T00:02:00Z"))
    cluster.set_pod(on("", 2, "2026-01-01T00:01:00Z"))
    told = placed.judge(observe(cluster))
    assert (told.status, told.reason) == ("True", Reason.WAITING_FOR_NODE)
    assert told.message == f"{WAITS.message}; since 2026-01-01T00:01:00Z"


def test_a_service_with_room_waits_for_nothing() -> None:
    cluster = state(assignment=Assignment(ADDED, Reason.PLACED, "on l4"))
    cluster.set_pod(on("", 1))
    assert placed.judge(observe(cluster)).message == "on l4"


def test_no_node_is_as_planned_where_one_is_to_be_added() -> None:
    pending = views.StatusCondition("PodScheduled", "False", "Unschedulable", "0/3 nodes")
    told = {}
    for assignment in (WAITS, replace(WAITS, reason=Reason.PLACED)):
        cluster = state(assignment=assignment)
        build(cluster)
        cluster.set_pod(on("", phase="Pending", conditions=(pending,)))
        told[assignment.reason] = available.judge(observe(cluster), 1, paused=False).condition
    found = told[Reason.WAITING_FOR_NODE]
    assert (found.status, found.reason) == ("False", Reason.WAITING_FOR_NODE)
    assert found.message == "A node is to be added. kube-scheduler: 0/3 nodes."
    assert told[Reason.PLACED].reason is Reason.UNSCHEDULABLE


def test_nodes_are_named_in_order_and_once() -> None:
    cluster = state()
    assert figures.nodes(observe(cluster)) == {}
    for number, node in enumerate(("n2", "n1", "n2", "")):
        cluster.set_pod(on(node, number))
    cluster.set_pod(on("n9", 9, phase="Failed"))
    assert figures.nodes(observe(cluster)) == {"nodes": {"count": 2, "names": ["n1", "n2"]}}


def test_many_nodes_are_counted_and_the_first_named() -> None:
    cluster = state()
    for number in range(40):
        cluster.set_pod(on(f"n{39 - number:02d}", number))
    shown = figures.nodes(observe(cluster))["nodes"]
    assert shown["count"] == 40
    assert shown["names"] == [f"n{number:02d}" for number in range(figures.MOST_NODES)]
