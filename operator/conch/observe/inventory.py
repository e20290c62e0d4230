"""Nodes, what pods take from them, and the accelerator classes there are, kept event by event.

Each event costs the size of one object, whatever the cluster's size, and says whether placement
has to look again: heartbeats and status updates do not. Pods count on their node from binding until
they have ended. It watches nothing itself and knows no service.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from conch.api.v1alpha1 import AcceleratorClassSpec
from conch.kube.quantity import milli, value
from conch.kube.views import Container, Node, Pod, PodSpec
from conch.observe import durations, machine
from conch.observe.classes import ClassBook
from conch.observe.discovery import GPU
from conch.observe.dra import DeviceBook, claimed
from conch.observe.nodepools import NodePoolBook
from conch.observe.spot import capacity_type
from conch.observe.types import (
    AcceleratorKind,
    Area,
    Inventory,
    NodeCapacity,
    Provisioning,
    Taint,
)

ENDED = frozenset({"Succeeded", "Failed"})
# Written anew at every labelling run of GPU Feature Discovery; says nothing about the node.
_VOLATILE_LABELS = frozenset({"nvidia.com/gfd.timestamp"})

# Names of deleted nodes that are remembered: their pods outlive them by a minute.
_REMOVED_KEPT = 1000

Amounts = dict[str, int]
_Raw = Mapping[str, str | int | float]


@dataclass(frozen=True, slots=True)
class _BoundPod:
    node: str
    spec: PodSpec
    requests: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class _KnownNode:
    view: Node
    capacity: NodeCapacity  # as of the last ``inventory``: ``requested`` may be behind


class InventoryBuilder:
    """The inventory, fed by node and pod events."""

    def __init__(self) -> None:
        self._nodes: dict[str, _KnownNode] = {}
        self._pods: dict[str, _BoundPod] = {}
        self._requested: dict[str, Amounts] = {}  # by node, also of nodes not seen (yet)
        self._stale: set[str] = set()  # nodes whose pods changed since the last ``inventory``
        self._names: list[str] = []  # of nodes, sorted; and what each offers
        self._capacities: list[NodeCapacity] = []
        self._classes = ClassBook()
        self._declared: dict[str, AcceleratorClassSpec] = {}
        self._declared_kinds: tuple[AcceleratorKind, ...] = ()
        self._inventory: Inventory | None = None
        self._removed: dict[str, None] = {}  # nodes that were deleted, oldest first
        self.devices = DeviceBook()
        self.node_pools = NodePoolBook()

    def upsert_node(self, node: Node) -> bool:
        """Take in a node; returns whether anything that matters to placement changed."""
        name = node.metadata.name
        known = self._nodes.get(name)
        if known is not None and _same_node(known.view, node):
            return False
        labels = {k: v for k, v in node.metadata.labels.items() if k not in _VOLATILE_LABELS}
        allocatable = _amounts(node.status.allocatable)
        capacity = NodeCapacity(
            name=name,
            labels=labels,
            capacity_type=capacity_type(labels),
            zone=machine.zone(labels),
            site=machine.site(labels),
            arch=machine.arch(labels),
            driver=machine.driver(labels),
            reclaimed=_reclaimed(node) or node.metadata.deletion_timestamp is not None,
            taints=tuple(Taint(t.key, t.value, t.effect) for t in node.spec.taints),
            ready=node.ready and node.metadata.deletion_timestamp is None,
            unschedulable=node.spec.unschedulable,
            allocatable=allocatable,
            requested=dict(self._requested.get(name, {})),
        )
        self._classes.show(name, labels, allocatable)
        self._nodes[name] = _KnownNode(node, capacity)
        self._line_up(capacity)
        self._removed.pop(name, None)
        self._inventory = None
        return True

    def remove_node(self, name: str) -> bool:
        """Forget a node; its pods keep counting until they are gone, should it come back."""
        if self._nodes.pop(name, None) is None:
            return False
        self._stale.discard(name)
        place = bisect_left(self._names, name)
        del self._names[place], self._capacities[place]
        self._removed[name] = None
        if len(self._removed) > _REMOVED_KEPT:
            del self._removed[next(iter(self._removed))]
        self._classes.forget(name)
        self._inventory = None
        return True

    def leaves(self, name: str) -> bool:
        """Whether the node is lost, or about to be: pods on it need a replacement elsewhere.

        One that was never seen is not lost: a pod may be told of before its node is.
        """
        known = self._nodes.get(name)
        if known is None:
            return name in self._removed
        return known.capacity.reclaimed or not known.capacity.ready

    def silent(self, name: str) -> bool:
        """Whether the node is there and does not report: cut off, perhaps, and working."""
        known = self._nodes.get(name)
        return known is not None and not known.capacity.ready and not known.capacity.reclaimed

    def site(self, name: str) -> str:
        """The site a node is at, "" when it has none or is not known."""
        known = self._nodes.get(name)
        return known.capacity.site if known is not None else ""

    def zone(self, name: str) -> str:
        """The zone a node is in, "" when it tells none or is not known."""
        known = self._nodes.get(name)
        return known.capacity.zone if known is not None else ""

    def area(self, name: str) -> Area | None:
        """Where a node stands, None when nothing tells."""
        known = self._nodes.get(name)
        return known.capacity.area if known is not None else None

    def upsert_pod(self, pod: Pod) -> bool:
        """Take in a pod; returns whether what is free on a node changed."""
        uid = pod.metadata.uid
        if not pod.spec.node_name or pod.status.phase in ENDED:
            return self.remove_pod(uid)
        known = self._pods.get(uid)
        if known is not None and known.spec == pod.spec:
            return False
        requests = _once(tuple(sorted(pod_requests(pod.spec).items())))
        bound = _BoundPod(pod.spec.node_name, pod.spec, requests)
        changed = known is None or (known.node, known.requests) != (bound.node, bound.requests)
        if changed:
            self.remove_pod(uid)
            self._book(bound.node, bound.requests, 1)
        self._pods[uid] = bound
        return changed

    def remove_pod(self, uid: str) -> bool:
        """Forget a pod; returns whether what is free on a node changed."""
        known = self._pods.pop(uid, None)
        if known is None:
            return False
        self._book(known.node, known.requests, -1)
        return True

    def books_changed(self) -> None:
        """What ``devices`` or ``node_pools`` hold has changed: the next inventory is a new one."""
        self._inventory = None

    def inventory(self, declared: Mapping[str, AcceleratorClassSpec]) -> Inventory:
        """Nodes by name and classes by name; the same object as before if nothing changed."""
        if self._declared != declared:
            self._declared = dict(declared)
            self._declared_kinds = tuple(declared_kind(n, s) for n, s in declared.items())
            self._inventory = None
        if self._inventory is None:
            for name in self._stale:
                known = self._nodes[name]
                requested = dict(self._requested.get(name, {}))
                capacity = replace(known.capacity, requested=requested)
                self._nodes[name] = _KnownNode(known.view, capacity)
                self._line_up(capacity)
            self._stale.clear()
            kinds = self.devices.judged(self._classes.kinds(self._declared_kinds))
            nodes = self.devices.laid_on(self._capacities, kinds)
            self._inventory = Inventory(
                self.node_pools.laid_on(nodes), self.node_pools.provisioned(kinds)
            )
        return self._inventory

    def _line_up(self, capacity: NodeCapacity) -> None:
        """Into the order of names, in which an inventory has them: sorting all costs more."""
        place = bisect_left(self._names, capacity.name)
        if place < len(self._names) and self._names[place] == capacity.name:
            self._capacities[place] = capacity
        else:
            self._names.insert(place, capacity.name)
            self._capacities.insert(place, capacity)

    def _book(self, node: str, requests: Mapping[str, int], sign: int) -> None:
        booked = self._requested.setdefault(node, {})
        for resource, amount in requests.items():
            booked[resource] = booked.get(resource, 0) + sign * amount
            if not booked[resource]:
                del booked[resource]
        if not booked:
            del self._requested[node]
        if node in self._nodes:
            self._stale.add(node)
            self._inventory = None


def declared_kind(name: str, spec: AcceleratorClassSpec) -> AcceleratorKind:
    """An AcceleratorClass as the planner sees it."""
    version = None
    if spec.compute_capability is not None:
        major, _, minor = spec.compute_capability.partition(".")
        version = (int(major), int(minor))
    device_class = spec.device_class_name or ""
    price, watts = spec.price_per_hour, spec.watts
    added = spec.provisioning
    return AcceleratorKind(
        name,
        spec.node_selector or {},
        claimed(name) if device_class else spec.resource_name or GPU,
        value(spec.memory),
        version,
        declared=True,
        price_per_h=price.on_demand if price is not None else None,
        spot_price_per_h=price.spot if price is not None else None,
        idle_watts=watts.idle if watts is not None else None,
        max_watts=watts.max if watts is not None else None,
        carbon_zone=spec.carbon_zone or "",
        integrated=spec.integrated_gpu,
        device_class=device_class,
        device_selectors=tuple(spec.device_selectors or ()),
        provisioning=Provisioning(
            added.max_nodes,
            added.units_per_node,
            durations.seconds(added.wait_for),
            added.node_labels or {},
        )
        if added is not None
        else None,
    )


def pod_requests(spec: PodSpec) -> Amounts:
    """What kube-scheduler counts for a pod: cpu in millicores, all else in base units.

    Containers and sidecars run together; an ordinary init container runs beside the sidecars that
    started before it (https://kubernetes.io/docs/concepts/workloads/pods/sidecar-containers/).
    A pod also takes one of the node's ``pods``. RuntimeClass overhead comes on top.
    """
    running = _sum(_requests(container) for container in spec.containers)
    sidecars: Amounts = {}
    peak: Amounts = {}
    for container in spec.init_containers:
        beside = _sum((sidecars, _requests(container)))
        if container.restart_policy == "Always":
            sidecars = beside
        peak = _most(peak, beside)
    total = _most(_sum((running, sidecars)), peak)
    return _sum((total, _amounts(spec.overhead), {"pods": 1}))


@lru_cache(maxsize=4096)
def _once(items: tuple[tuple[str, int], ...]) -> Mapping[str, int]:
    """One mapping for all pods that request the same."""
    return dict(items)


def _requests(container: Container) -> Amounts:
    # The API server defaults requests to limits, so limits need not be looked at.
    return _amounts(container.resources.requests)


def _amounts(raw: _Raw) -> Amounts:
    """Counted resources only: cpu, memory, pods and extended resources (they have a domain).

    What is no quantity, or less than nothing, counts as nothing: one node's odd status is no reason
    to know nothing of the cluster.
    """
    amounts: Amounts = {}
    for resource, quantity in raw.items():
        if resource not in ("cpu", "memory", "pods") and "/" not in resource:
            continue
        try:
            amount = milli(quantity) if resource == "cpu" else value(quantity)
        except ValueError:
            continue
        amounts[resource] = max(0, amount)
    return amounts


def _sum(parts: Iterable[Mapping[str, int]]) -> Amounts:
    total: Amounts = {}
    for part in parts:
        for resource, amount in part.items():
            total[resource] = total.get(resource, 0) + amount
    return total


def _most(one: Mapping[str, int], other: Mapping[str, int]) -> Amounts:
    return {r: max(one.get(r, 0), other.get(r, 0)) for r in (*one, *other)}


def _same_node(one: Node, other: Node) -> bool:
    return (
        one.status.allocatable == other.status.allocatable
        and one.spec == other.spec
        and one.ready == other.ready
        and _reclaimed(one) == _reclaimed(other)
        and (one.metadata.deletion_timestamp is None) == (other.metadata.deletion_timestamp is None)
        and _stable(one.metadata.labels) == _stable(other.metadata.labels)
    )


def _stable(labels: Mapping[str, str]) -> Mapping[str, str]:
    if not any(label in labels for label in _VOLATILE_LABELS):
        return labels
    return {k: v for k, v in labels.items() if k not in _VOLATILE_LABELS}


def _reclaimed(node: Node) -> bool:
    return machine.reclaimed(node.spec.taints, node.status.conditions)
