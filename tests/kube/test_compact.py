"""What is kept of pods and nodes, and that what repeats is kept once."""

from __future__ import annotations

import json
from typing import Any

import pytest

from conch.kube import compact
from conch.kube.views import Node, Pod, decoder
from conch.observe.inventory import InventoryBuilder, pod_requests

GPU = "nvidia.com/gpu"


def raw_pod(name: str, **labels: str) -> bytes:
    def container(kind: str, **more: str) -> dict[str, Any]:
        resources = {"requests": {"memory": "1Gi", "cpu": "1", GPU: "1"}, "limits": {GPU: "1"}}
        return {"name": f"{name}-{kind}", "image": "i", "resources": resources, **more}

    return json.dumps(
        {
            "metadata": {
                "name": name,
                "namespace": "x",
                "uid": f"u-{name}",
                "labels": labels,
                "annotations": {"long": "text"},
                "ownerReferences": [{"kind": "ReplicaSet", "name": "r"}],
            },
            "spec": {
                "nodeName": "n1",
                "containers": [container("main"), container("beside")],
                "initContainers": [container("sidecar", restartPolicy="Always")],
                "overhead": {"cpu": "250m"},
            },
            "status": {
                "phase": "Running",
                "conditions": [{"type": "Ready", "status": "True"}],
                "containerStatuses": [{"name": "main", "ready": True}],
            },
        }
    ).encode()


def test_pods_of_ours_are_whole() -> None:
    raw = raw_pod("a", **{"conch.dev/service": "s"})
    assert compact.pods("conch.dev/")(raw) == decoder(Pod)(raw)


def test_of_others_stays_what_they_take() -> None:
    read = compact.pods("conch.dev/")
    whole, kept = decoder(Pod)(raw_pod("a", team="t")), read(raw_pod("a", team="t"))
    assert pod_requests(kept.spec) == pod_requests(whole.spec)
    assert (kept.spec.node_name, kept.status.phase) == ("n1", "Running")
    assert (kept.metadata.name, kept.metadata.namespace, kept.metadata.uid) == ("a", "x", "u-a")
    assert not kept.metadata.labels
    assert not kept.metadata.annotations
    assert not kept.status.conditions
    assert not kept.metadata.owner_references
    assert kept.spec.containers is read(raw_pod("b")).spec.containers


def test_a_pod_that_takes_something_else_is_told_apart() -> None:
    read = compact.pods("conch.dev/")
    small, large = raw_pod("a"), raw_pod("b").replace(b'"cpu": "1"', b'"cpu": "2"')
    assert pod_requests(read(small).spec)["cpu"] == 3250
    assert pod_requests(read(large).spec)["cpu"] == 6250


def raw_node(name: str, **status: str) -> bytes:
    conditions = [
        {"type": kind, "status": value, "reason": "r", "message": "m" * 80}
        for kind, value in {"Ready": "True", **status}.items()
    ]
    return json.dumps(
        {
            "metadata": {
                "name": name,
                "labels": {f"{GPU}.product": "Tesla-T4", "zone": "eu-1a"},
                "annotations": {"long": "text"},
            },
            "spec": {"taints": [{"key": "team", "value": "x", "effect": "NoSchedule"}]},
            "status": {"allocatable": {GPU: "4", "cpu": "8"}, "conditions": conditions},
        }
    ).encode()


@pytest.mark.parametrize("status", [{}, {"Ready": "False"}, {"PreemptScheduled": "True"}])
def test_a_node_means_the_same_with_less(status: dict[str, str]) -> None:
    raw = raw_node("n", **status)
    inventories = []
    for node in (decoder(Node)(raw), compact.nodes()(raw)):
        builder = InventoryBuilder()
        builder.upsert_node(node)
        inventories.append(builder.inventory({}))
    assert inventories[0] == inventories[1]


def test_text_of_nodes_that_repeats_is_kept_once() -> None:
    read = compact.nodes()
    one, two = read(raw_node("a")), read(raw_node("b"))
    assert not one.metadata.annotations
    pairs = zip(one.metadata.labels.items(), two.metadata.labels.items(), strict=True)
    assert all(k1 is k2 and v1 is v2 for (k1, v1), (k2, v2) in pairs)
    assert one.status.conditions[0] is two.status.conditions[0]


@pytest.mark.parametrize("read", [compact.pods("conch.dev/"), compact.nodes()])
def test_a_wrong_type_is_an_error_as_elsewhere(read: Any) -> None:
    with pytest.raises(ValueError):
        read(b'{"metadata": {"name": 1}}')
