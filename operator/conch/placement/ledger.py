"""What is still free while a plan is being made: every reservation is subtracted here, once.

A replica is reserved on the first node that takes it, in an order fixed when the plan starts (nodes
that are there before those to come; the capacity type that comes first for the service; then least
free units, so that whole nodes stay for services that need several units; then name). A fixed
order keeps plans stable: the same replicas asked for again land on the same nodes, and a new node
does not reshuffle replicas of one shape. kube-scheduler binds where it likes; what counts here is
that the reservations are possible together.

A ledger is kept from plan to plan: ``restart`` forgets what was reserved. Which nodes there are is
the ``roster``'s.
"""

from __future__ import annotations

from conch.observe.types import AcceleratorKind, Inventory, NodeCapacity
from conch.placement.candidates import SPOT, Candidates, Shape, Units, within
from conch.placement.fit import Filter
from conch.placement.roster import Roster

# More replicas than the API allows one service to have: the room of a cluster without limits.
UNLIMITED = 10_000

# A node's index, and how many replicas were reserved on it.
Grants = list[tuple[int, int]]


class Ledger:
    """Free resources of every node, less what this plan has reserved so far."""

    def __init__(self, inventory: Inventory) -> None:
        self._roster = Roster()
        self._cpu: list[int] = []
        self._memory: list[int] = []
        self._pods: list[int] = []
        self._units: dict[str, list[int]] = {}
        self._touched: set[int] = set()  # nodes with reservations
        self.restart(inventory)

    def restart(self, inventory: Inventory) -> None:
        """Begin another plan: nothing is reserved, and the nodes are those of ``inventory``."""
        touched = set(self._touched)
        self._touched.clear()
        touched.update(self._roster.update(inventory))
        new = len(self._roster.nodes) - len(self._pods)
        for column in (self._cpu, self._memory, self._pods, *self._units.values()):
            column.extend([0] * new)
        for index in touched:
            self._read(index)

    def node(self, index: int) -> NodeCapacity:
        """The node as observed."""
        return self._roster.node(index)

    def reserved(self, name: str, resource: str) -> int:
        """How much of a node's resource this plan has reserved."""
        index = self._roster.index(name)
        now = {"cpu": self._cpu, "memory": self._memory, "pods": self._pods}.get(resource)
        node = self.node(index)
        before = _pods(node) if resource == "pods" else node.free(resource)
        return before - (now if now is not None else self._free(resource))[index]

    def candidates(self, kind: AcceleratorKind, filter_: Filter) -> Candidates:
        """The nodes of ``kind`` that a service with that filter may be on, and why not the rest."""
        return self._roster.candidates(kind, filter_)

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
        return within(candidates.lots, slots, spot_limit) >= replicas

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
        return min(within(lots, slots, spot_limit), UNLIMITED)

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

    def _read(self, index: int) -> None:
        """What is free on a node as observed."""
        node = self._roster.nodes[index]
        if node is not None:
            self._cpu[index] = node.free("cpu")
            self._memory[index] = node.free("memory")
            self._pods[index] = _pods(node)
            for resource, units in self._units.items():
                units[index] = node.free(resource)
        for candidates, _, _ in self._roster.holders(index):
            candidates.free.clear()
            for starts in candidates.starts:
                starts.clear()
            candidates.units.clear()
            candidates.slots.clear()

    def _free(self, resource: str) -> list[int]:
        units = self._units.get(resource)
        if units is None:
            units = [0 if node is None else node.free(resource) for node in self._roster.nodes]
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
        for candidates, lot, position in self._roster.holders(index):
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


def _pods(node: NodeCapacity) -> int:
    return node.free("pods") if "pods" in node.allocatable else UNLIMITED
