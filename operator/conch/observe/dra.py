"""Devices of dynamic resource allocation, counted per node for the classes that claim them.

Kept event by event from ResourceSlices, ResourceClaims and DeviceClasses; an event costs one pool.
A class's devices become units of a resource of their own on their node, so that the planner need
not know how a unit is asked for. kube-scheduler allocates; where this counts otherwise, it errs
towards fewer: devices that share counters, are tainted, or belong to no single node do not count.

Source: kubernetes.io "Dynamic Resource Allocation", and the API reference of resource.k8s.io/v1.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from conch.api import names
from conch.kube.views import Device, DeviceClass, ResourceClaim, ResourceSlice
from conch.observe import cel, cel_values
from conch.observe.types import AcceleratorKind, NodeCapacity

_Pool = tuple[str, str]  # driver, pool
_DeviceId = tuple[str, str, str]  # driver, pool, device
_REPELLING = frozenset({"NoSchedule", "NoExecute"})


def claimed(class_name: str) -> str:
    """The resource that stands for the devices of an AcceleratorClass in an inventory."""
    return f"{names.GROUP}/claim-{class_name}"


@dataclass(frozen=True, slots=True)
class _Counted:
    """A node as it came, and with its devices."""

    bare: NodeCapacity
    whole: NodeCapacity


class DeviceBook:
    """Which devices there are, which are taken, and which classes they belong to."""

    def __init__(self) -> None:
        self._slices: dict[str, ResourceSlice] = {}
        self._pools: dict[_Pool, set[str]] = defaultdict(set)  # names of slices
        self._usable: dict[_Pool, dict[_DeviceId, tuple[str, Device]]] = {}  # node, device
        self._on_node: dict[str, set[_Pool]] = defaultdict(set)
        self._claims: dict[str, tuple[_DeviceId, ...]] = {}
        self._taken: Counter[_DeviceId] = Counter()
        self._classes: dict[str, DeviceClass] = {}
        self._kinds: tuple[AcceleratorKind, ...] = ()
        self._matching: dict[_Pool, dict[str, frozenset[_DeviceId]]] = {}  # by class
        self._counted: dict[str, _Counted] = {}

    # --- events: each says whether what a class has may have changed ------------------------------

    def set_slice(self, new: ResourceSlice) -> bool:
        """Take in a ResourceSlice."""
        old = self._slices.get(new.metadata.name)
        if old is not None and old.spec == new.spec:
            return False
        if old is not None:
            self.remove_slice(new.metadata.name)
        self._slices[new.metadata.name] = new
        pool = (new.spec.driver, new.spec.pool.name)
        self._pools[pool].add(new.metadata.name)
        self._look_at(pool)
        return bool(self._kinds)

    def remove_slice(self, name: str) -> bool:
        """Forget a ResourceSlice."""
        old = self._slices.pop(name, None)
        if old is None:
            return False
        pool = (old.spec.driver, old.spec.pool.name)
        self._pools[pool].discard(name)
        self._look_at(pool)
        if not self._pools[pool]:
            del self._pools[pool]
        return bool(self._kinds)

    def set_claim(self, claim: ResourceClaim) -> bool:
        """Take in a ResourceClaim; what is allocated to it is taken."""
        allocation = claim.status.allocation
        results = () if allocation is None else allocation.devices.results
        # Access for administration looks at devices that others use.
        devices = tuple((r.driver, r.pool, r.device) for r in results if not r.admin_access)
        if self._claims.get(claim.metadata.uid, ()) == devices:
            return False
        self.remove_claim(claim.metadata.uid)
        if devices:
            self._claims[claim.metadata.uid] = devices
            self._taken.update(devices)
            self._forget_counts(devices)
        return bool(self._kinds)

    def remove_claim(self, uid: str) -> bool:
        """Forget a ResourceClaim."""
        devices = self._claims.pop(uid, ())
        for device in devices:
            self._taken[device] -= 1
            if self._taken[device] <= 0:
                del self._taken[device]
        self._forget_counts(devices)
        return bool(devices and self._kinds)

    def set_class(self, new: DeviceClass) -> bool:
        """Take in a DeviceClass."""
        old = self._classes.get(new.metadata.name)
        self._classes[new.metadata.name] = new
        return (old is None or old.spec != new.spec) and self._recount(new.metadata.name)

    def remove_class(self, name: str) -> bool:
        """Forget a DeviceClass."""
        return self._classes.pop(name, None) is not None and self._recount(name)

    # --- what it comes to -------------------------------------------------------------------------

    def laid_on(
        self, nodes: Iterable[NodeCapacity], kinds: Iterable[AcceleratorKind]
    ) -> tuple[NodeCapacity, ...]:
        """The nodes, with the devices that the classes among ``kinds`` claim."""
        claiming = tuple(kind for kind in kinds if kind.device_class)
        if claiming != self._kinds:
            self._kinds = claiming
            self._matching.clear()
            self._counted.clear()
        if not claiming:
            return tuple(nodes)
        return tuple(self._with_devices(node) for node in nodes)

    def judged(self, kinds: tuple[AcceleratorKind, ...]) -> tuple[AcceleratorKind, ...]:
        """The classes, each that claims devices with the reason why none can be counted."""
        if not any(kind.device_class for kind in kinds):
            return kinds
        return tuple(
            replace(kind, device_problem=self._problem(kind)) if kind.device_class else kind
            for kind in kinds
        )

    def _problem(self, kind: AcceleratorKind) -> str:
        known = self._classes.get(kind.device_class)
        if known is None:
            return f"there is no DeviceClass {kind.device_class}"
        for expression in _expressions(kind, known):
            try:
                cel.compiled(expression)
            except cel_values.CelError as error:
                return f"a device selector cannot be counted by: {error}"
        return ""

    def _with_devices(self, node: NodeCapacity) -> NodeCapacity:
        if node.name not in self._on_node:
            return node
        known = self._counted.get(node.name)
        if known is None or known.bare is not node:
            offered: Counter[str] = Counter()
            taken: Counter[str] = Counter()
            for name, device in self._members(node.name):
                offered[name] += 1
                taken[name] += device in self._taken
            whole = replace(
                node,
                allocatable={**node.allocatable, **offered},
                requested={**node.requested, **taken},
            )
            self._counted[node.name] = known = _Counted(node, whole)
        return known.whole

    def _members(self, node: str) -> Iterator[tuple[str, _DeviceId]]:
        """(resource, device) of every class that has devices on the node."""
        for pool in self._on_node[node]:
            matching = self._matching.get(pool)
            if matching is None:
                self._matching[pool] = matching = {
                    kind.name: self._of_class(kind, pool) for kind in self._kinds
                }
            for name, devices in matching.items():
                for device in devices:
                    if self._usable[pool][device][0] == node:
                        yield claimed(name), device

    def _of_class(self, kind: AcceleratorKind, pool: _Pool) -> frozenset[_DeviceId]:
        known = self._classes.get(kind.device_class)
        if known is None or kind.device_problem:
            return frozenset()
        judges = [cel.compiled(expression) for expression in _expressions(kind, known)]
        return frozenset(
            identity
            for identity, (_, device) in self._usable[pool].items()
            if _passes(judges, _scope(identity[0], device))
        )

    # --- bookkeeping ------------------------------------------------------------------------------

    def _look_at(self, pool: _Pool) -> None:
        """Find a pool's usable devices anew: those of its newest generation, once it is whole."""
        for node, _ in self._usable.pop(pool, {}).values():
            self._on_node[node].discard(pool)
            self._counted.pop(node, None)
            if not self._on_node[node]:
                del self._on_node[node]
        self._matching.pop(pool, None)
        slices = [self._slices[name].spec for name in self._pools[pool]]
        newest = max((s.pool.generation for s in slices), default=0)
        current = [s for s in slices if s.pool.generation == newest]
        if not current or len(current) < current[0].pool.resource_slice_count:
            return
        found = {
            (*pool, device.name): (spec.node_name, device)
            for spec in current
            if spec.node_name
            for device in spec.devices
            if not device.consumes_counters
            and not any(taint.effect in _REPELLING for taint in device.taints)
        }
        if found:
            self._usable[pool] = found
        for node, _ in found.values():
            self._on_node[node].add(pool)
            self._counted.pop(node, None)

    def _forget_counts(self, devices: Iterable[_DeviceId]) -> None:
        for device in devices:
            place = self._usable.get(device[:2], {}).get(device)
            if place is not None:
                self._counted.pop(place[0], None)

    def _recount(self, device_class: str) -> bool:
        """Count all again; whether any class of ours claims from it."""
        if not any(kind.device_class == device_class for kind in self._kinds):
            return False
        self._matching.clear()
        self._counted.clear()
        return True


def _expressions(kind: AcceleratorKind, known: DeviceClass) -> list[str]:
    """All that must hold of a device."""
    return [*(s.cel.expression for s in known.spec.selectors), *kind.device_selectors]


def _passes(judges: Iterable[Any], scope: cel.Scope) -> bool:
    """A selector that fails on a device does not select it."""
    try:
        return all(judge(scope) for judge in judges)
    except cel_values.CelError:
        return False


def _scope(driver: str, device: Device) -> cel.Scope:
    """What selectors see: names without a domain are the driver's own."""
    attributes: dict[str, dict[str, Any]] = defaultdict(dict)
    capacity: dict[str, dict[str, Any]] = defaultdict(dict)
    for key, raw in device.attributes.items():
        domain, name = _qualified(key, driver)
        for sort, value in raw.items():
            try:
                attributes[domain][name] = cel_values.semver(value) if sort == "version" else value
            except cel_values.CelError:
                continue  # of no use to a selector, either
    for key, amount in device.capacity.items():
        domain, name = _qualified(key, driver)
        try:
            capacity[domain][name] = cel_values.amount(amount.get("value", ""))
        except cel_values.CelError:
            continue
    seen: Mapping[str, Any] = {
        "driver": driver,
        "attributes": dict(attributes),
        "capacity": dict(capacity),
    }
    return {"device": seen}


def _qualified(key: str, driver: str) -> tuple[str, str]:
    domain, slash, name = key.rpartition("/")
    return (domain, name) if slash else (driver, key)
