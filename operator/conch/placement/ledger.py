"""What is still free while a plan is being made: every reservation is subtracted here, once.

A replica is reserved on the first node that takes it, in an order fixed when the plan starts (least
free units first, so that whole nodes stay for services that need several units; then name). A fixed
order keeps plans stable: the same replicas asked for again land on the same nodes, and a new node
does not reshuffle replicas of one shape. kube-scheduler binds where it likes; what counts here is
that the reservations are possible together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from conch.observe.types import AcceleratorKind, Inventory, NodeCapacity, PlacementRequest, Taint
from conch.placement.fit import Fit, carries, implied_tolerations, node_refusal, repelling_taint

# More replicas than the API allows one service to have: the room of a cluster without limits.
_UNLIMITED = 10_000


@dataclass(frozen=True, slots=True)
class Shape:
    """What one replica takes from one node."""

    resource: str
    count: int
    cpu_milli: int
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Candidates:
    """The nodes of one class, sorted out for one set of node selector and tolerations."""

    members: tuple[int, ...]  # every node of the class
    nodes: tuple[int, ...]  # those that pods may be bound to, in the order they are tried
    refused: Mapping[Fit, int]  # how many of the others, by reason
    taint: Taint | None  # one that keeps pods off, as an example


@dataclass(frozen=True, slots=True)
class Units:
    """One resource summed up over the candidates of a class."""

    total: int  # allocatable
    largest: int  # allocatable, on the one node that has most
    free: int  # neither requested nor reserved
    most_free: int  # on the one node that has most
    promised: int  # reserved by this plan for pods without a node


def shape(kind: AcceleratorKind, request: PlacementRequest) -> Shape:
    """What one replica of ``request`` takes from a node of ``kind``."""
    count = request.count if kind.resource else 0
    return Shape(kind.resource, count, request.cpu_milli, request.memory_bytes)


class Ledger:
    """Free resources of every node, less what this plan has reserved so far."""

    def __init__(self, inventory: Inventory) -> None:
        self.nodes: Sequence[NodeCapacity] = sorted(inventory.nodes, key=lambda n: n.name)
        self.reserved: Counter[tuple[str, str]] = Counter()  # (node, resource) → amount
        self._cpu = [n.free("cpu") for n in self.nodes]
        self._memory = [n.free("memory") for n in self.nodes]
        self._pods = [n.free("pods") if "pods" in n.allocatable else _UNLIMITED for n in self.nodes]
        self._units: dict[str, list[int]] = {}
        self._members: dict[str, tuple[int, ...]] = {}
        self._candidates: dict[object, Candidates] = {}
        self._sums: dict[tuple[int, str], Units] = {}  # until the next reservation
        self._largest_hosts: dict[int, tuple[int, int]] = {}

    def candidates(self, kind: AcceleratorKind, request: PlacementRequest) -> Candidates:
        """The nodes of ``kind`` that may take pods of ``request``, and why the others may not."""
        selector = tuple(sorted(request.node_selector.items()))
        key = (kind.name, selector, request.tolerations)
        if (known := self._candidates.get(key)) is not None:
            return known
        tolerations = (*request.tolerations, *implied_tolerations(kind))
        members = self._nodes_of(kind)
        nodes: list[int] = []
        refused: Counter[Fit] = Counter()
        taint: Taint | None = None
        for index in members:
            refusal = node_refusal(self.nodes[index], request.node_selector, tolerations)
            if refusal is None:
                nodes.append(index)
            else:
                refused[refusal] += 1
                taint = taint or repelling_taint(self.nodes[index], tolerations)
        self._candidates[key] = found = Candidates(members, tuple(nodes), refused, taint)
        return found

    def reserve(self, candidates: Candidates, shape: Shape, replicas: int) -> int:
        """Reserve up to ``replicas``; returns how many found room."""
        left = replicas
        for index in candidates.nodes:
            if left <= 0:
                break
            taken = min(left, self._slots(index, shape))
            if taken:
                self._take(index, shape, taken)
                left -= taken
        return replicas - left

    def room(self, candidates: Candidates, shape: Shape) -> int:
        """How many more replicas of that shape would find room now."""
        total = sum(self._slots(index, shape) for index in candidates.nodes)
        return min(total, _UNLIMITED)

    def has_room(self, candidates: Candidates, shape: Shape) -> bool:
        """Whether one more replica of that shape would find room now."""
        units = self._sums.get((id(candidates), shape.resource))
        if units is not None and units.most_free < shape.count:
            return False  # spares a scan of every node for every service when a class is full
        return any(self._slots(index, shape) for index in candidates.nodes)

    def units(self, candidates: Candidates, resource: str) -> Units:
        """The sums of a resource as of now."""
        key = (id(candidates), resource)  # the ledger keeps candidates alive
        if (known := self._sums.get(key)) is not None:
            return known
        offered = self._offered(candidates, resource)
        free = [self._free(resource)[index] for index in candidates.nodes]
        observed = sum(self.nodes[index].free(resource) for index in candidates.nodes)
        self._sums[key] = units = Units(
            total=sum(offered),
            largest=max(offered, default=0),
            free=sum(free),
            most_free=max(free, default=0),
            promised=observed - sum(free),
        )
        return units

    def largest_host(self, candidates: Candidates) -> tuple[int, int]:
        """The most cpu (milli) and the most memory (bytes) that an empty candidate offers."""
        known = self._largest_hosts.get(id(candidates))
        if known is None:
            cpu, memory = (self._offered(candidates, name) for name in ("cpu", "memory"))
            known = (max(cpu, default=0), max(memory, default=0))
            self._largest_hosts[id(candidates)] = known
        return known

    def free_beside(self, candidates: Candidates, shape: Shape) -> tuple[int, int]:
        """The most cpu (milli) and memory (bytes) free on a node that still has the units."""
        units = self._free(shape.resource)
        usable = [i for i in candidates.nodes if not shape.count or units[i] >= shape.count]
        return (
            max((self._cpu[i] for i in usable), default=0),
            max((self._memory[i] for i in usable), default=0),
        )

    def _offered(self, candidates: Candidates, resource: str) -> list[int]:
        return [self.nodes[i].allocatable.get(resource, 0) for i in candidates.nodes]

    def _nodes_of(self, kind: AcceleratorKind) -> tuple[int, ...]:
        members = self._members.get(kind.name)
        if members is None:
            # Free as observed, not as reserved so far: the order must not depend on the plan.
            found = [
                (node.free(kind.resource), node.name, index)
                for index, node in enumerate(self.nodes)
                if carries(node.labels, kind.node_selector)
            ]
            self._members[kind.name] = members = tuple(index for *_, index in sorted(found))
        return members

    def _free(self, resource: str) -> list[int]:
        units = self._units.get(resource)
        if units is None:
            units = [node.free(resource) for node in self.nodes]
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

    def _take(self, index: int, shape: Shape, replicas: int) -> None:
        self._sums.clear()
        name = self.nodes[index].name
        self._pods[index] -= replicas
        self._cpu[index] -= replicas * shape.cpu_milli
        self._memory[index] -= replicas * shape.memory_bytes
        self.reserved[name, "pods"] += replicas
        self.reserved[name, "cpu"] += replicas * shape.cpu_milli
        self.reserved[name, "memory"] += replicas * shape.memory_bytes
        if shape.count:
            self._free(shape.resource)[index] -= replicas * shape.count
            self.reserved[name, shape.resource] += replicas * shape.count
