"""The inventory against a naive recount, and which events matter to placement."""

from __future__ import annotations

from collections import Counter
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conch.api.v1alpha1 import AcceleratorClassSpec
from conch.kube.views import Node, Pod
from conch.observe.inventory import InventoryBuilder, pod_requests
from conch.observe.types import Inventory, NodeCapacity, Taint

GI = 1024**3
GPU = "nvidia.com/gpu"
L4 = {f"{GPU}.product": "NVIDIA-L4", f"{GPU}.memory": "23034", f"{GPU}.count": "4"}


def node(name: str = "n", labels: dict[str, str] | None = None, **spec: Any) -> Node:
    raw = {
        "metadata": {"name": name, "labels": L4 if labels is None else labels},
        "spec": spec,
        "status": {
            "allocatable": {
                "cpu": "3920m",
                "memory": "15Gi",
                "pods": "110",
                "ephemeral-storage": "90Gi",
                "hugepages-2Mi": "0",
                GPU: "4",
            },
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }
    return msgspec.convert(raw, Node)


def pod(uid: str = "p", where: str = "n", phase: str = "Running", **requests: str) -> Pod:
    wanted = {key.replace("gpu", GPU): value for key, value in requests.items()}
    raw = {
        "metadata": {"uid": uid, "name": uid},
        "spec": {"nodeName": where, "containers": [{"resources": {"requests": wanted}}]},
        "status": {"phase": phase},
    }
    return msgspec.convert(raw, Pod)


def only_node(builder: InventoryBuilder) -> NodeCapacity:
    (found,) = builder.inventory({}).nodes
    return found


def test_node_in_base_units() -> None:
    builder = InventoryBuilder()
    taints = [{"key": GPU, "value": "present", "effect": "NoSchedule"}]
    assert builder.upsert_node(node(taints=taints, unschedulable=True))
    found = only_node(builder)
    assert found.allocatable == {"cpu": 3920, "memory": 15 * GI, "pods": 110, GPU: 4}
    assert found.taints == (Taint(GPU, "present", "NoSchedule"),)
    assert (found.ready, found.unschedulable) == (True, True)


def test_heartbeats_change_nothing() -> None:
    builder = InventoryBuilder()
    builder.upsert_node(node())
    builder.upsert_pod(pod(gpu="1"))
    before = builder.inventory({})
    beat = msgspec.to_builtins(node())
    beat["metadata"]["resourceVersion"] = "2"
    beat["metadata"]["annotations"] = {"a": "b"}
    beat["metadata"]["labels"] = {**L4, "nvidia.com/gfd.timestamp": "1763804400"}
    beat["status"]["conditions"] += ({"type": "MemoryPressure", "status": "False"},)
    assert not builder.upsert_node(msgspec.convert(beat, Node))
    restarted = msgspec.structs.replace(pod(gpu="1"), metadata=pod().metadata)
    assert not builder.upsert_pod(restarted)
    assert builder.inventory({}) is before


@pytest.mark.parametrize(
    "changed",
    [
        node(labels={**L4, "zone": "a"}),
        node(unschedulable=True),
        node(taints=[{"key": "x", "effect": "NoSchedule"}]),
        msgspec.structs.replace(
            node(), status=msgspec.structs.replace(node().status, conditions=())
        ),
        msgspec.structs.replace(
            node(), status=msgspec.structs.replace(node().status, allocatable={GPU: "8"})
        ),
        msgspec.structs.replace(
            node(),
            metadata=msgspec.structs.replace(node().metadata, deletion_timestamp="2026-11-22"),
        ),
    ],
)
def test_what_matters_to_placement_does_change(changed: Node) -> None:
    builder = InventoryBuilder()
    builder.upsert_node(node())
    before = builder.inventory({})
    assert builder.upsert_node(changed)
    assert builder.inventory({}) != before


def test_pod_counts_from_binding_until_it_has_ended() -> None:
    builder = InventoryBuilder()
    builder.upsert_node(node())
    assert not builder.upsert_pod(pod(where="", phase="Pending", gpu="1"))
    assert only_node(builder).free(GPU) == 4
    assert builder.upsert_pod(pod(phase="Pending", gpu="1"))
    assert only_node(builder).free(GPU) == 3
    assert not builder.upsert_pod(pod(phase="Running", gpu="1"))
    assert builder.upsert_pod(pod(phase="Failed", gpu="1"))
    assert only_node(builder).free(GPU) == 4
    assert not builder.remove_pod("p")


def test_resized_pod_is_counted_anew() -> None:
    builder = InventoryBuilder()
    builder.upsert_node(node())
    builder.upsert_pod(pod(cpu="1"))
    assert builder.upsert_pod(pod(cpu="2"))
    assert not builder.upsert_pod(pod(cpu="2000m"))
    assert only_node(builder).requested == {"cpu": 2000, "pods": 1}


def test_pods_may_come_before_their_node_and_outlive_it() -> None:
    builder = InventoryBuilder()
    builder.upsert_pod(pod(gpu="3"))
    assert builder.inventory({}).nodes == ()
    builder.upsert_node(node())
    assert only_node(builder).free(GPU) == 1
    assert builder.remove_node("n")
    assert not builder.remove_node("n")
    assert builder.inventory({}) == Inventory((), ())
    builder.upsert_node(node())
    assert only_node(builder).free(GPU) == 1


def test_overcommitted_node_has_nothing_free() -> None:
    builder = InventoryBuilder()
    builder.upsert_node(node())
    builder.upsert_pod(pod(gpu="7"))
    assert only_node(builder).free(GPU) == 0


def container(cpu: str, **more: str) -> dict[str, Any]:
    return {"resources": {"requests": {"cpu": cpu}}, **more}


@pytest.mark.parametrize(
    ("spec", "cpu_milli"),
    [
        ({"containers": [container("1"), container("500m")]}, 1500),
        ({"containers": [container("1")], "initContainers": [container("4")]}, 4000),
        ({"containers": [container("3")], "initContainers": [container("1")] * 5}, 3000),
        # A sidecar runs beside the containers …
        (
            {
                "containers": [container("1")],
                "initContainers": [container("1", restartPolicy="Always")],
            },
            2000,
        ),
        # … and beside the init containers after it, but not those before it.
        (
            {
                "containers": [container("1")],
                "initContainers": [
                    container("1", restartPolicy="Always"),
                    container("5"),
                ],
            },
            6000,
        ),
        (
            {
                "containers": [container("1")],
                "initContainers": [
                    container("5"),
                    container("1", restartPolicy="Always"),
                ],
            },
            5000,
        ),
        ({"containers": [container("1")], "overhead": {"cpu": "250m"}}, 1250),
    ],
)
def test_pod_requests(spec: dict[str, Any], cpu_milli: int) -> None:
    view = msgspec.convert({"spec": spec}, Pod)
    assert pod_requests(view.spec) == {"cpu": cpu_milli, "pods": 1}


def test_node_as_its_cloud_labels_it() -> None:
    builder = InventoryBuilder()
    labels = {
        "karpenter.sh/capacity-type": "spot",
        "topology.kubernetes.io/zone": "eu-1a",
        "conch.dev/site": "plant-7",
        "kubernetes.io/arch": "arm64",
    }
    builder.upsert_node(node(labels=labels))
    found = only_node(builder)
    assert (found.capacity_type, found.zone, found.site, found.arch, found.reclaimed) == (
        "Spot",
        "eu-1a",
        "plant-7",
        "arm64",
        False,
    )
    builder.upsert_pod(pod(gpu="1"))
    assert only_node(builder).zone == "eu-1a"


def test_notice_of_reclaim_is_news() -> None:
    builder = InventoryBuilder()
    builder.upsert_node(node())
    notice = {"key": "cloud.google.com/impending-node-termination", "effect": "NoSchedule"}
    assert builder.upsert_node(node(taints=[notice]))
    assert only_node(builder).reclaimed
    azure = msgspec.to_builtins(node())
    azure["status"]["conditions"] += ({"type": "PreemptScheduled", "status": "True"},)
    assert builder.upsert_node(msgspec.convert(azure, Node))
    assert only_node(builder).reclaimed
    assert builder.upsert_node(node())
    assert not only_node(builder).reclaimed


@pytest.mark.parametrize("amount", ["", "many", "-4", "1e", "0", "²"])
def test_odd_amounts_count_as_nothing(amount: str) -> None:
    builder = InventoryBuilder()
    odd = msgspec.to_builtins(node())
    odd["status"]["allocatable"] |= {GPU: amount, "cpu": amount}
    builder.upsert_node(msgspec.convert(odd, Node))
    builder.upsert_pod(pod(gpu=amount))
    found = only_node(builder)
    assert (found.free(GPU), found.free("cpu"), found.free("memory")) == (0, 0, 15 * GI)


def test_capacity_may_shrink_under_running_pods() -> None:
    builder = InventoryBuilder()
    builder.upsert_node(node())
    builder.upsert_pod(pod(gpu="3"))
    less = msgspec.to_builtins(node())
    less["status"]["allocatable"][GPU] = "2"
    assert builder.upsert_node(msgspec.convert(less, Node))
    assert only_node(builder).free(GPU) == 0
    assert builder.remove_pod("p")
    assert only_node(builder).free(GPU) == 2


# --- classes -------------------------------------------------------------------------------------


def declared(**selector: str) -> AcceleratorClassSpec:
    return AcceleratorClassSpec(node_selector=selector, memory="20Gi", compute_capability="12.0")


def test_declared_class_wins_over_discovery_on_its_nodes() -> None:
    builder = InventoryBuilder()
    builder.upsert_node(node("n1", {**L4, "zone": "a"}))
    assert [k.name for k in builder.inventory({}).kinds] == ["l4"]
    mine = {"mine": declared(zone="a")}
    (kind,) = builder.inventory(mine).kinds
    assert (kind.name, kind.memory_bytes, kind.compute_capability) == ("mine", 20 * GI, (12, 0))
    assert kind.declared
    # Other nodes of the product, and other resources of the node, are still discovered.
    builder.upsert_node(node("n2"))
    assert [k.name for k in builder.inventory(mine).kinds] == ["l4", "mine"]


def test_declared_class_without_nodes_is_there_and_owns_its_name() -> None:
    builder = InventoryBuilder()
    builder.upsert_node(node())
    (kind,) = builder.inventory({"l4": declared(zone="nowhere")}).kinds
    assert kind.declared


def test_change_of_a_class_is_noticed_in_the_same_mapping() -> None:
    builder = InventoryBuilder()
    classes = {"mine": declared(zone="a")}
    before = builder.inventory(classes)
    assert builder.inventory(classes) is before
    classes["mine"] = declared(zone="b")
    assert builder.inventory(classes).kinds[0].node_selector == {"zone": "b"}
    classes.clear()
    assert builder.inventory(classes).kinds == ()


def test_class_follows_its_nodes() -> None:
    builder = InventoryBuilder()
    builder.upsert_node(node("n1"))
    builder.upsert_node(node("n2", {}))
    assert [k.name for k in builder.inventory({}).kinds] == ["l4"]
    builder.upsert_node(node("n1", {f"{GPU}.product": "Tesla-T4"}))
    assert [k.name for k in builder.inventory({}).kinds] == ["t4"]
    builder.remove_node("n1")
    assert builder.inventory({}).kinds == ()


# --- any sequence of events ----------------------------------------------------------------------

NAMES = st.sampled_from(["n1", "n2", "n3"])
UIDS = st.sampled_from(["a", "b", "c", "d"])
EVENTS = st.one_of(
    st.builds(lambda n, u: node(n, unschedulable=u), NAMES, st.booleans()),
    st.builds(
        lambda u, n, p, g, c: pod(u, n, p, gpu=str(g), cpu=f"{c}m"),
        UIDS,
        st.one_of(st.just(""), NAMES),
        st.sampled_from(["Pending", "Running", "Succeeded", "Failed"]),
        st.integers(0, 2),
        st.integers(0, 3),
    ),
    st.tuples(st.just("node"), NAMES),
    st.tuples(st.just("pod"), UIDS),
)


@pytest.mark.slow
@given(st.lists(EVENTS, max_size=30))
def test_same_as_counting_from_scratch(events: list[Node | Pod | tuple[str, str]]) -> None:
    builder = InventoryBuilder()
    nodes: dict[str, Node] = {}
    pods: dict[str, Pod] = {}
    for event in events:
        before = builder.inventory({})
        changed = _feed(builder, nodes, pods, event)
        after = builder.inventory({})
        # Pods on nodes that are not there (yet) change a count that nobody can see.
        assert changed or after is before
        assert {n.name: n.requested for n in after.nodes} == {
            name: _recount(name, pods) for name in nodes
        }
        assert {n.name: n.unschedulable for n in after.nodes} == {
            name: view.spec.unschedulable for name, view in nodes.items()
        }


def _feed(
    builder: InventoryBuilder,
    nodes: dict[str, Node],
    pods: dict[str, Pod],
    event: Node | Pod | tuple[str, str],
) -> bool:
    if isinstance(event, Node):
        nodes[event.metadata.name] = event
        return builder.upsert_node(event)
    if isinstance(event, Pod):
        pods[event.metadata.uid] = event
        return builder.upsert_pod(event)
    what, name = event
    if what == "node":
        nodes.pop(name, None)
        return builder.remove_node(name)
    pods.pop(name, None)
    return builder.remove_pod(name)


def _recount(name: str, pods: dict[str, Pod]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for view in pods.values():
        if view.spec.node_name == name and view.status.phase in ("Pending", "Running"):
            total.update(pod_requests(view.spec))
    return {resource: amount for resource, amount in total.items() if amount}
