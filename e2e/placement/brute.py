"""The best plan of a small fleet by trying every one: it shares no rule with the planner.

Best is, in this order: nobody left out for the sake of a later service, fewest steps down their own
orders of classes, least price per hour. A service is served when all its replicas are on nodes of
one class.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import ceil, inf

from conch.observe.types import AcceleratorKind, Inventory, PlacementRequest

Left = tuple[bool, ...]  # out, by service
Score = tuple[Left, int, float]  # left out, steps down, dollars per hour


@dataclass(slots=True)
class _Node:
    units: int
    cpu: int
    memory: int
    pods: int
    spot: bool


@dataclass(frozen=True, slots=True)
class _Choice:
    """One class for one service."""

    steps: int
    replicas: int
    nodes: tuple[tuple[int, float], ...]  # number, dollars an hour of one replica there
    least: float  # dollars an hour


def best(world: Inventory, requests: Sequence[PlacementRequest]) -> Score:
    """The best score there is."""
    nodes = [
        _Node(n.free("nvidia.com/gpu"), n.free("cpu"), n.free("memory"), n.free("pods"),
              n.capacity_type == "Spot")
        for n in world.nodes
    ]  # fmt: skip
    choices = [sorted(_choices(world, r), key=lambda c: (c.steps, c.least)) for r in requests]
    none = [not found for found in choices]
    # What those from each service on add at least.
    steps = [min((c.steps for c in found), default=0) for found in choices]
    least = [min((c.least for c in found), default=0.0) for found in choices]
    best_yet: Score = ((True,) * (len(requests) + 1), 0, 0.0)

    def go(number: int, left: Left, down: int, paid: float) -> None:
        nonlocal best_yet
        hoped = (*left, *none[number:]), down + sum(steps[number:]), paid + sum(least[number:])
        if not _better(hoped, best_yet):
            return
        if number == len(requests):
            best_yet = hoped
            return
        request = requests[number]
        for choice in choices[number]:
            spot = max(0, choice.replicas - request.min_on_demand)
            for dollars in _spreads(nodes, request, choice.nodes, choice.replicas, spot):
                go(number + 1, (*left, False), down + choice.steps, paid + dollars)
        go(number + 1, (*left, True), down, paid)

    go(0, (), 0, 0.0)
    return best_yet


def _better(one: Score, other: Score) -> bool:
    return one[:2] < other[:2] or (one[:2] == other[:2] and one[2] < other[2] - 1e-9)


def _choices(world: Inventory, request: PlacementRequest) -> Iterator[_Choice]:
    by_name = {kind.name: kind for kind in world.kinds}
    names = request.classes or tuple(by_name)
    for position, name in enumerate(names):
        kind = by_name.get(name)
        if kind is None or kind.memory_bytes < request.min_memory_bytes:
            continue
        needed, has = request.min_compute_capability, kind.compute_capability
        if needed and has and has < needed:
            continue
        replicas = request.unbound
        if not request.capacity_rps[name] > 0:
            continue
        if request.demand_rps is not None:
            replicas = max(1, ceil(request.demand_rps / request.capacity_rps[name] - 1e-9))
        nodes = tuple(
            (number, request.count * _price(kind, node.capacity_type))
            for number, node in enumerate(world.nodes)
            if kind.node_selector.items() <= node.labels.items()
        )
        if nodes:
            steps = position if request.classes else 0
            least = replicas * min(dollars for _, dollars in nodes)
            yield _Choice(steps, replicas, nodes, least)


def _price(kind: AcceleratorKind, capacity_type: str) -> float:
    prices: Mapping[str, float | None] = {
        "Spot": kind.spot_price_per_h, "OnDemand": kind.price_per_h
    }  # fmt: skip
    price = prices[capacity_type]
    return price if price is not None else kind.price_per_h or inf


def _spreads(
    nodes: Sequence[_Node],
    request: PlacementRequest,
    allowed: Sequence[tuple[int, float]],
    replicas: int,
    spot: int,
) -> Iterator[float]:
    """Every way to spread the replicas, so many of them on spot at most, and what it costs.

    While one is yielded, ``nodes`` have it subtracted.
    """
    if not replicas:
        yield 0.0
        return
    if not allowed:
        return
    (number, dollars), rest = allowed[0], allowed[1:]
    node = nodes[number]
    room = min(
        spot if node.spot else replicas,
        replicas,
        node.pods,
        node.units // request.count,
        node.cpu // request.cpu_milli,
        node.memory // request.memory_bytes,
    )
    for here in range(room, -1, -1):
        _take(node, request, here)
        left = spot - here if node.spot else spot
        for more in _spreads(nodes, request, rest, replicas - here, left):
            yield here * dollars + more
        _take(node, request, -here)


def _take(node: _Node, request: PlacementRequest, replicas: int) -> None:
    node.units -= replicas * request.count
    node.cpu -= replicas * request.cpu_milli
    node.memory -= replicas * request.memory_bytes
    node.pods -= replicas
