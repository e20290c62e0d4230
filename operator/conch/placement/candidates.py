"""What the ledger counts with: what a replica takes, and the nodes of a class sorted into lots.

Data only. ``roster`` finds the candidates, ``ledger`` keeps up what is free on them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from conch.observe.types import AcceleratorKind, PlacementRequest, Taint
from conch.placement.fit import Filter, Fit, LotKey

SPOT = "Spot"


@dataclass(frozen=True, slots=True)
class Shape:
    """What one replica takes from one node."""

    resource: str
    count: int
    cpu_milli: int
    memory_bytes: int


@dataclass(frozen=True, slots=True)
class Lot:
    """Nodes of one class, one capacity type and one tier of areas, in the order they are tried."""

    capacity_type: str
    coming: bool  # they are not there, or not with their units
    tier: int
    nodes: tuple[int, ...]

    @property
    def key(self) -> LotKey:
        """As ``Filter.lot`` has it."""
        return self.capacity_type, self.coming, self.tier


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


def within(lots: Sequence[Lot], slots: Sequence[int], spot_limit: int) -> int:
    """The sum of slots by lot, not more than ``spot_limit`` of them on spot."""
    sums = [0, 0]
    for lot, number in zip(lots, slots, strict=True):
        sums[lot.capacity_type == SPOT] += number
    return sums[0] + min(sums[1], spot_limit)
