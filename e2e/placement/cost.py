"""cost_ratio_*: dollars an hour for the same demand and objective, against others' rules."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from conch.observe.types import Inventory, PlacementRequest
from conch.placement import exact, plan
from conch.placement.ledger import Ledger
from conch.placement.options import LIVE, Offers
from conch.placement.search import Seat
from e2e.bench.figure import Context, Figure, Result
from e2e.placement import rules
from e2e.placement.fleets import PRODUCTS, fleet, service

FLEETS = 40
SEED = 100
_FIRST = "first available (OME)"
_PINNED = "pinned to the cheapest class"
_SPREAD = "spread by the default scheduler"
RULES = {_FIRST: rules.first_available, _PINNED: rules.cheapest_class, _SPREAD: rules.spread}


@dataclass(frozen=True, slots=True)
class Seen:
    """Of one fleet: dollars an hour, None where a rule finds no room for everybody."""

    conch: float | None
    bound: float
    others: Mapping[str, float | None]
    with_spot: Mapping[str, float | None]  # the same rules, told to prefer spot


def world(seed: int) -> tuple[Inventory, list[PlacementRequest]]:
    """A mixed fleet with room for all, and services that may be anywhere they fit."""
    rng = random.Random(seed)
    # Always one that is large and new enough for every service.
    large = [p for p in PRODUCTS if p.name in ("a100-80gb", "h100", "h200")]
    products = [rng.choice(large), *rng.sample(PRODUCTS, rng.randint(4, 11))]
    products = list(dict.fromkeys(products))
    there = fleet(rng, products, rng.randint(60, 200), spot=rng.choice((0.0, 0.3, 0.6)))
    asked = [service(rng, f"s{n:03}", products) for n in range(rng.randint(20, 60))]
    return there, [replace(one, capacity_types=("Spot", "OnDemand")) for one in asked]


def look(seed: int) -> Seen:
    """One fleet, by all rules."""
    there, requests = world(seed)
    plans = plan(there, requests)
    dollars = rules.planned(there, requests, [plans[r.key] for r in requests], seed)
    ledger = Ledger(there)
    offers = Offers(ledger, there.kinds, LIVE)
    bound = exact.relaxed(ledger, [Seat(r, offers.options(r)) for r in requests])
    return Seen(
        dollars,
        bound,
        {name: rule(there, requests, seed) for name, rule in RULES.items()},
        {name: rule(there, requests, seed, prefer_spot=True) for name, rule in RULES.items()},
    )


def ratios(seen: Sequence[Seen], name: str, *, with_spot: bool = False) -> list[float]:
    """How much dearer a rule is, where both find room for everybody."""
    return [
        other / one.conch
        for one in seen
        if (other := (one.with_spot if with_spot else one.others)[name]) is not None
        and one.conch is not None
    ]


def _seen(ctx: Context) -> list[Seen]:
    return ctx.once("cost", lambda: [look(SEED + n) for n in range(FLEETS)])


def _mean(values: Sequence[float]) -> float:
    return math.exp(sum(map(math.log, values)) / len(values))


_WORLD = (
    f"{FLEETS} fleets (seeds {SEED}…) of 60-200 nodes of 5-12 catalogue classes, 20-60 services; "
    "what a replica carries per class is modelled (batches inside the objective, peak compute and "
    "bandwidth), and known to Conch and to the rule; all pods bound by the same model of "
    "kube-scheduler, Conch's by what its pods say (the class, spot preferred); a rule takes its "
    "next class where one is full; dollars an hour over Conch's, geometric mean; "
)


def _ratio(name: str) -> Callable[[Context], Result]:
    def measure(ctx: Context) -> Result:
        seen = _seen(ctx)
        found = ratios(seen, name)
        spot = ratios(seen, name, with_spot=True)
        above = _mean([one.conch / one.bound for one in seen if one.conch is not None])
        return Result(
            _mean(found),
            _WORLD + f"{name}: least {min(found):.2f}, most {max(found):.2f}, no room in "
            f"{FLEETS - len(found)} fleets; told to prefer spot as well {_mean(spot):.2f} (least "
            f"{min(spot):.2f}); Conch is {above - 1:.1%} above what any plan must cost",
        )

    return measure


def _worst(ctx: Context) -> Result:
    seen = _seen(ctx)
    both = {
        name: min(*ratios(seen, name), *ratios(seen, name, with_spot=True)) for name in RULES
    }  # fmt: skip
    told = ", ".join(f"{name} {value:.2f}" for name, value in both.items())
    return Result(
        min(both.values()), _WORLD + f"the least of all fleets, preferring spot or not: {told}"
    )


def _figure(name: str, against: str) -> Figure:
    return Figure(name, "×", 1.3, "higher", f"cost over Conch's: {against}", _ratio(against))


FIGURES = (
    _figure("cost_ratio_first_available", _FIRST),
    _figure("cost_ratio_cheapest_class", _PINNED),
    _figure("cost_ratio_spread", _SPREAD),
    Figure("cost_ratio_worst", "×", 1.0, "higher", "where Conch saves least", _worst),
)
