"""The part of `conch capacity` that counts: the fleet at a glance, per accelerator class.

Values made from an inventory and the services on it; it must not print and never changes anything.
What it advises about MIG layouts is advice: nothing acts on it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from conch.api.v1alpha1 import RuntimeResources
from conch.kube import quantity
from conch.observe.catalogue import lookup, mig_memory_mib
from conch.observe.spot import SPOT, SPOT_TOLERATIONS
from conch.observe.state import ClusterState
from conch.observe.types import CPU_CLASS, AcceleratorKind, Inventory, NodeCapacity
from conch.placement import provision
from conch.placement.fit import carries, implied_tolerations, repelling_taint

SIZES: Final = (1, 2, 4, 8)  # units per replica that are asked about
_MI = 1024**2


@dataclass(frozen=True, slots=True)
class Host:
    """What a replica takes of a node beside accelerators."""

    cpu_milli: int
    memory_bytes: int


def default_host() -> Host:
    """What a replica takes that says nothing: the API's own defaults."""
    usual = RuntimeResources()
    memory = quantity.value(usual.memory) + quantity.value(usual.shared_memory)
    return Host(quantity.milli(usual.cpu), memory)


@dataclass(frozen=True, slots=True)
class ClassLine:
    """One class. Units are what a pod requests; prices are US dollars."""

    name: str
    declared: bool
    counted: bool  # False: a class without units, such as the CPU's
    memory_bytes: int  # of one unit; 0: not known
    nodes: int
    usable_nodes: int
    spot_nodes: int
    units: int
    free: int  # on usable nodes
    unusable: int  # free, on nodes that take no pods now
    stranded: int  # free, on usable nodes without CPU, memory or a pod's place for a replica
    fragmented: int  # free and not stranded, on nodes of which other units are taken
    fits: Mapping[int, int]  # replicas that find room, by the units one needs on one node
    why_unusable: Mapping[str, int]  # nodes, by reason
    price_per_h: float | None
    spot_price_per_h: float | None
    max_watts: float | None
    shared_by: int
    mig_profile: str
    addable: int  # nodes that a node autoscaler may still add
    zones: tuple[str, ...]
    sites: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fleet:
    """Everything that is told. Sums leave out what has no price, and say of how many units."""

    classes: tuple[ClassLine, ...]
    nodes: int
    cost_per_h: float
    free_cost_per_h: float
    unpriced_units: int
    unknown_nodes: int  # with accelerators of no class
    advice: tuple[str, ...]


def fleet(inventory: Inventory, users: Sequence[User], host: Host) -> Fleet:
    """The fleet; ``host`` is what a replica needs that says nothing of its own."""
    counted = [_count(inventory, kind, host) for kind in inventory.kinds]
    classes = tuple(line for line, *_ in counted)
    rest = [n for n in inventory.nodes if not any(_has(n, kind) for kind in inventory.kinds)]
    unknown = [node for node in rest if any(map(_accelerator, node.allocatable))]
    bare = tuple(node for node in rest if node not in unknown)
    if bare:
        line, *_ = _count(Inventory(bare, ()), CPU_CLASS, host)
        classes = (*classes, line)
    return Fleet(
        classes,
        len(inventory.nodes),
        round(sum(cost for _, cost, _, _ in counted), 4),
        round(sum(free for _, _, free, _ in counted), 4),
        sum(unpriced for *_, unpriced in counted),
        len(unknown),
        tuple(mig_advice(inventory, classes, users)),
    )


def _count(
    inventory: Inventory, kind: AcceleratorKind, host: Host
) -> tuple[ClassLine, float, float, int]:
    """The line; dollars per hour of all units, and of the free ones; units without a price."""
    members = [node for node in inventory.nodes if _has(node, kind)]
    refused: Counter[str] = Counter()
    fits: Counter[int] = Counter()
    units = free = unusable = stranded = fragmented = unpriced = 0
    cost = free_cost = 0.0
    for node in members:
        offered, left = node.allocatable.get(kind.resource, 0), node.free(kind.resource)
        units += offered
        price = kind.price_on(node.capacity_type)
        unpriced += offered if price is None else 0
        cost += (price or 0.0) * offered
        free_cost += (price or 0.0) * left
        if reason := _unusable(node, kind):
            refused[reason] += 1
            unusable += left
            continue
        free += left
        slots = _slots(node, host)
        stranded += max(0, left - slots)
        if left < offered:
            fragmented += min(left, slots)
        for size in SIZES:
            fits[size] += min(left // size, slots) if kind.resource else slots
    line = ClassLine(
        name=kind.name,
        declared=kind.declared,
        counted=bool(kind.resource),
        memory_bytes=kind.memory_bytes,
        nodes=len(members),
        usable_nodes=len(members) - refused.total(),
        spot_nodes=sum(node.capacity_type == SPOT for node in members),
        units=units,
        free=free,
        unusable=unusable,
        stranded=stranded,
        fragmented=fragmented,
        fits={size: fits[size] for size in (SIZES if kind.resource else (1,))},
        why_unusable=dict(sorted(refused.items())),
        price_per_h=kind.price_per_h,
        spot_price_per_h=kind.spot_price_per_h,
        max_watts=kind.max_watts,
        shared_by=kind.shared_by,
        mig_profile=kind.mig_profile,
        addable=provision.addable(kind, inventory.nodes),
        zones=tuple(sorted({node.zone for node in members if node.zone})),
        sites=tuple(sorted({node.site for node in members if node.site})),
    )
    return line, cost, free_cost, unpriced


def _has(node: NodeCapacity, kind: AcceleratorKind) -> bool:
    """Whether the node is one of the class, and offers its units (however many are free)."""
    offers = not kind.resource or kind.resource in node.allocatable
    return offers and carries(node.labels, kind.node_selector)


def _accelerator(resource: str) -> bool:
    return resource.startswith(("nvidia.com/", "amd.com/gpu")) or resource.endswith("/gpu")


def _unusable(node: NodeCapacity, kind: AcceleratorKind) -> str:
    """Why no new pod goes there that tolerates only what every pod of the class does."""
    if not node.ready:
        return "not ready"
    if node.reclaimed:
        return "being reclaimed"
    if node.unschedulable:
        return "cordoned"
    taint = repelling_taint(node, (*implied_tolerations(kind), *SPOT_TOLERATIONS))
    return f"tainted {taint.key}" if taint is not None else ""


def _slots(node: NodeCapacity, host: Host) -> int:
    """Replicas that the rest of the node has room for."""
    rooms = [node.free("pods")] if "pods" in node.allocatable else []
    for resource, needs in (("cpu", host.cpu_milli), ("memory", host.memory_bytes)):
        if needs > 0:
            rooms.append(node.free(resource) // needs)
    return min(rooms, default=0)


# --- MIG ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class User:
    """Replicas of one service as far as layouts go: 0 bytes when nobody knows what it needs."""

    name: str
    class_name: str  # "": none has it yet
    replicas: int
    count: int
    memory_bytes: int


def users(state: ClusterState) -> list[User]:
    """The services of a cluster."""
    found = []
    for key, record in sorted(state.services.items()):
        service = record.service
        if service is None:
            continue
        accelerators, status = service.spec.placement.accelerators, service.status
        found.append(
            User(
                str(key),
                status.accelerator or "",
                max(status.desired_replicas or 0, status.replicas or 0),
                accelerators.count,
                quantity.value(accelerators.min_memory or status.gpu_memory or 0),
            )
        )
    return found


def mig_advice(
    inventory: Inventory, lines: Iterable[ClassLine], users: Sequence[User]
) -> Iterable[str]:
    """Where another layout would need fewer GPUs, or free some. Never more than advice."""
    free = {line.name: line.free for line in lines}
    for kind in inventory.kinds:
        gpu = lookup(kind.name)
        profiles = gpu.mig if gpu is not None else None
        if not profiles:
            continue
        if kind.mig_profile:
            yield from _merge_advice(kind, inventory, free, users)
        elif kind.shared_by == 1 and kind.resource:
            yield from _split_advice(kind, profiles, users)


def _split_advice(
    kind: AcceleratorKind, profiles: Mapping[str, int], users: Sequence[User]
) -> Iterable[str]:
    """Replicas on whole GPUs that say they need a small part of one."""
    wanted: Counter[str] = Counter()
    for user in users:
        if user.class_name != kind.name or user.count != 1 or not user.memory_bytes:
            continue
        fitting = [
            (mig_memory_mib(profile) * _MI, profile)
            for profile, count in profiles.items()
            if count > 1 and mig_memory_mib(profile) * _MI >= user.memory_bytes
        ]
        if fitting:
            wanted[min(fitting)[1]] += user.replicas
    whole = wanted.total()
    needed = sum(math.ceil(count / profiles[profile]) for profile, count in wanted.items())
    if needed < whole:
        layout = ", ".join(f"{count} x {profile}" for profile, count in sorted(wanted.items()))
        yield (
            f"{kind.name}: {whole} replicas on a GPU each ask for no more than a slice has; "
            f"{layout} would take {needed} {'GPU' if needed == 1 else 'GPUs'}. Measure first: "
            "a slice is slower, and a new layout empties its GPU."
        )


def _merge_advice(
    kind: AcceleratorKind,
    inventory: Inventory,
    free: Mapping[str, int],
    users: Sequence[User],
) -> Iterable[str]:
    """Slices that nobody uses, while somebody waits who needs more memory than they have."""
    units = sum(n.allocatable.get(kind.resource, 0) for n in inventory.nodes if _has(n, kind))
    waiting = [
        user
        for user in users
        if not user.class_name and user.replicas and user.memory_bytes > kind.memory_bytes
    ]
    if waiting and units and free.get(kind.name) == units:
        yield (
            f"{kind.name}: none of {units} slices is used, and {waiting[0].name} waits for "
            "more memory than one has: larger slices or whole GPUs would serve it."
        )
