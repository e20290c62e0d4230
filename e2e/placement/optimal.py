"""milp_optimal_share, greedy_*: small random fleets against every plan there is."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from conch.observe.types import Inventory, PlacementRequest
from conch.placement import exact
from conch.placement.ledger import Ledger
from conch.placement.options import LIVE, RANK, Offers
from conch.placement.search import search
from conch.placement.seats import Seat
from e2e.bench.figure import Context, Figure, Result
from e2e.placement import brute
from e2e.placement.fleets import GIB, WHOLE, fleet, service

FLEETS = 500
SEED = 1
_SAME = 1e-6


@dataclass(frozen=True, slots=True)
class Compared:
    """Of one fleet."""

    best: brute.Score
    exact: brute.Score | None
    greedy: brute.Score


def world(seed: int) -> tuple[Inventory, list[PlacementRequest]]:
    """A few nodes of a few classes, and services that get in each other's way."""
    rng = random.Random(seed)
    products = rng.sample(WHOLE, rng.randint(2, 4))
    there = fleet(rng, products, rng.randint(3, 6), gpus=(1, 2, 4), taken=rng.choice((0.0, 0.3)))
    requests = []
    for number in range(rng.randint(2, 5)):
        asked = service(rng, f"s{number}", products, most_replicas=4)
        classes: Sequence[str] = ()
        if rng.random() < 0.3:
            names = [p.name for p in products]
            classes = rng.sample(names, rng.randint(1, len(names)))
        requests.append(
            replace(
                asked,
                classes=tuple(classes),
                count=rng.choice((1, 1, 1, 2)),
                min_memory_bytes=rng.choice((1, 8, 20)) * GIB,
                min_on_demand=rng.choice((0, 0, 0, 1)),
                # Some are bound by the host: a node has 24 of both for each accelerator.
                cpu_milli=rng.choice((4000, 20_000, 40_000)),
                demand_rps=asked.demand_rps if rng.random() < 0.7 else None,
                unbound=rng.randint(1, 3),
            )
        )
    return there, requests


def compare(there: Inventory, requests: Sequence[PlacementRequest]) -> Compared:
    """The best, what the search finds, and what the solver makes of it, of one small fleet."""
    ledger = Ledger(there)
    offers = Offers(ledger, there.kinds, LIVE)
    seats = [Seat(request, offers.options(request)) for request in requests]
    search(ledger, seats)
    greedy = _score(seats)
    served = [seat.option is not None for seat in seats]
    for seat in seats:
        seat.leave(ledger)
    answer = exact.solve(ledger, seats, served)
    found = None
    if answer is not None:
        exact.take(ledger, seats, answer)
        found = _score(seats)
    return Compared(brute.best(there, requests), found, greedy)


def _score(seats: Sequence[Seat]) -> brute.Score:
    """What the seats hold, counted replica by replica."""
    out = tuple(not seat.option or seat.placed < seat.option.replicas for seat in seats)
    placed = [seat for seat, left in zip(seats, out, strict=True) if not left]
    steps = sum(seat.option.rank for seat in placed if seat.option)
    return out, steps, sum(seat.value for seat in placed) - steps * RANK


def _gap(found: brute.Score | None, best: brute.Score) -> float:
    """How much dearer; infinite where more are left out or worse classes taken."""
    if found is None or found[:2] != best[:2]:
        return math.inf
    return found[2] / best[2] - 1 if best[2] else 0.0


def _compared(ctx: Context) -> list[Compared]:
    return ctx.once("optimal", lambda: [compare(*world(SEED + n)) for n in range(FLEETS)])


_WORLD = (
    f"{FLEETS} random fleets of 3-6 nodes of 2-4 classes with 2-5 services (seeds {SEED}…), with "
    "and without an order of classes, minOnDemand, two accelerators each, hosts short of CPU; "
    "against every possible plan, by code that shares nothing with the planner; "
)


def _optimal(ctx: Context) -> Result:
    seen = _compared(ctx)
    gaps = [_gap(one.exact, one.best) for one in seen]
    unsolved = sum(one.exact is None for one in seen)
    full = sum(not any(one.best[0]) for one in seen)
    return Result(
        sum(abs(gap) < _SAME for gap in gaps) / len(seen),
        _WORLD + f"share in which HiGHS finds the best; no answer in its limits: {unsolved}; "
        f"there is room for all services in {full} of them",
    )


def _greedy(ctx: Context) -> list[float]:
    return [_gap(one.greedy, one.best) for one in _compared(ctx)]


def _worst(ctx: Context) -> Result:
    gaps = _greedy(ctx)
    same = sum(abs(gap) < _SAME for gap in gaps)
    worse = sum(math.isinf(gap) for gap in gaps)
    over = sum(0.05 < gap < math.inf for gap in gaps)
    return Result(
        100 * max(gaps),
        _WORLD + f"the search without the solver: the best in {same}, more left out or worse "
        f"classes in {worse}, more than 5 % dearer in {over}",
    )


def _mean(ctx: Context) -> Result:
    gaps = _greedy(ctx)
    mean = math.exp(sum(math.log1p(gap) for gap in gaps) / len(gaps))
    return Result(100 * (mean - 1), _WORLD + "the search without the solver: geometric mean")


OPTIMAL = Figure(
    "milp_optimal_share", "", 1.0, "higher", "fleets for which the solver finds the best", _optimal
)
GREEDY_WORST = Figure(
    "greedy_gap_worst", "%", 5, "lower", "the search above the best, worst fleet", _worst
)
GREEDY_MEAN = Figure(
    "greedy_gap_mean", "%", 2, "lower", "the search above the best, geometric mean", _mean
)
