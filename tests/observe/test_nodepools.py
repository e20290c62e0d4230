"""What Karpenter may still add to a class, and nodes on their way."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import msgspec
import pytest

from conch.api.v1alpha1 import AcceleratorClassSpec
from conch.kube.views import Node, NodeClaim, NodePool
from conch.observe.discovery import GPU
from conch.observe.inventory import InventoryBuilder
from conch.observe.nodepools import WAIT_S, NodePoolBook
from conch.observe.types import AcceleratorKind, NewNode, Provisioning, Taint

NAME = "karpenter.k8s.aws/instance-gpu-name"
COUNT = "karpenter.k8s.aws/instance-gpu-count"
TYPE = "node.kubernetes.io/instance-type"
FAMILY = "karpenter.k8s.aws/instance-family"
POOL = "karpenter.sh/nodepool"
PAID = "karpenter.sh/capacity-type"
ZONE = "topology.kubernetes.io/zone"

L4 = AcceleratorKind("l4", {NAME: "l4"}, GPU, 24 << 30, (8, 9), declared=True)


def rule(key: str, *values: str, operator: str = "In") -> dict[str, Any]:
    return {"key": key, "operator": operator, "values": list(values)}


def pool(
    *rules: dict[str, Any],
    name: str = "gpu",
    labels: dict[str, str] | None = None,
    taints: list[dict[str, str]] | None = None,
    limits: dict[str, Any] | None = None,
    used: dict[str, Any] | None = None,
    **more: Any,
) -> NodePool:
    template = {
        "metadata": {"labels": labels or {}},
        "spec": {"requirements": list(rules), "taints": taints or []},
    }
    raw = {
        "metadata": {"name": name},
        "spec": {"template": template, "limits": limits or {}, **more.get("spec", {})},
        "status": {"resources": used or {}, "conditions": more.get("conditions", [])},
    }
    return msgspec.convert(raw, NodePool)


ON_DEMAND = rule(PAID, "on-demand")


def provisioning(kind: AcceleratorKind, *pools: NodePool) -> Provisioning | None:
    book = NodePoolBook()
    for one in pools:
        book.set_pool(one)
    (told,) = book.provisioned((kind,))
    return told.provisioning


def units(found: Provisioning | None) -> list[int]:
    return [node.units for node in found.more] if found is not None else []


def test_a_pool_that_names_the_gpu_needs_no_provisioning_of_the_class() -> None:
    found = provisioning(
        L4, pool(rule(NAME, "l4", "t4"), rule(COUNT, "4"), ON_DEMAND, limits={GPU: 8})
    )
    assert found is not None
    labels = {POOL: "gpu", COUNT: "4", PAID: "on-demand"}
    assert found == Provisioning(0, 4, WAIT_S, more=(NewNode(4, labels),) * 2)


@pytest.mark.parametrize(
    ("rules", "selector", "wanted"),
    [
        ([rule(NAME, "t4")], {NAME: "l4"}, False),
        ([rule(NAME, "l4", operator="NotIn")], {NAME: "l4"}, False),
        ([rule(NAME, operator="Exists")], {NAME: "l4"}, True),
        ([rule(NAME, operator="DoesNotExist")], {NAME: "l4"}, False),
        # What the pool leaves open may be anything: no reason to wait for a GPU there.
        ([rule("karpenter.k8s.aws/instance-category", "c")], {NAME: "l4"}, False),
        # Types and families tell the GPU.
        ([rule(TYPE, "g6.xlarge", "m5.large")], {NAME: "l4"}, True),
        ([rule(TYPE, "g5.xlarge")], {NAME: "l4"}, False),
        ([rule(FAMILY, "g6", "g5")], {NAME: "l4"}, True),
        # A known label that the pool leaves open, beside one that is certain.
        (
            [rule(NAME, "l4")],
            {NAME: "l4", "karpenter.k8s.aws/instance-gpu-memory": "22888"},
            True,
        ),
        # GPU Feature Discovery's is written when the node runs: Karpenter cannot promise it.
        ([rule(NAME, "l4")], {NAME: "l4", "nvidia.com/gpu.product": "NVIDIA-L4"}, False),
        ([], {POOL: "gpu"}, True),
        ([], {POOL: "other"}, False),
        ([], {"team": "vision"}, True),
        ([], {"team": "speech"}, False),
        (
            [rule("karpenter.k8s.aws/instance-gpu-memory", "20000", operator="Gt")],
            {"karpenter.k8s.aws/instance-gpu-memory": "22888"},
            True,
        ),
    ],
)
def test_which_pools_make_nodes_of_a_class(
    rules: list[dict[str, Any]], selector: dict[str, str], wanted: bool
) -> None:
    kind = replace(L4, node_selector=selector)
    found = provisioning(kind, pool(*rules, ON_DEMAND, labels={"team": "vision"}))
    assert (found is not None) is wanted


@pytest.mark.parametrize(
    ("rules", "limits", "used", "wanted"),
    [
        # Largest nodes first, then what is left.
        ([rule(FAMILY, "g6")], {GPU: 14}, {}, [8, 4, 1, 1]),
        ([rule(FAMILY, "g6")], {GPU: "14"}, {GPU: "12"}, [1, 1]),
        ([rule(FAMILY, "g6"), rule(COUNT, "1", "4")], {GPU: 9}, {}, [4, 4, 1]),
        ([rule(FAMILY, "g6"), rule(COUNT, "5", operator="Lt")], {GPU: 5}, {}, [4, 1]),
        ([rule(NAME, "l4")], {"nodes": 3}, {"nodes": 1}, [1, 1]),
        ([rule(NAME, "l4")], {"cpu": "100"}, {"cpu": "100"}, []),
        ([rule(NAME, "l4")], {"memory": "1Ti"}, {"memory": "2Ti"}, []),
        ([rule(NAME, "l4")], {GPU: 2}, {GPU: 5}, []),
        ([rule(NAME, "l4")], {}, {}, [1] * 20),
    ],
)
def test_limits(
    rules: list[dict[str, Any]],
    limits: dict[str, Any],
    used: dict[str, Any],
    wanted: list[int],
) -> None:
    found = provisioning(L4, pool(*rules, ON_DEMAND, limits=limits, used=used))
    assert found is not None
    assert units(found) == wanted


def test_nodes_may_be_of_each_capacity_type_and_zone_that_the_pool_allows() -> None:
    found = provisioning(L4, pool(rule(NAME, "l4"), rule(ZONE, "a", "b"), limits={GPU: 1}))
    assert found is not None
    told = [(node.labels[ZONE], node.labels[PAID]) for node in found.more]
    assert told == [("a", "spot"), ("a", "on-demand"), ("b", "spot"), ("b", "on-demand")]
    reserved = pool(rule(NAME, "l4"), rule(PAID, "reserved", "on-demand"), limits={GPU: 1})
    assert [node.labels[PAID] for node in provisioning(L4, reserved).more] == [  # type: ignore[union-attr]
        "reserved"
    ]


def test_taints_and_labels_of_the_template_are_the_nodes() -> None:
    taint = {"key": "dedicated", "value": "ai", "effect": "NoSchedule"}
    site = {"conch.dev/site": "oslo"}
    found = provisioning(
        L4, pool(rule(NAME, "l4"), ON_DEMAND, labels=site, taints=[taint], limits={GPU: 1})
    )
    assert found is not None
    (node,) = found.more
    assert node.taints == (Taint("dedicated", "ai", "NoSchedule"),)
    assert node.labels["conch.dev/site"] == "oslo"


@pytest.mark.parametrize(
    "broken",
    [
        pool(rule(NAME, "l4"), limits={GPU: "many"}),
        pool(rule(NAME, "l4"), conditions=[{"type": "Ready", "status": "False"}]),
        pool(rule(NAME, "l4"), spec={"replicas": 3}),
        pool(rule(NAME, "l4", operator="Like")),
        pool(rule(NAME, "l4"), rule("karpenter.k8s.aws/instance-gpu-memory", operator="Gt")),
    ],
    ids=["limit is no number", "not ready", "static", "operator", "no bound"],
)
def test_a_pool_of_which_nothing_can_be_had_adds_nothing(broken: NodePool) -> None:
    kind = replace(L4, node_selector={NAME: "l4", "karpenter.k8s.aws/instance-gpu-memory": "1"})
    assert provisioning(kind, broken) is None


def test_what_the_class_declares_comes_first() -> None:
    there = pool(rule(NAME, "l4"), rule(PAID, "spot"), rule(ZONE, "a", "b"), limits={GPU: 1})
    declared = Provisioning(4, 8, 300.0)
    found = provisioning(replace(L4, provisioning=declared), there)
    assert found == replace(declared, labels={POOL: "gpu", NAME: "l4", PAID: "spot"})
    labelled = replace(declared, labels={ZONE: "c"})
    assert provisioning(replace(L4, provisioning=labelled), there) == labelled


def test_slices_and_claimed_devices_are_not_foreseen() -> None:
    there = pool(rule(NAME, "l4"))
    assert provisioning(replace(L4, mig_profile="1g.5gb"), there) is None
    assert provisioning(replace(L4, device_class="gpu.nvidia.com"), there) is None
    assert provisioning(replace(L4, resource="amd.com/gpu"), there) is None


def test_only_what_matters_of_a_pool_is_news() -> None:
    book = NodePoolBook()
    first = pool(rule(NAME, "l4"), limits={GPU: 8}, used={GPU: "1", "cpu": "4"})
    assert book.set_pool(first)
    assert not book.set_pool(pool(rule(NAME, "l4"), limits={GPU: 8}, used={GPU: "1", "cpu": "8"}))
    assert book.set_pool(pool(rule(NAME, "l4"), limits={GPU: 8}, used={GPU: "2"}))
    assert book.remove_pool("gpu")
    assert not book.remove_pool("gpu")


# --- nodes on their way --------------------------------------------------------------------------


def claim(*conditions: str, node: str = "", amount: Any = "4", **meta: Any) -> NodeClaim:
    return msgspec.convert(
        {
            "metadata": {"name": "gpu-1", "labels": {NAME: "l4", PAID: "spot", ZONE: "a"}, **meta},
            "status": {
                "nodeName": node,
                "allocatable": {"cpu": "8", GPU: amount},
                "conditions": [{"type": kind, "status": "True"} for kind in conditions],
            },
        },
        NodeClaim,
    )


def declared_l4() -> dict[str, AcceleratorClassSpec]:
    spec = {"nodeSelector": {NAME: "l4"}, "memory": "24Gi"}
    return {"l4": AcceleratorClassSpec.model_validate(spec)}


def bare(name: str, gpus: str = "0") -> Node:
    return msgspec.convert(
        {
            "metadata": {"name": name, "labels": {NAME: "l4"}},
            "status": {
                "allocatable": {"cpu": "8", GPU: gpus},
                "conditions": [{"type": "Ready", "status": "True"}],
            },
        },
        Node,
    )


def test_a_claim_counts_from_its_launch_until_its_node_is_whole() -> None:
    builder = InventoryBuilder()
    pools = builder.node_pools
    assert not pools.set_claim(claim())  # asked for: it may come to nothing
    assert pools.set_claim(claim("Launched"))
    builder.books_changed()
    (coming,) = builder.inventory(declared_l4()).nodes
    assert (coming.name, coming.ready, coming.foretold) == ("nodeclaim/gpu-1", False, {GPU: 4})
    assert (coming.capacity_type, coming.zone) == ("Spot", "a")
    # Its Node is there, without its units; then with them.
    builder.upsert_node(bare("ip-1"))
    pools.set_claim(claim("Launched", "Registered", node="ip-1"))
    builder.books_changed()
    (there,) = builder.inventory(declared_l4()).nodes
    assert (there.name, there.foretold) == ("ip-1", {GPU: 4})
    assert pools.set_claim(claim("Launched", "Registered", "Initialized", node="ip-1"))
    builder.upsert_node(bare("ip-1", "4"))
    (whole,) = builder.inventory(declared_l4()).nodes
    assert (whole.foretold, whole.allocatable[GPU]) == ({}, 4)


@pytest.mark.parametrize(
    "nothing",
    [
        claim("Launched", deletionTimestamp="2026-01-01T00:00:00Z"),
        claim("Launched", amount="0"),
        claim("Launched", amount="some"),
        claim("Launched", "Initialized"),
    ],
)
def test_claims_that_bring_no_unit_are_none(nothing: NodeClaim) -> None:
    book = NodePoolBook()
    assert book.set_claim(claim("Launched"))
    assert book.set_claim(nothing)  # it was one before
    assert book.laid_on(()) == ()


def test_the_same_nodes_while_nothing_changes() -> None:
    book = NodePoolBook()
    book.set_claim(claim("Launched"))
    assert book.laid_on(())[0] is book.laid_on(())[0]
