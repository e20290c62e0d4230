"""What is still free while a plan is being made: every reservation is subtracted here, once.

A replica is reserved on the first node that takes it, in an order fixed when the plan starts (nodes
that are there before those to come; the capacity type that comes first for the service; then least
free units, so that whole nodes stay for services that need several units; then name). A fixed
order keeps plans stable: the same replicas asked for again land on the same nodes, and a new node
does not reshuffle replicas of one shape. kube-scheduler binds where it likes; what counts here is
that the reservations are possible together.

A ledger is kept from plan to plan: ``restart`` forgets what was reserved and looks only at nodes
that are not the same as before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from conch.observe.types import AcceleratorKind, Inventory, NodeCapacity, PlacementRequest, Taint
from conch.placement.fit import (
    Filter,
    Fit,
    carries,
    implied_tolerations,
    node_refusal,
    repelling_taint,
)

# More replicas than the API allows one service to have: the room of a cluster without limits.
UNLIMITED = 10_000
SPOT = "Spot"
_MOST_CANDIDATES = 10_000

# A node's index, and how many replicas were reserved on it.
Grants = list[tuple[int, int]]


@dataclass(frozen=True, slots=True)
class Shape:
    """What one replica takes from one node."""

    resource: str
    count: int
    cpu_milli: int
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Lot:
    """Nodes of one class and one capacity type, in the order they are tried."""

    capacity_type: str
    coming: bool  # they are not there, or not with their units
    nodes: tuple[int, ...]

    @property
    def key(self) -> tuple[str, bool]:
        """What it has in common with ``NodeCapacity.lot``."""
        return self.capacity_type, self.coming


@dataclass(frozen=True, slots=True)
class Units:
    """One resource summed up over the candidates of a class that are there."""

    total: int  # allocatable
    largest: int  # allocatable, on the one node that has most; nodes to come included
    free: int  # neither requested nor reserved
    most_free: int  # on the one node that has most
    promised: int  # reserved by this plan for pods without a node


@dataclass(slots=True, eq=False)
class Candidates:
    """The nodes of one class, sorted out for one filter."""

    resource: str  # of the class
    members: tuple[int, ...]  # every node of the class
    lots: tuple[Lot, ...]  # those that pods may be bound to
    refused: Mapping[Fit, int]  # how many of the others, by reason
    taint: Taint | None  # one that keeps pods off, as an example
    filter_: Filter
    # Units free, by lot; kept up with every reservation. []: to be summed up.
    free: list[int] = field(default_factory=list)
    # By lot, then by shape: no node before that position takes a replica. []: nothing known.
    starts: list[dict[Shape, int]] = field(default_factory=list)
    # Sums that hold until something is reserved on one of the nodes.
    units: dict[str, Units] = field(default_factory=dict)
    slots: dict[Shape, tuple[int, ...]] = field(default_factory=dict)
    largest_host: tuple[int, int] | None = None

    @property
    def nodes(self) -> tuple[int, ...]:
        """All nodes that pods may be bound to."""
        if len(self.lots) == 1:
            return self.lots[0].nodes
        return tuple(index for lot in self.lots for index in lot.nodes)

    @property
    def there(self) -> tuple[int, ...]:
        """Those of them that are there, with their units."""
        if len(self.lots) == 1 and not self.lots[0].coming:
            return self.lots[0].nodes
        return tuple(index for lot in self.lots if not lot.coming for index in lot.nodes)


def shape(kind: AcceleratorKind, request: PlacementRequest) -> Shape:
    """What one replica of ``request`` takes from a node of ``kind``."""
    count = request.count if kind.resource else 0
    return Shape(kind.resource, count, request.cpu_milli, request.memory_bytes)


class Ledger:
    """Free resources of every node, less what this plan has reserved so far."""

    def __init__(self, inventory: Inventory) -> None:
        self._index: dict[str, int] = {}
        self._nodes: list[NodeCapacity | None] = []  # None: it is gone
        self._cpu: list[int] = []
        self._memory: list[int] = []
        self._pods: list[int] = []
        self._units: dict[str, list[int]] = {}
        self._touched: set[int] = set()  # nodes with reservations
        self._kinds: dict[str, AcceleratorKind] = {}
        self._members: dict[str, tuple[int, ...]] = {}
        self._by_label: dict[str, dict[str, list[int]]] = {}
        self._candidates: dict[tuple[str, Filter], Candidates] = {}
        # By node: who has it, in which lot, at which position.
        self._holders: dict[int, list[tuple[Candidates, int, int]]] = {}
        self._seen: tuple[NodeCapacity, ...] = ()
        self.restart(inventory)

    def restart(self, inventory: Inventory) -> None:
        """Begin another plan: nothing is reserved, and the nodes are those of ``inventory``."""
        for index in self._touched:
            self._read(index)
        self._touched.clear()
        if inventory.nodes is not self._seen:
            self._take_in(inventory.nodes)
            self._seen = inventory.nodes
        kinds = {kind.name: kind for kind in inventory.kinds}
        self._forget(name for name, kind in self._kinds.items() if kinds.get(name, kind) != kind)
        if len(self._candidates) > _MOST_CANDIDATES:
            self._forget(list(self._kinds))  # of filters that nobody has any more

    def node(self, index: int) -> NodeCapacity:
        """The node as observed."""
        node = self._nodes[index]
        assert node is not None, "candidates hold no node that is gone"
        return node

    def reserved(self, name: str, resource: str) -> int:
        """How much of a node's resource this plan has reserved."""
        index = self._index[name]
        now = {"cpu": self._cpu, "memory": self._memory, "pods": self._pods}.get(resource)
        node = self.node(index)
        before = _pods(node) if resource == "pods" else node.free(resource)
        return before - (now if now is not None else self._free(resource))[index]

    def candidates(self, kind: AcceleratorKind, filter_: Filter) -> Candidates:
        """The nodes of ``kind`` that a service with that filter may be on, and why not the rest."""
        filter_ = filter_.on(kind)
        key = (kind.name, filter_)
        if (known := self._candidates.get(key)) is not None:
            return known
        self._kinds[kind.name] = kind
        tolerations = (*filter_.tolerations, *implied_tolerations(kind))
        members = self._nodes_of(kind)
        lots: dict[tuple[str, bool], list[int]] = {}
        refused: Counter[Fit] = Counter()
        taint: Taint | None = None
        for index in members:
            node = self.node(index)
            refusal = node_refusal(node, filter_, tolerations)
            if refusal is None:
                lots.setdefault(node.lot, []).append(index)
            else:
                refused[refusal] += 1
                if refusal is Fit.TAINTED:
                    taint = taint or repelling_taint(node, tolerations)
        order = sorted(lots, key=lambda lot: (lot[1], _lot_rank(lot[0], kind, filter_)))
        in_order = tuple(Lot(*lot, tuple(lots[lot])) for lot in order)
        found = Candidates(kind.resource, members, in_order, refused, taint, filter_)
        self._candidates[key] = found
        found.starts.extend({} for _ in in_order)
        for number, lot in enumerate(in_order):
            for position, index in enumerate(lot.nodes):
                self._holders.setdefault(index, []).append((found, number, position))
        return found

    def reserve(
        self, candidates: Candidates, shape: Shape, replicas: int, spot_limit: int = UNLIMITED
    ) -> Grants:
        """Reserve up to ``replicas``, not more than ``spot_limit`` on spot; what found room."""
        left = replicas
        grants: Grants = []
        for lot, starts in zip(candidates.lots, candidates.starts, strict=True):
            quota = most = min(left, spot_limit) if lot.capacity_type == SPOT else left
            left -= quota
            start, nodes = starts.get(shape, 0), lot.nodes
            begun = False
            for position in range(start, len(nodes)):
                if quota <= 0:
                    break
                slots = self._slots(nodes[position], shape)
                if slots:
                    taken = min(quota, slots)
                    self._book(nodes[position], shape, taken)
                    grants.append((nodes[position], taken))
                    quota -= taken
                    begun = True
                elif not begun:
                    start = position + 1
            starts[shape] = start
            left += quota
            if lot.capacity_type == SPOT:
                spot_limit -= most - quota
        return grants

    def may_hold(
        self, candidates: Candidates, shape: Shape, replicas: int, spot_limit: int = UNLIMITED
    ) -> bool:
        """False if there are too few free units for so many replicas; cheap."""
        if not shape.count:
            return True
        if spot_limit >= replicas:
            free_units = candidates.free or self._free_by_lot(candidates)
            return sum(free_units) >= replicas * shape.count
        slots = [free // shape.count for free in self._free_by_lot(candidates)]
        return _within(candidates.lots, slots, spot_limit) >= replicas

    def short(self, candidates: Candidates, shape: Shape, replicas: int) -> int:
        """How many free units are missing for so many replicas; <= 0: none."""
        return replicas * shape.count - sum(self._free_by_lot(candidates)) if shape.count else 0

    def reserve_on(self, index: int, shape: Shape, replicas: int) -> Grants:
        """Reserve up to ``replicas`` on one node."""
        taken = min(replicas, self._slots(index, shape))
        if not taken:
            return []
        self._book(index, shape, taken)
        return [(index, taken)]

    def slots_on(self, index: int, shape: Shape) -> int:
        """How many more replicas of that shape one node would take now."""
        return self._slots(index, shape)

    def release(self, grants: Grants, shape: Shape) -> None:
        """Give back what was reserved."""
        for index, replicas in grants:
            self._book(index, shape, -replicas)

    def slots(self, candidates: Candidates, shape: Shape) -> tuple[int, ...]:
        """How many more replicas of that shape would find room now, by lot."""
        known = candidates.slots.get(shape)
        if known is None:
            known = tuple(
                sum(self._slots(index, shape) for index in lot.nodes) for lot in candidates.lots
            )
            candidates.slots[shape] = known
        return known

    def room(
        self,
        candidates: Candidates,
        shape: Shape,
        spot_limit: int = UNLIMITED,
        *,
        to_come: bool = True,
    ) -> int:
        """How many more replicas of that shape would find room now, and on nodes to come."""
        lots, slots = candidates.lots, self.slots(candidates, shape)
        if not to_come:
            slots = tuple(0 if lot.coming else n for lot, n in zip(lots, slots, strict=True))
        return min(_within(lots, slots, spot_limit), UNLIMITED)

    def units(self, candidates: Candidates, resource: str) -> Units:
        """The sums of a resource as of now."""
        if (known := candidates.units.get(resource)) is not None:
            return known
        nodes = candidates.there
        offered = [self.node(i).allocatable.get(resource, 0) for i in candidates.nodes]
        now = self._free(resource)
        free = [now[i] for i in nodes]
        observed = sum(self.node(i).free(resource) for i in nodes)
        candidates.units[resource] = units = Units(
            total=sum(self.node(i).allocatable.get(resource, 0) for i in nodes),
            largest=max(offered, default=0),
            free=sum(free),
            most_free=max(free, default=0),
            promised=observed - sum(free),
        )
        return units

    def largest_host(self, candidates: Candidates) -> tuple[int, int]:
        """The most cpu (milli) and the most memory (bytes) that an empty candidate offers."""
        if candidates.largest_host is None:
            offers = [self.node(i).allocatable for i in candidates.nodes]
            candidates.largest_host = (
                max((o.get("cpu", 0) for o in offers), default=0),
                max((o.get("memory", 0) for o in offers), default=0),
            )
        return candidates.largest_host

    def free_beside(self, candidates: Candidates, shape: Shape) -> tuple[int, int, int]:
        """The most cpu (milli), memory (bytes) and pods free on a node that still has the units."""
        units = self._free(shape.resource)
        usable = [i for i in candidates.nodes if not shape.count or units[i] >= shape.count]
        return (
            max((self._cpu[i] for i in usable), default=0),
            max((self._memory[i] for i in usable), default=0),
            max((self._pods[i] for i in usable), default=0),
        )

    def free_of(self, index: int, resource: str) -> tuple[int, int, int, int]:
        """Units of ``resource``, cpu (milli), memory (bytes) and pods free on one node."""
        units = self._free(resource)[index] if resource else 0
        return units, self._cpu[index], self._memory[index], self._pods[index]

    # --- nodes -----------------------------------------------------------------------------------

    def _take_in(self, nodes: tuple[NodeCapacity, ...]) -> None:
        changed: list[tuple[NodeCapacity | None, NodeCapacity | None]] = []
        index_of, known = self._index, self._nodes
        for node in nodes:
            index = index_of.get(node.name)
            if index is None:
                index_of[node.name] = index = len(known)
                known.append(None)
                self._cpu.append(0)
                self._memory.append(0)
                self._pods.append(0)
                for units in self._units.values():
                    units.append(0)
            before = known[index]
            if before is not node:
                changed.append((before, node))
                known[index] = node
                self._read(index)
        if len(nodes) != sum(node is not None for node in known):
            here = {node.name for node in nodes}
            for name, index in index_of.items():
                gone = known[index]
                if gone is not None and name not in here:
                    changed.append((gone, None))
                    known[index] = None
        self._by_label.clear()
        self._forget(self._concerned(changed))

    def _concerned(
        self, changed: Iterable[tuple[NodeCapacity | None, NodeCapacity | None]]
    ) -> set[str]:
        """The classes that have, or had, one of the nodes."""
        labels = [node.labels for pair in changed for node in pair if node is not None]
        return {
            name
            for name, kind in self._kinds.items()
            if any(carries(one, kind.node_selector) for one in labels)
        }

    def _forget(self, names: Iterable[str]) -> None:
        stale = set(names)
        if not stale:
            return
        for name in stale:
            self._members.pop(name, None)
            self._kinds.pop(name, None)
        for key in [key for key in self._candidates if key[0] in stale]:
            dropped = self._candidates.pop(key)
            for lot in dropped.lots:
                for index in lot.nodes:
                    held = self._holders[index]
                    self._holders[index] = [one for one in held if one[0] is not dropped]

    def _nodes_of(self, kind: AcceleratorKind) -> tuple[int, ...]:
        members = self._members.get(kind.name)
        if members is None:
            # Free as observed, not as reserved so far: the order must not depend on the plan.
            found = []
            for index in self._labelled(kind.node_selector):
                node = self._nodes[index]
                if node is not None and carries(node.labels, kind.node_selector):
                    found.append(
                        (node.coming == "Addable", node.free(kind.resource), node.name, index)
                    )
            self._members[kind.name] = members = tuple(index for *_, index in sorted(found))
        return members

    def _labelled(self, selector: Mapping[str, str]) -> Iterable[int]:
        """Nodes that have one of the selector's labels; all nodes for no selector."""
        if not selector:
            return range(len(self._nodes))
        key, value = next(iter(selector.items()))
        by_value = self._by_label.get(key)
        if by_value is None:
            self._by_label[key] = by_value = {}
            for index, node in enumerate(self._nodes):
                if node is not None and key in node.labels:
                    by_value.setdefault(node.labels[key], []).append(index)
        return by_value.get(value, ())

    def _read(self, index: int) -> None:
        """What is free on a node as observed."""
        node = self._nodes[index]
        if node is not None:
            self._cpu[index] = node.free("cpu")
            self._memory[index] = node.free("memory")
            self._pods[index] = _pods(node)
            for resource, units in self._units.items():
                units[index] = node.free(resource)
        for candidates, _, _ in self._holders.get(index, ()):
            candidates.free.clear()
            for starts in candidates.starts:
                starts.clear()
            candidates.units.clear()
            candidates.slots.clear()

    def _free(self, resource: str) -> list[int]:
        units = self._units.get(resource)
        if units is None:
            units = [0 if node is None else node.free(resource) for node in self._nodes]
            self._units[resource] = units
        return units

    def _slots(self, index: int, shape: Shape) -> int:
        slots = self._pods[index]
        if shape.count:
            slots = min(slots, self._free(shape.resource)[index] // shape.count)
        if slots and shape.cpu_milli:
            slots = min(slots, self._cpu[index] // shape.cpu_milli)
        if slots and shape.memory_bytes:
            slots = min(slots, self._memory[index] // shape.memory_bytes)
        return slots

    def _book(self, index: int, shape: Shape, replicas: int) -> None:
        self._touched.add(index)
        self._pods[index] -= replicas
        self._cpu[index] -= replicas * shape.cpu_milli
        self._memory[index] -= replicas * shape.memory_bytes
        if shape.count:
            self._free(shape.resource)[index] -= replicas * shape.count
        for candidates, lot, position in self._holders.get(index, ()):
            if candidates.free and candidates.resource == shape.resource:
                candidates.free[lot] -= replicas * shape.count
            if replicas < 0:
                starts = candidates.starts[lot]
                for known, start in starts.items():
                    if start > position:
                        starts[known] = position
            if candidates.units:
                candidates.units.clear()
            if candidates.slots:
                candidates.slots.clear()

    def _free_by_lot(self, candidates: Candidates) -> list[int]:
        if not candidates.free:
            units = self._free(candidates.resource)
            candidates.free.extend(sum(units[i] for i in lot.nodes) for lot in candidates.lots)
        return candidates.free


def _within(lots: Sequence[Lot], slots: Sequence[int], spot_limit: int) -> int:
    """The sum of slots by lot, not more than ``spot_limit`` of them on spot."""
    sums = [0, 0]
    for lot, number in zip(lots, slots, strict=True):
        sums[lot.capacity_type == SPOT] += number
    return sums[0] + min(sums[1], spot_limit)


def _pods(node: NodeCapacity) -> int:
    return node.free("pods") if "pods" in node.allocatable else UNLIMITED


def _lot_rank(capacity_type: str, kind: AcceleratorKind, filter_: Filter) -> tuple[float, str]:
    """As the service orders capacity types; else the cheaper first, on demand where unknown."""
    if filter_.capacity_types:
        return filter_.capacity_types.index(capacity_type), capacity_type
    spot, price = kind.spot_price_per_h, kind.price_per_h
    cheaper = spot is not None and price is not None and spot < price
    return (not cheaper if capacity_type == SPOT else 0.5), capacity_type
