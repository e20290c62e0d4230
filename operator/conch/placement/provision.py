"""Nodes that are not there yet: what a node autoscaler may add to a class, and what it is adding.

Laid over an inventory, so that the planner sees them as nodes with a note: those that a class may
still get, and those that have been made and whose units the device plugin has not told yet. The
units of such a node count from the moment it is there: nobody turns elsewhere, or asks for one node
more, because they are late. How long a replica waits is ``reconcile.patience``'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from conch.observe import machine
from conch.observe.spot import capacity_type
from conch.observe.types import (
    AcceleratorKind,
    Inventory,
    NewNode,
    NodeCapacity,
    Provisioning,
    Taint,
)
from conch.placement.fit import carries

# Of a node that is not there: taken for enough, and not too much for a solver.
_AMPLE: Final = {"cpu": 10**6, "memory": 2**44, "pods": 1000}
_USUAL: Final = {"kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"}
# A kubelet that has gone silent: such a node was there before.
_SILENT: Final = "node.kubernetes.io/unreachable"
# Taken off by themselves when a node is up: the kubelet's and the cloud's own, Karpenter's, what
# cluster-autoscaler calls startup taints (its FAQ), and those of agents such as Cilium's and EBS'.
_STARTUP: Final = frozenset(
    {
        "node.kubernetes.io/not-ready",
        "node.kubernetes.io/network-unavailable",
        "node.cloudprovider.kubernetes.io/uninitialized",
        "karpenter.sh/unregistered",
    }
)
_STARTUP_PREFIXES: Final = (
    "startup-taint.cluster-autoscaler.kubernetes.io/",
    "ignore-taint.cluster-autoscaler.kubernetes.io/",
)
_STARTUP_SUFFIX: Final = "/agent-not-ready"


class Provisions:
    """Lays nodes to come over one inventory after the other; what did not change stays the same."""

    def __init__(self) -> None:
        self._before: Inventory | None = None
        self._laid: tuple[NodeCapacity, ...] = ()
        self._starting: dict[str, tuple[NodeCapacity, AcceleratorKind, NodeCapacity]] = {}
        self._addable: dict[str, tuple[AcceleratorKind, list[NodeCapacity]]] = {}

    def lay_on(self, inventory: Inventory) -> Inventory:
        """The same with nodes to come; the very same where no class is provisioned."""
        kinds = [kind for kind in inventory.kinds if kind.provisioning is not None]
        if not kinds:
            return inventory
        before = self._before
        if before is None or before.nodes is not inventory.nodes or before.kinds != inventory.kinds:
            self._laid = self._nodes(inventory.nodes, kinds)
        self._before = inventory
        return replace(inventory, nodes=self._laid)

    def _nodes(
        self, nodes: tuple[NodeCapacity, ...], kinds: Sequence[AcceleratorKind]
    ) -> tuple[NodeCapacity, ...]:
        started: dict[str, NodeCapacity] = {}
        added: list[NodeCapacity] = []
        starting: dict[str, tuple[NodeCapacity, AcceleratorKind, NodeCapacity]] = {}
        for kind in kinds:
            assert kind.provisioning is not None
            here = members(kind, nodes)
            for node in here:
                if is_starting(kind, node):
                    known = self._starting.get(node.name)
                    if known is None or known[0] is not node or known[1] != kind:
                        known = (node, kind, _with_units(node, kind, kind.provisioning))
                    starting[node.name] = known
                    started[node.name] = known[2]
            added += self._addable_nodes(kind, kind.provisioning, len(here))
        self._starting = starting
        if started:
            nodes = tuple(started.get(node.name, node) for node in nodes)
        return (*nodes, *added)

    def _addable_nodes(
        self, kind: AcceleratorKind, how: Provisioning, here: int
    ) -> list[NodeCapacity]:
        known = self._addable.get(kind.name)
        if known is None or known[0] != kind:
            alike = [NewNode(how.units_per_node, how.labels)] * how.max_nodes
            made = [_addable(kind, new, i) for i, new in enumerate((*how.more, *alike))]
            self._addable[kind.name] = known = (kind, made)
        return known[1][: len(how.more) + max(0, how.max_nodes - here)]


def starting(inventory: Inventory) -> set[str]:
    """The provisioned classes that have a node without its units."""
    return {
        kind.name
        for kind in inventory.kinds
        if kind.provisioning is not None
        and any(is_starting(kind, node) for node in members(kind, inventory.nodes))
    }


def addable(kind: AcceleratorKind, nodes: Iterable[NodeCapacity]) -> int:
    """How many nodes the class may still get."""
    return _left(kind.provisioning, members(kind, nodes)) if kind.provisioning is not None else 0


def members(kind: AcceleratorKind, nodes: Iterable[NodeCapacity]) -> list[NodeCapacity]:
    """The nodes that count towards the class's limit: one on its way out is replaced already."""
    return [n for n in nodes if carries(n.labels, kind.node_selector) and not n.reclaimed]


def is_starting(kind: AcceleratorKind, node: NodeCapacity) -> bool:
    """Whether the node is there, and what it has is not to be had yet."""
    if node.unschedulable or node.reclaimed or any(t.key == _SILENT for t in node.taints):
        return False
    up = node.ready and node.allocatable.get(kind.resource)
    return not up or any(map(_goes_by_itself, node.taints))


def _left(how: Provisioning, here: Sequence[NodeCapacity]) -> int:
    return max(0, how.max_nodes - len(here)) + len(how.more)


def _with_units(node: NodeCapacity, kind: AcceleratorKind, how: Provisioning) -> NodeCapacity:
    told = node.allocatable.get(kind.resource) or node.foretold.get(kind.resource)
    told = told or how.units_per_node
    return replace(
        node,
        ready=True,
        taints=tuple(taint for taint in node.taints if not _goes_by_itself(taint)),
        allocatable={**_AMPLE, **node.allocatable, kind.resource: told},
        coming="Starting",
    )


def _addable(kind: AcceleratorKind, new: NewNode, number: int) -> NodeCapacity:
    labels = {**_USUAL, **new.labels, **kind.node_selector}
    return NodeCapacity(
        name=f"{kind.name}/{number:04d}",  # no node's name: those hold no slash
        labels=labels,
        taints=new.taints,
        ready=True,
        unschedulable=False,
        allocatable={**_AMPLE, kind.resource: new.units},
        requested={},
        capacity_type=capacity_type(labels),
        zone=machine.zone(labels),
        site=machine.site(labels),
        arch=machine.arch(labels),
        coming="Addable",
    )


def _goes_by_itself(taint: Taint) -> bool:
    key = taint.key
    return key in _STARTUP or key.startswith(_STARTUP_PREFIXES) or key.endswith(_STARTUP_SUFFIX)
