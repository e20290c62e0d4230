"""How services are placed without Conch, and the scheduler that binds all of them.

Each rule gets what it could not have by itself: it knows what a replica carries on every class and
starts exactly as many as hold the objective; and a service whose class has no room for all of it is
put, by hand as it were, on the next one by the same rule instead of waiting for ever. A rule that
says nothing of spot prefers none, unless it is told to (``prefer_spot``).
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from conch.observe.types import AcceleratorKind, Assignment, Inventory, PlacementRequest

_UNITS = "nvidia.com/gpu"


@dataclass(slots=True)
class _Free:
    name: str
    kind: AcceleratorKind
    spot: bool
    price: float
    units: int
    cpu: int
    memory: int
    pods: int
    all_cpu: int
    all_memory: int

    def takes(self, request: PlacementRequest) -> bool:
        return (
            self.pods > 0
            and self.units >= request.count
            and self.cpu >= request.cpu_milli
            and self.memory >= request.memory_bytes
        )

    def book(self, request: PlacementRequest, sign: int) -> None:
        self.pods -= sign
        self.units -= sign * request.count
        self.cpu -= sign * request.cpu_milli
        self.memory -= sign * request.memory_bytes


@dataclass(slots=True)
class Scheduler:
    """kube-scheduler's defaults as far as they decide: the emptiest node by CPU and memory
    (NodeResourcesFit, LeastAllocated), a coin among equals; a preferred capacity type first.
    """

    world: Inventory
    seed: int
    dollars: float = 0.0
    _nodes: dict[str, list[_Free]] = field(default_factory=dict)  # by class
    _rng: random.Random = field(default_factory=random.Random)

    def __post_init__(self) -> None:
        self._rng.seed(self.seed)
        for kind in self.world.kinds:
            self._nodes[kind.name] = [
                _Free(
                    node.name,
                    kind,
                    spot := node.capacity_type == "Spot",
                    price(kind, spot=spot),
                    node.free(_UNITS),
                    node.free("cpu"),
                    node.free("memory"),
                    node.free("pods"),
                    node.allocatable["cpu"],
                    node.allocatable["memory"],
                )
                for node in self.world.nodes
                if kind.node_selector.items() <= node.labels.items()
            ]

    def bind_all(
        self, request: PlacementRequest, name: str, replicas: int, *, prefer_spot: bool
    ) -> bool:
        """All replicas on nodes of one class, or none."""
        bound: list[_Free] = []
        for _ in range(replicas):
            node = self._best(request, self._nodes[name], prefer_spot=prefer_spot)
            if node is None:
                for one in bound:
                    one.book(request, -1)
                return False
            node.book(request, 1)
            bound.append(node)
        self.dollars += sum(one.price * request.count for one in bound)
        return True

    def bind_until(
        self, request: PlacementRequest, names: Iterable[str], *, prefer_spot: bool
    ) -> bool:
        """Replicas wherever they come to be, of those classes, until they carry the demand."""
        nodes = [node for name in names for node in self._nodes[name]]
        carried = 0.0
        while carried < (request.demand_rps or 0.0) - 1e-9:
            node = self._best(request, nodes, prefer_spot=prefer_spot)
            if node is None:
                return False
            node.book(request, 1)
            self.dollars += node.price * request.count
            carried += request.capacity_rps[node.kind.name]
        return True

    def _best(
        self, request: PlacementRequest, nodes: Sequence[_Free], *, prefer_spot: bool
    ) -> _Free | None:
        takers = [node for node in nodes if node.takes(request)]
        return max(
            takers,
            key=lambda n: (
                prefer_spot and n.spot,
                n.cpu / n.all_cpu + n.memory / n.all_memory,
                self._rng.random(),
            ),
            default=None,
        )


def price(kind: AcceleratorKind, *, spot: bool) -> float:
    """Dollars an hour of one unit; a spot node whose price nobody lists costs as on demand."""
    listed = kind.spot_price_per_h if spot and kind.spot_price_per_h else kind.price_per_h
    assert listed is not None, "fleets are made of priced products"
    return listed


def replicas(request: PlacementRequest, name: str) -> int:
    """How many hold the objective on one class."""
    return max(1, math.ceil((request.demand_rps or 0.0) / request.capacity_rps[name] - 1e-9))


def allowed(world: Inventory, request: PlacementRequest) -> list[AcceleratorKind]:
    """Classes large, new and fast enough."""
    needed = request.min_compute_capability or (0, 0)
    return [
        kind
        for kind in world.kinds
        if kind.memory_bytes >= request.min_memory_bytes
        and (kind.compute_capability or needed) >= needed
        and request.capacity_rps[kind.name] > 0
    ]


def _pinned(
    world: Inventory,
    requests: Sequence[PlacementRequest],
    seed: int,
    order: Callable[[AcceleratorKind], tuple[float, str]],
    *,
    prefer_spot: bool,
) -> float | None:
    scheduler = Scheduler(world, seed)
    for request in requests:
        names = [kind.name for kind in sorted(allowed(world, request), key=order)]
        if not any(
            scheduler.bind_all(request, name, replicas(request, name), prefer_spot=prefer_spot)
            for name in names
        ):
            return None
    return scheduler.dollars


def first_available(
    world: Inventory, requests: Sequence[PlacementRequest], seed: int, *, prefer_spot: bool = False
) -> float | None:
    """OME's FirstAvailable: the first class of the list, which is in the order of names."""
    return _pinned(world, requests, seed, lambda kind: (0.0, kind.name), prefer_spot=prefer_spot)


def cheapest_class(
    world: Inventory, requests: Sequence[PlacementRequest], seed: int, *, prefer_spot: bool = False
) -> float | None:
    """A nodeSelector for the class with the lowest price per hour that is large enough."""

    def order(kind: AcceleratorKind) -> tuple[float, str]:
        return price(kind, spot=False), kind.name

    return _pinned(world, requests, seed, order, prefer_spot=prefer_spot)


def spread(
    world: Inventory, requests: Sequence[PlacementRequest], seed: int, *, prefer_spot: bool = False
) -> float | None:
    """Any node with such accelerators: the default scheduler spreads, an autoscaler adds."""
    scheduler = Scheduler(world, seed)
    for request in requests:
        names = [kind.name for kind in allowed(world, request)]
        if not scheduler.bind_until(request, names, prefer_spot=prefer_spot):
            return None
    return scheduler.dollars


def planned(
    world: Inventory,
    requests: Sequence[PlacementRequest],
    plans: Iterable[Assignment],
    seed: int,
) -> float | None:
    """Conch's plan as its pods say it (the class required, spot preferred), bound by the same
    scheduler: not what the planner reserved, but where pods come to be.
    """
    scheduler = Scheduler(world, seed)
    for request, plan in zip(requests, plans, strict=True):
        if plan.kind is None:
            return None
        number = replicas(request, plan.kind.name)
        if not scheduler.bind_all(request, plan.kind.name, number, prefer_spot=True):
            return None
    return scheduler.dollars
