"""cost_ratio_*: dollars an hour for the same demand and objective, against others' rules."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from conch.observe.types import Inventory, PlacementRequest
from conch.placement import exact, plan
from conch.placement.ledger import Ledger
from conch.placement.options import LIVE, Offers
from conch.placement.seats import Seat
from e2e.bench.figure import Context, Figure, Result
from e2e.placement import rules
from e2e.placement.fleets import GIB, LISTED, PRODUCTS, Product, fleet, public_cluster, service

FLEETS = 40
PUBLIC = 10
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


def world(seed: int, among: Sequence[Product] = LISTED) -> tuple[Inventory, list[PlacementRequest]]:
    """A mixed fleet with room for all, and services that may be anywhere they fit."""
    rng = random.Random(seed)
    # Always one that is large and new enough for every service.
    large = [p for p in among if p.name in ("a100-80gb", "h100", "h200")]
    products = [rng.choice(large), *rng.sample(among, rng.randint(4, 11))]
    products = list(dict.fromkeys(products))
    there = fleet(rng, products, rng.randint(60, 200), spot=rng.choice((0.0, 0.3, 0.6)))
    asked = [service(rng, f"s{n:03}", products) for n in range(rng.randint(20, 60))]
    return there, [replace(one, capacity_types=("Spot", "OnDemand")) for one in asked]


def public_world(seed: int) -> tuple[Inventory, list[PlacementRequest]]:
    """A published cluster, and services that fit its largest GPU."""
    rng = random.Random(seed)
    there, products = public_cluster(rng)
    asked = [service(rng, f"s{n:03}", products) for n in range(rng.randint(100, 200))]
    return there, [
        replace(
            one,
            min_compute_capability=(7, 0),
            min_memory_bytes=min(one.min_memory_bytes, 28 * GIB),
        )
        for one in asked
    ]


def look(seed: int, among: Sequence[Product] = LISTED) -> Seen:
    """One fleet, by all rules."""
    return compare(seed, *world(seed, among))


def compare(seed: int, there: Inventory, requests: list[PlacementRequest]) -> Seen:
    """The same for a world that is there."""
    plans = plan(there, requests)
    dollars = rules.planned(there, requests, [plans[r.key] for r in requests], seed)
    ledger = Ledger(there)
    offers = Offers(ledger, there.kinds, LIVE)
    bound = exact.relaxed(ledger, [Seat(r, offers.options(r)) for r in requests])
    return Seen(
        _cents(dollars),
        bound,
        {name: _cents(rule(there, requests, seed)) for name, rule in RULES.items()},
        {
            name: _cents(rule(there, requests, seed, prefer_spot=True))
            for name, rule in RULES.items()
        },
    )


def _cents(dollars: float | None) -> float | None:
    """To a millionth: sums of the same prices in another order are alike."""
    return None if dollars is None else round(dollars, 6)


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


def _sliced(ctx: Context) -> list[Seen]:
    return ctx.once("cost-mig", lambda: [look(SEED + n, PRODUCTS) for n in range(FLEETS)])


def _public(ctx: Context) -> list[Seen]:
    seeds = range(SEED, SEED + PUBLIC)
    return ctx.once("cost-public", lambda: [compare(s, *public_world(s)) for s in seeds])


def _mean(values: Sequence[float]) -> float:
    return math.exp(sum(map(math.log, values)) / len(values))


_WORLD = (
    f"{FLEETS} fleets (seeds {SEED}…) of 60-200 nodes of 5-12 catalogue classes, 20-60 services; "
    "what a replica carries per class is modelled (batches inside the objective, peak compute and "
    "bandwidth), and known to Conch and to the rule; all pods bound by the same model of "
    "kube-scheduler, Conch's by what its pods say (the class, spot preferred); a rule takes its "
    "next class where one is full; dollars an hour over Conch's, geometric mean; "
)


def _told(seen: Sequence[Seen], name: str) -> str:
    found, spot = ratios(seen, name), ratios(seen, name, with_spot=True)
    return (
        f"{name} {_mean(found):.2f} (least {min(found):.2f}, most {max(found):.2f}; told to prefer "
        f"spot as well {_mean(spot):.2f}; no room in {len(seen) - len(found)} fleets)"
    )


def _ratio(ctx: Context) -> Result:
    seen, sliced = _seen(ctx), _sliced(ctx)
    above = _mean([one.conch / one.bound for one in seen if one.conch is not None])
    mig = ", ".join(f"{_mean(ratios(sliced, name)):.2f}" for name in RULES)
    public = ", ".join(f"{_mean(ratios(_public(ctx), name)):.2f}" for name in RULES)
    return Result(
        min(_mean(ratios(seen, name)) for name in RULES),
        _WORLD + f"{'; '.join(_told(seen, name) for name in RULES)}; in fleets that have MIG "
        "slices among their classes, priced as their share of a GPU and so alike in what they "
        f"carry for a dollar: {mig}; on the T4 and V100 machines of a published cluster (Alibaba "
        f"PAI 2020, 736 nodes, {PUBLIC} sets of 100-200 services; T4s are the cheapest for nearly "
        f"all): {public}; Conch is {above - 1:.1%} above what any plan must cost",
    )


def _worst(ctx: Context) -> Result:
    seen = [*_seen(ctx), *_sliced(ctx), *_public(ctx)]
    least = {
        name: min(*ratios(seen, name), *ratios(seen, name, with_spot=True)) for name in RULES
    }  # fmt: skip
    told = ", ".join(f"{name} {value:.3f}" for name, value in least.items())
    return Result(
        min(least.values()),
        _WORLD
        + "least of all fleets, with and without MIG, and the published one, preferring spot or "
        f"not: {told}",
    )


RATIO = Figure(
    "cost_ratio", "×", 1.3, "higher", "cost of three other rules over Conch's: the least", _ratio
)
WORST = Figure(
    "cost_ratio_worst", "×", 1.0, "higher", "the same in the fleet where Conch saves least", _worst
)
