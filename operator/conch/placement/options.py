"""What each service may take, what it would need there, and what that is worth.

One number per option makes services comparable: ``rank`` steps down the service's own order weigh
more than any price, then what the replicas cost per hour (dollars; for another goal kilowatts or
kilograms), then what moving there costs once. It looks at no other service; what has room is the
ledger's business.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace

from conch.observe.types import CPU_CLASS, AcceleratorKind, Area, PlacementRequest, Tiers
from conch.placement import areas
from conch.placement.candidates import SPOT, Candidates, Shape, shape
from conch.placement.fit import Filter, Fit, LotKey, class_refusal
from conch.placement.ledger import UNLIMITED, Ledger

# One step down a service's own order of classes, in the unit of values. More than a service of a
# thousand of the dearest accelerators costs.
RANK = 10_000.0
_MOST_CLASSES = 32  # that a service may name
# A price nobody knows: dearer than any that is known, and among such, smallest memory first.
_UNPRICED_PER_GIB = 1e-3
_UNKNOWN_MEMORY_GIB = 1024.0
# Watts matter little to one who asked for cost, and the other way round: enough to break ties.
_TIE = 1e-3
# A unit that is there is waited for by nobody, and paid for already: a node is added only if that
# saves more an hour. Less than a step down the service's own order, which may prefer to wait.
_TO_COME = 10.0
_WORLD_G_PER_KWH = 475.0  # the world's average; only the ratio between zones matters


@dataclass(frozen=True, slots=True)
class Policy:
    """How to plan. The defaults are what the operator does."""

    # How many services that run may be moved, because somewhere is better: the caller's budget.
    moves: int = 0
    # What moving costs, as hours of what the service costs where it goes: both run meanwhile.
    move_h: float = 0.25
    exact: bool = True  # ask the solver where the greedy's answer is not proven good
    carbon_g_per_kwh: Mapping[str, float] = field(default_factory=dict)  # see Inventory.carbon
    grids: Mapping[str, Mapping[Area, float]] = field(default_factory=dict)  # see Inventory.grids


LIVE = Policy()


@dataclass(frozen=True, slots=True)
class Worth:
    """What an hour of one replica is worth, on each lot of a class."""

    lots: tuple[float, ...]
    by_lot: Mapping[LotKey, float]
    best: float
    firm: float  # the best that is not spot

    @classmethod
    def of(cls, candidates: Candidates, lots: tuple[float, ...]) -> Worth:
        """With what follows from the values by lot."""
        by_lot = dict(zip((lot.key for lot in candidates.lots), lots, strict=True))
        firm = min((v for lot, v in by_lot.items() if lot[0] != SPOT), default=math.inf)
        return cls(lots, by_lot, min(lots, default=0.0), firm)

    def times(self, factor: float) -> Worth:
        """All of it so many times."""
        by_lot = {lot: value * factor for lot, value in self.by_lot.items()}
        lots = tuple(value * factor for value in self.lots)
        return Worth(lots, by_lot, self.best * factor, self.firm * factor)


@dataclass(slots=True, eq=False)
class Option:
    """One class that could serve a service."""

    kind: AcceleratorKind
    candidates: Candidates
    shape: Shape
    replicas: int  # that it needs there; 0: none are wanted now
    spot_limit: int  # how many of them may be on spot
    rank: int
    worth: Worth
    extra: float = 0.0  # once
    least: float = 0.0  # the value if all replicas were on the lots that are best: see ``weigh``

    def weigh(self) -> None:
        """Set ``least``, once all else is set."""
        self.least = self.fixed() + self.rent()

    def fixed(self) -> float:
        """The part of the value that does not depend on where the replicas are."""
        return self.rank * RANK + self.extra

    def rent(self) -> float:
        """What the replicas are worth an hour, were there room on the best lots they may be on."""
        worth = self.worth
        if self.spot_limit >= self.replicas:
            return worth.best * self.replicas
        firm = worth.firm * (self.replicas - self.spot_limit)
        return min(worth.best, worth.firm) * self.spot_limit + firm


@dataclass(frozen=True, slots=True)
class Entry:
    """A class as a service looks at it: usable if ``refusal`` is None."""

    name: str
    kind: AcceleratorKind | None
    refusal: Fit | None
    candidates: Candidates | None
    shape: Shape | None
    rank: int
    worth: Worth | None


class Offers:
    """The options of every request, shared among those that ask for the same."""

    def __init__(self, ledger: Ledger, kinds: Iterable[AcceleratorKind], policy: Policy) -> None:
        self._ledger = ledger
        self._policy = policy
        self.known = {kind.name: kind for kind in kinds}
        self._any = [*sorted(self.known.values(), key=_smallest_first), CPU_CLASS]
        self._memories = sorted({k.memory_bytes for k in self.known.values() if k.memory_bytes})
        self._entries: dict[object, tuple[Entry, ...]] = {}
        self._by_price: dict[str, list[str]] = {}
        self._filters: dict[object, Filter] = {}
        self._cleanest: dict[str, Tiers] = {}
        self._worths: dict[tuple[int, int, str], Worth] = {}

    def entries(self, request: PlacementRequest) -> tuple[Entry, ...]:
        """Every class the service asks for, in its order."""
        filter_ = self.filter_of(request)
        key = (
            filter_,
            request.classes,
            request.count,
            request.min_memory_bytes,
            self._told_apart(request),
            request.min_compute_capability,
            request.integrated,
            request.min_per_site,
            request.allow_cpu,
            request.cpu_milli,
            request.memory_bytes,
            request.optimise,
            tuple(request.avoid),
            self._areas_asked(request),
            tuple(name for name, rps in request.capacity_rps.items() if not rps > 0),
        )
        known = self._entries.get(key)
        if known is None:
            known = tuple(self._look(request, filter_))
            self._entries[key] = known
        return known

    def _told_apart(self, request: PlacementRequest) -> object:
        """What of a footprint makes a difference: which classes are too small, and which are not.

        Nearly every service has a figure of its own, and most of them fit the same classes.
        """
        found = request.footprint
        if found is None or request.min_memory_bytes:
            return None
        smaller = bisect_left(self._memories, found.memory_bytes)
        return (smaller, found.fits_on) if smaller else None

    def filter_of(self, request: PlacementRequest) -> Filter:
        """The filter of a request, the same object for equal ones."""
        made = Filter.of(request)
        return self._filters.setdefault(made, made)

    def candidates(
        self, request: PlacementRequest, kind: AcceleratorKind, filter_: Filter
    ) -> Candidates:
        """The nodes of a class for a service, in the order in which its pods look for them.

        ``filter_`` is the request's.
        """
        order = self.tiers(request, kind)
        return self._ledger.candidates(kind, replace(filter_, tiers=order) if order else filter_)

    def tiers(self, request: PlacementRequest, kind: AcceleratorKind) -> Tiers:
        """Areas that its pods prefer on a class: as its Deployment says, else the cleanest."""
        if kind.name == request.current and request.tiers is not None:
            return request.tiers
        return self.cleanest(request, kind)

    def cleanest(self, request: PlacementRequest, kind: AcceleratorKind) -> Tiers:
        """Areas that pods made anew would prefer; (): none."""
        if request.optimise != "Carbon" or request.min_per_site:
            return ()
        if (known := self._cleanest.get(kind.name)) is None:
            grams = self._policy.grids.get(kind.name)
            self._cleanest[kind.name] = known = areas.tiers(grams) if grams else ()
        return known

    def _areas_asked(self, request: PlacementRequest) -> object:
        """What of it decides ``candidates`` beside the filter."""
        prefers = request.tiers or (request.optimise == "Carbon" and self._policy.grids)
        return (request.current, request.tiers) if prefers else None

    def named(self, request: PlacementRequest, name: str) -> AcceleratorKind | None:
        """The class of that name, if there is one and the service may use it."""
        kind = self.known.get(name)
        if kind is None and name == CPU_CLASS.name and (request.allow_cpu or not request.count):
            return CPU_CLASS
        return kind

    def options(self, request: PlacementRequest) -> list[Option]:
        """What the service could take, best first were there room for all."""
        options = [
            self.option(request, entry)
            for entry in self.entries(request)
            if entry.refusal is None and entry.worth is not None and entry.worth.lots
        ]
        if request.optimise == "Latency":
            _prefer_fast(options)
        options.sort(key=lambda option: option.least)  # stable: in the service's own order
        return options

    def option(self, request: PlacementRequest, entry: Entry) -> Option:
        """That class, with what this service needs there."""
        assert entry.kind is not None
        assert entry.candidates is not None
        assert entry.shape is not None
        assert entry.worth is not None
        replicas = replicas_on(request, entry.name)
        option = Option(
            entry.kind,
            entry.candidates,
            entry.shape,
            replicas,
            spot_limit(request, replicas),
            entry.rank,
            entry.worth,
        )
        option.weigh()
        return option

    def _look(self, request: PlacementRequest, filter_: Filter) -> Iterable[Entry]:
        ordered = self.names(request)
        names = ordered or [k.name for k in self._any if k is not CPU_CLASS or request.allow_cpu]
        for position, name in enumerate(names):
            yield self._entry(request, filter_, name, position if ordered else None)

    def _entry(
        self, request: PlacementRequest, filter_: Filter, name: str, position: int | None
    ) -> Entry:
        """One class; ``position`` in the service's own order, if it has one."""
        kind = self.named(request, name)
        if kind is None:
            return Entry(name, None, Fit.UNKNOWN, None, None, position or 0, None)
        candidates = self.candidates(request, kind, filter_)
        rank = _rank(kind) if position is None else position
        rank += self._sites_without(request, candidates)
        refusal = class_refusal(kind, request)
        if refusal is None and name in request.avoid:
            refusal = Fit.AVOIDED
        needs = shape(kind, request)
        worth = self._worth(kind, candidates, needs.count or 1, request.optimise)
        return Entry(name, kind, refusal, candidates, needs, rank, worth)

    def one_by_one(self, request: PlacementRequest) -> Iterator[Entry]:
        """Classes with free units, for who needs few of many: the cheapest on demand first.

        All, in the service's own order, where it has one.
        """
        if request.classes or request.optimise == "Latency":
            yield from self.entries(request)
            return
        optimise = request.optimise
        if (names := self._by_price.get(optimise)) is None:
            kinds = sorted(
                self._any,
                key=lambda kind: (
                    _rank(kind),
                    unit_value(kind, "OnDemand", optimise, self._policy),
                ),
            )
            self._by_price[optimise] = names = [kind.name for kind in kinds]
        filter_ = self.filter_of(request)
        for name in names:
            kind = self.known.get(name, CPU_CLASS)
            if (kind is CPU_CLASS and not request.allow_cpu) or class_refusal(kind, request):
                continue
            candidates = self.candidates(request, kind, filter_)
            if self._ledger.short(candidates, shape(kind, request), 1) <= 0:
                yield self._entry(request, filter_, name, None)

    def _sites_without(self, request: PlacementRequest, candidates: Candidates) -> int:
        """Steps down for sites that have a minimum and no node of the class: more than any order.

        Fewer than being left out costs, however many they are.
        """
        if not request.min_per_site:
            return 0
        there = {self._ledger.node(index).site for index in candidates.nodes}
        missing = len(set(request.sites) - there)
        return _MOST_CLASSES + missing * _MOST_CLASSES // len(request.sites) if missing else 0

    def _worth(
        self, kind: AcceleratorKind, candidates: Candidates, count: int, optimise: str
    ) -> Worth:
        key = (id(candidates), count, optimise)  # the ledger keeps candidates alive
        if (known := self._worths.get(key)) is None:
            grams, order = self._policy.grids.get(kind.name, {}), candidates.filter_.tiers
            lots = tuple(
                count
                * unit_value(
                    kind,
                    lot.capacity_type,
                    optimise,
                    self._policy,
                    areas.intensity(grams, order, lot.tier) if order else None,
                )
                + lot.coming * count * _TO_COME
                for lot in candidates.lots
            )
            self._worths[key] = known = Worth.of(candidates, lots)
        return known

    def names(self, request: PlacementRequest) -> list[str]:
        """The classes the service names, the CPU last if it is allowed; [] if it names none."""
        if not request.count:
            return [CPU_CLASS.name]
        names = list(dict.fromkeys(request.classes))
        if names and request.allow_cpu and CPU_CLASS.name not in names:
            names.append(CPU_CLASS.name)
        return names


def _rank(kind: AcceleratorKind) -> int:
    """Of a class where the service has no order: the CPU last, and before it what has no price."""
    return 2 if kind is CPU_CLASS else int(price_per_h(kind, "OnDemand") is None)


def spot_limit(request: PlacementRequest, replicas: int, on_demand: int = 0) -> int:
    """How many of so many replicas may be on spot, beside so many that are on demand already."""
    if not request.min_on_demand:
        return UNLIMITED
    return max(0, replicas - max(0, request.min_on_demand - on_demand))


def unit_value(
    kind: AcceleratorKind,
    capacity_type: str,
    optimise: str,
    policy: Policy,
    g_per_kwh: float | None = None,
) -> float:
    """What an hour of one unit is worth to a service that optimises for that.

    ``g_per_kwh``: where it stands; None: the class's.
    """
    price = price_per_h(kind, capacity_type)
    if price is None:
        gib = kind.memory_bytes / 1024**3 or _UNKNOWN_MEMORY_GIB
        price = gib * _UNPRICED_PER_GIB if kind.resource else 0.0
    if optimise not in ("Energy", "Carbon") or not _sane(kind.max_watts):
        return price
    kilowatts = (kind.max_watts or 0.0) / 1000
    if optimise == "Energy":
        return kilowatts + _TIE * price
    if g_per_kwh is None:
        g_per_kwh = policy.carbon_g_per_kwh.get(kind.name, _WORLD_G_PER_KWH)
    return kilowatts * g_per_kwh / 1000 + _TIE * price


def price_per_h(kind: AcceleratorKind, capacity_type: str) -> float | None:
    """Of one unit; None if it is unknown, or no price at all."""
    price = kind.price_on(capacity_type)
    return price if price is not None and 0 <= price < math.inf else None


def _sane(amount: float | None) -> bool:
    return amount is not None and 0 < amount < math.inf


def replicas_on(request: PlacementRequest, name: str) -> int:
    """How many replicas the service needs on a class, for all that it serves."""
    wanted = request.wanted
    if request.demand_rps is None or not wanted:
        return wanted
    capacity = request.capacity_rps.get(name, 0.0)
    if not capacity > 0:
        return wanted
    needed = math.ceil(min(request.demand_rps / capacity, UNLIMITED) - 1e-9)
    return max(1, request.min_replicas, needed)


def _prefer_fast(options: list[Option]) -> None:
    """The larger a replica's capacity, the sooner it answers: that first, then what it costs."""
    fewest = min((option.replicas for option in options if option.replicas), default=1)
    for option in options:
        option.worth = option.worth.times(_TIE)
        option.extra = option.replicas / fewest
        option.weigh()


def _smallest_first(kind: AcceleratorKind) -> tuple[bool, int, str]:
    """Smallest memory first, so that large accelerators stay free; unknown memory last."""
    return (not kind.memory_bytes, kind.memory_bytes, kind.name)
