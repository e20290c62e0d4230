"""What a move gains, in words: for the condition, the event and the log. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from conch.observe.types import AcceleratorKind, Area, Inventory, PlacementRequest, Tiers
from conch.placement import areas
from conch.placement.options import price_per_h, replicas_on
from conch.reconcile.moves_ready import named


def gain(request: PlacementRequest, target: str, inventory: Inventory, tiers: Tiers = ()) -> str:
    """Why ``target`` is better than the class a service is on.

    ``tiers``: it stays on that, and prefers those areas.
    """
    if tiers:
        return _cleaner(request, inventory.grids.get(target, {}), tiers)
    here, there = named(inventory.kinds, request.current), named(inventory.kinds, target)
    if here is None or there is None:
        return "its class has gone"
    saved = ""
    prices = [_per_h(request, kind) for kind in (here, there)]
    if request.elsewhere:
        prices[0] = _apart_per_h(request, inventory)
    if prices[0] is not None and prices[1] is not None and prices[0] > prices[1]:
        saved = f"${prices[0] - prices[1]:.3g}/h less"
    if request.elsewhere:
        return f"all of it has room there, {saved}" if saved else "all of it has room there"
    if target in request.classes:
        return f"it prefers {target}, {saved}" if saved else f"it prefers {target}"
    if request.optimise == "Latency":
        return "a replica carries more there"
    if request.optimise == "Cost":
        return saved or "it costs less there, on spot"
    watts = [(kind.max_watts or 0.0) * _units(request, kind) for kind in (here, there)]
    if request.optimise == "Energy" or not inventory.carbon:
        return f"{watts[0] - watts[1]:.3g} W less"
    intensities = (inventory.carbon.get(kind.name, 0.0) for kind in (here, there))
    grams = [w / 1000 * g_per_kwh for w, g_per_kwh in zip(watts, intensities, strict=True)]
    return f"{grams[0] - grams[1]:.3g} g CO2e/h less"


def _cleaner(request: PlacementRequest, grams: Mapping[Area, float], tiers: Tiers) -> str:
    bound = request.bound_in
    before = sum(grams.get(area, 0.0) * count for area, count in bound.items())
    there = areas.intensity(grams, tiers, 0) or 0.0
    return f"{there:.0f} g CO2e/kWh there, {before / max(1, sum(bound.values())):.0f} where it is"


def _per_h(request: PlacementRequest, kind: AcceleratorKind) -> float | None:
    price = price_per_h(kind, "OnDemand")
    return None if price is None else price * _units(request, kind)


def _apart_per_h(request: PlacementRequest, inventory: Inventory) -> float | None:
    """What it costs on the classes it is on."""
    total = 0.0
    for name in (request.current, *request.elsewhere):
        kind = named(inventory.kinds, name)
        price = price_per_h(kind, "OnDemand") if kind is not None else None
        if price is None:
            return None
        total += price * request.runs_on(name) * request.count
    return total


def _units(request: PlacementRequest, kind: AcceleratorKind) -> int:
    return replicas_on(request, kind.name) * request.count
