"""Forty ways in which a service is not placed, each with the cause a person would name first.

Written down before the planner was asked. Used by the tests and by explain_right.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from conch.api.v1alpha1 import AcceleratorClassSpec
from conch.kube import compact
from conch.observe.inventory import InventoryBuilder
from conch.observe.types import Assignment, Key, PlacementRequest, Toleration
from conch.placement import plan
from conch.placement.fit import Fit

GI = 1024**3
GPU = "nvidia.com/gpu"
_KEY = Key("default", "asked")
Object = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Case:
    """A world, a service, and what must be said of it first."""

    name: str
    nodes: Sequence[Object]
    request: PlacementRequest
    cause: Fit | None  # of the first class named; None: it is not about a class
    says: str  # in what is said first
    about: str = "l4"  # the class named first
    others: Sequence[PlacementRequest] = ()
    declared: Mapping[str, AcceleratorClassSpec] = field(default_factory=dict)

    def answer(self) -> Assignment:
        """What the planner says, given JSON as an API server sends it."""
        builder = InventoryBuilder()
        read_node, read_pod = compact.nodes(), compact.pods("conch.dev/")
        for node in self.nodes:
            node = dict(node)
            used = node.pop("used")
            builder.upsert_node(read_node(json.dumps(node).encode()))
            builder.upsert_pod(read_pod(json.dumps(_pod(node["metadata"]["name"], used)).encode()))
        plans = plan(builder.inventory(self.declared), [self.request, *self.others])
        return plans[_KEY]

    def right(self) -> bool:
        """Whether nothing was placed and the right cause comes first."""
        answer = self.answer()
        if answer.kind is not None:
            return False
        if self.cause is None:
            return self.says in answer.message
        first = answer.verdicts[0]
        return (
            (first.class_name, first.reason) == (self.about, self.cause)
            and answer.message.startswith(first.message)
            and self.says in first.message
        )


# --- words to write them in ----------------------------------------------------------------------


def _node(
    name: str,
    product: str = "NVIDIA-L4",
    units: int = 4,
    used: int = 0,
    *,
    cpu: int = 32,
    memory_gi: int = 128,
    pods: int = 110,
    taken: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    taints: Sequence[Mapping[str, str]] = (),
    ready: bool = True,
    cordoned: bool = False,
    spot: bool = False,
    deleted: bool = False,
) -> Object:
    requests = {GPU: str(used)} if used else {}
    meta: Object = {
        "name": name,
        "uid": name,
        "labels": {
            "topology.kubernetes.io/zone": "zone-a",
            "karpenter.sh/capacity-type": "spot" if spot else "on-demand",
            **({f"{GPU}.product": product} if product else {}),
            **(labels or {}),
        },
    }
    if deleted:
        meta["deletionTimestamp"] = "2026-11-22T10:00:00Z"
    amounts = {"cpu": str(cpu), "memory": f"{memory_gi}Gi", "pods": str(pods)}
    return {
        "metadata": meta,
        "spec": {"unschedulable": cordoned, "taints": list(taints)},
        "status": {
            "allocatable": {**amounts, **({GPU: str(units)} if units else {})},
            "conditions": [{"type": "Ready", "status": "True" if ready else "Unknown"}],
        },
        "used": {**requests, **(taken or {})},
    }


def _pod(node: str, requests: Mapping[str, str]) -> Object:
    return {
        "metadata": {"name": f"on-{node}", "namespace": "others", "uid": f"on-{node}"},
        "spec": {"nodeName": node, "containers": [{"resources": {"requests": dict(requests)}}]},
        "status": {"phase": "Running"},
    }


def _service(*classes: str, **changes: Any) -> PlacementRequest:
    asked = PlacementRequest(
        key=_KEY, classes=classes, count=1, min_memory_bytes=0, min_compute_capability=(7, 5),
        allow_cpu=False, node_selector={}, tolerations=(), cpu_milli=1000, memory_bytes=4 * GI,
        unbound=1, bound=0, current="", age_rank="2",
    )  # fmt: skip
    return replace(asked, **changes)


def _taint(key: str, value: str = "", effect: str = "NoSchedule") -> Mapping[str, str]:
    return {"key": key, "value": value, "effect": effect}


_FREE, _FULL = _node("free"), _node("full", used=4)
_T4_FULL = _node("t4", "Tesla-T4", used=4)
_TEAM = _node("theirs", taints=[_taint("team", "ml")])
_MIG = "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb"
_MIG_CLASS = "a100-sxm4-40gb-mig-1g.5gb"
_SHARED = _node("shared", "NVIDIA-L4-SHARED", 16, labels={f"{GPU}.replicas": "4"})
_WEST = {"topology.kubernetes.io/zone": "zone-w"}
_OLDER = _service("l4", key=Key("default", "older"), age_rank="1")
_URGENT = _service("l4", key=Key("default", "urgent"), age_rank="3", priority=100)

# --- the cases -----------------------------------------------------------------------------------

CASES: tuple[Case, ...] = (
    # No room.
    Case("every GPU is taken", [_FULL, _node("f2", used=4)], _service("l4"), Fit.FULL,
         "2 nodes, 0 of 8 GPUs free"),
    Case("free GPUs are scattered", [_node("a", used=2), _node("b", used=2)],
         _service("l4", count=4), Fit.FULL, "4 of 8 GPUs free, no node has 4 of them"),
    Case("an older service gets the last GPU", [_node("a", used=3)], _service("l4"), Fit.FULL,
         "1 more promised", others=[_OLDER]),
    Case("a more important service gets the last GPU", [_node("a", used=3)], _service("l4"),
         Fit.FULL, "1 more promised", others=[_URGENT]),
    Case("the CPU of the node is taken", [_node("a", taken={"cpu": "31500m"})], _service("l4"),
         Fit.HOST_FULL, "needs 1 CPU"),
    Case("the memory of the node is taken", [_node("a", taken={"memory": "126Gi"})],
         _service("l4"), Fit.HOST_FULL, "at most 32 CPU and 2Gi are free"),
    Case("the node holds as many pods as it may", [_node("a", pods=1)], _service("l4"),
         Fit.HOST_FULL, "as many pods as they may"),
    Case("CPU is free only where GPUs are not",
         [_node("a", used=4), _node("b", taken={"cpu": "32"})], _service("l4"), Fit.HOST_FULL,
         "at most 0 CPU"),
    Case("no slice of a partitioned GPU is left", [_node("a", _MIG, 7, used=7)],
         _service(_MIG_CLASS), Fit.FULL, "0 of 7 GPUs free", _MIG_CLASS),
    Case("what is free is spot, and one must not be", [_node("s", spot=True), _FULL],
         _service("l4", min_on_demand=1), Fit.ON_DEMAND_FULL, "only on spot nodes"),
    # Nodes that may not be used.
    Case("the nodes are tainted", [_TEAM], _service("l4"), Fit.TAINTED, "team=ml:NoSchedule"),
    Case("the taint also evicts", [_node("a", taints=[_taint("gone", "", "NoExecute")])],
         _service("l4"), Fit.TAINTED, "gone:NoExecute"),
    Case("the toleration has another value", [_TEAM],
         _service("l4", tolerations=(Toleration("team", "Equal", "web"),)), Fit.TAINTED,
         "team=ml:NoSchedule"),
    Case("the toleration is for another effect", [_TEAM],
         _service("l4", tolerations=(Toleration("team", "Exists", "", "NoExecute"),)),
         Fit.TAINTED, "tolerate it in spec.placement.tolerations"),
    Case("the nodes are cordoned", [_node("a", cordoned=True)], _service("l4"), Fit.NOT_READY,
         "1 not ready or cordoned"),
    Case("the kubelet is silent", [_node("a", ready=False)], _service("l4"), Fit.NOT_READY,
         "1 not ready or cordoned"),
    Case("the node is being deleted", [_node("a", deleted=True)], _service("l4"), Fit.NOT_READY,
         "1 not ready or cordoned"),
    Case("the provider takes the node back",
         [_node("a", taints=[_taint("aws-node-termination-handler/spot-itn", "1")])],
         _service("l4"), Fit.RECLAIMED, "taken away by the provider"),
    Case("all nodes are spot, and only on demand is asked for", [_node("s", spot=True)],
         _service("l4", capacity_types=("OnDemand",)), Fit.CAPACITY_TYPE,
         "spec.placement.capacityTypes"),
    Case("the nodes are at another site", [_node("a", labels={"conch.dev/site": "berlin"})],
         _service("l4", sites=("paris",)), Fit.SITE, "spec.placement.sites"),
    Case("no node has the labels asked for", [_FREE], _service("l4", node_selector=_WEST),
         Fit.NO_NODE, "spec.placement.nodeSelector"),
    Case("the nodes asked for are tainted",
         [_FREE, _node("w", labels=_WEST, taints=[_taint("team", "ml")])],
         _service("l4", node_selector=_WEST), Fit.TAINTED, "1 tainted (team=ml:NoSchedule)"),
    Case("some are silent, the others full", [_FULL, _node("s", ready=False)], _service("l4"),
         Fit.FULL, "0 of 4 GPUs free; 1 not ready or cordoned"),
    Case("the device plugin does not run", [_node("a", units=0)], _service("l4"), Fit.NO_UNITS,
         "is the device plugin running?"),
    # Never, on this hardware.
    Case("more GPUs than a node has", [_FREE], _service("l4", count=8), Fit.TOO_LARGE,
         "needs 8 on one node, the largest has 4"),
    Case("more CPU than a node has", [_FREE], _service("l4", cpu_milli=64_000), Fit.TOO_LARGE,
         "needs 64 CPU, the largest node offers 32 CPU"),
    Case("more memory than a node has", [_FREE], _service("l4", memory_bytes=512 * GI),
         Fit.TOO_LARGE, "needs 512Gi of host memory"),
    Case("the GPU has too little memory", [_FREE], _service("l4", min_memory_bytes=40 * GI),
         Fit.TOO_SMALL, "needs 40Gi"),
    Case("a slice has too little memory", [_node("a", _MIG, 7)],
         _service(_MIG_CLASS, min_memory_bytes=8 * GI), Fit.TOO_SMALL, "needs 8Gi, has 5Gi",
         _MIG_CLASS),
    Case("a shared GPU has a part of its memory", [_SHARED],
         _service("l4-shared", min_memory_bytes=8 * GI), Fit.TOO_SMALL, "needs 8Gi, has 5.6Gi",
         "l4-shared"),
    Case("nobody knows how much memory it has", [_node("a", "NVIDIA-NOVEL")],
         _service("novel", min_memory_bytes=8 * GI), Fit.TOO_SMALL, "its memory is unknown",
         "novel"),
    Case("the GPU is too old", [_node("a", "Tesla-T4")],
         _service("t4", min_compute_capability=(8, 0)), Fit.TOO_OLD,
         "needs compute capability 8.0, has 7.5", "t4"),
    Case("it cannot hold the objective", [_FREE], _service("l4", capacity_rps={"l4": 0.0}),
         Fit.TOO_SLOW, "latency objective"),
    # Classes.
    Case("replicas failed there", [_FREE],
         _service("l4", avoid={"l4": "replicas stayed Pending there for 31 s: volume zone"}),
         Fit.AVOIDED, "volume zone"),
    Case("a declared class selects no node", [_FREE], _service("gold"), Fit.NO_NODE,
         "no node has the labels tier=gold", "gold",
         declared={"gold": AcceleratorClassSpec(nodeSelector={"tier": "gold"}, memory="24Gi")}),
    Case("there is no such class", [_FREE], _service("l5"), None,
         "unknown accelerator class l5; known: l4"),
    Case("the labels say that the layout is invalid", [_node("a", f"{_MIG[:-6]}INVALID", 0)],
         _service(), None, "no node offers an accelerator"),
    Case("no node has a GPU", [_node("a", "", 0)], _service(), None,
         "no node offers an accelerator"),
    # Which of several comes first: the one that waiting or a small change helps.
    Case("one class is too small, the next full", [_node("a", "Tesla-T4"), _FULL],
         _service("t4", "l4", min_memory_bytes=20 * GI), Fit.FULL, "0 of 4 GPUs free"),
    Case("one class is tainted, the next full", [_TEAM, _T4_FULL], _service("l4", "t4"), Fit.FULL,
         "0 of 4 GPUs free", "t4"),
)  # fmt: skip
