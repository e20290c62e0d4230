"""plan_1000x5000_*: a thousand services on five thousand nodes, and how good the plan is.

The bound is that of the linear relaxation of the whole problem, classes and capacity types taken as
one pool each, solved by HiGHS: no plan is worth less.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

from conch.observe.types import Inventory, PlacementRequest
from conch.placement import Planner, exact, plan
from conch.placement.ledger import Ledger
from conch.placement.options import LIVE, Offers
from conch.placement.seats import Seat
from e2e.bench.figure import Context, Figure, Result
from e2e.placement.fleets import PRODUCTS, applied, fleet, service

NODES, SERVICES, MOST_REPLICAS = 5000, 1000, 40
# Shares of the units that others hold: from some choice to hardly any.
TAKEN = (0.3, 0.6, 0.85)
SEED = 5
_EVENTS = 9
_TIMES = 3


@dataclass(frozen=True, slots=True)
class Seen:
    """Of one fleet."""

    taken: float
    free: int
    full_s: float
    event_ms: tuple[float, ...]
    gap: float
    replicas: int


def _world(taken: float) -> tuple[Inventory, list[PlacementRequest]]:
    rng = random.Random(SEED)
    world = fleet(rng, PRODUCTS, NODES, taken=taken)
    return world, [service(rng, f"s{n:04}", PRODUCTS, MOST_REPLICAS) for n in range(SERVICES)]


def _seconds(action: Callable[[], object]) -> float:
    start = time.process_time()
    action()
    return time.process_time() - start


def _look(taken: float) -> Seen:
    world, requests = _world(taken)
    full_s = min(_seconds(lambda: plan(world, requests)) for _ in range(_TIMES))
    plans = plan(world, requests)
    event_ms = _events(world, requests)
    worth = {r.key: sum(s.replicas for s in plans[r.key].shares) for r in requests}
    cost = sum(plans[r.key].cost_per_h or 0.0 for r in requests)
    missing = sum(plans[r.key].kind is None for r in requests)
    if missing:
        raise ValueError(f"{missing} services have no room: cost says nothing")
    ledger = Ledger(world)
    offers = Offers(ledger, world.kinds, LIVE)
    bound = exact.relaxed(ledger, [Seat(r, offers.options(r)) for r in requests])
    free = sum(one.free("nvidia.com/gpu") for one in world.nodes)
    return Seen(taken, free, full_s, event_ms, cost / bound - 1, sum(worth.values()))


def _events(world: Inventory, requests: list[PlacementRequest]) -> tuple[float, ...]:
    """Each: a node with replicas is lost from the world in which the plan came true."""
    planner = Planner()
    settled, running, placed = applied(world, requests, planner.plan(world, requests))
    planner.plan(settled, running)
    rng = random.Random(SEED)
    took = []
    for name in rng.sample(sorted(placed), _EVENTS):
        lost = tuple(replace(n, ready=n.name != name) for n in settled.nodes if n.name == name)
        nodes = tuple(lost[0] if n.name == name else n for n in settled.nodes)
        gone = placed[name]
        after = [
            replace(r, bound=r.bound - gone.count(r.key), unbound=r.unbound + gone.count(r.key))
            if r.key in gone
            else r
            for r in running
        ]
        there = replace(settled, nodes=nodes)
        took.append(1000 * _seconds(lambda w=there, a=after: planner.plan(w, a)))  # type: ignore[misc]
        planner.plan(settled, running)
    return tuple(took)


def _seen(ctx: Context) -> list[Seen]:
    return ctx.once("plan_1000x5000", lambda: [_look(taken) for taken in TAKEN])


def _each(seen: list[Seen], text: Callable[[Seen], str]) -> str:
    return "; ".join(f"{one.taken:.0%} taken: {text(one)}" for one in seen)


_WORLD = (
    f"{SERVICES} services of up to {MOST_REPLICAS} replicas' demand on {NODES} nodes, "
    f"{len(PRODUCTS)} classes, 40 % of the nodes spot, seed {SEED}; "
)


def _full(ctx: Context) -> Result:
    seen = _seen(ctx)
    return Result(
        max(one.full_s for one in seen),
        _WORLD
        + f"CPU seconds of one plan from nothing, best of {_TIMES}, the worst of: "
        + _each(seen, lambda s: f"{s.full_s:.2f} s, {s.free} units free for {s.replicas} replicas"),
    )


def _incremental(ctx: Context) -> Result:
    seen = _seen(ctx)
    return Result(
        max(statistics.median(one.event_ms) for one in seen),
        _WORLD
        + f"the plan came true, then a node with replicas is lost ({_EVENTS} times, each from the "
        "same world): CPU time of the plan that follows, median; the worst of: "
        + _each(
            seen,
            lambda s: f"{statistics.median(s.event_ms):.0f} ms, at most {max(s.event_ms):.0f}",
        ),
    )


def _gap(ctx: Context) -> Result:
    seen = _seen(ctx)
    return Result(
        100 * max(one.gap for one in seen),
        _WORLD
        + "cost of the plan above the bound of the linear relaxation (HiGHS), the worst of: "
        + _each(seen, lambda s: f"{s.gap:.2%}"),
    )


FULL = Figure("plan_1000x5000_s", "s", 1.0, "lower", "a full plan for all services", _full)
INCREMENTAL = Figure(
    "plan_1000x5000_event_ms", "ms", 50, "lower", "the plan after one event", _incremental
)
GAP = Figure(
    "plan_1000x5000_gap", "%", 2.0, "lower", "what the plan costs above the best bound", _gap
)
