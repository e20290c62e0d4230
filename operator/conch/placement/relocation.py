"""Services that stay on their class and look for nodes in cleaner areas of it.

A template with another order of areas is a rollout, so it is weighed like a move to another class:
what is saved in an hour against the share of an hour that all replicas run twice. One whose pods
prefer that order already is left where it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from conch.placement import areas
from conch.placement.candidates import SPOT
from conch.placement.ledger import Ledger
from conch.placement.options import Offers, Policy
from conch.placement.seats import Seat


def relocate(
    ledger: Ledger, offers: Offers, policy: Policy, seats: Sequence[Seat], budget: int
) -> None:
    """Mark up to ``budget`` of the seats that gain by it, those that gain most first."""
    gains = []
    for position, seat in enumerate(seats):
        if seat.request.movable and (gain := _gain(ledger, offers, policy, seat)) > 0:
            gains.append((-gain, position))
    for _, position in sorted(gains):
        seat = seats[position]
        if budget and _gain(ledger, offers, policy, seat, take=True) > 0:
            seat.relocates = True
            budget -= 1


def _gain(
    ledger: Ledger, offers: Offers, policy: Policy, seat: Seat, *, take: bool = False
) -> float:
    """What it would save beyond what going costs; 0: nothing. ``take``: reserve the room."""
    request, option = seat.request, seat.option
    if option is None or option.kind.name != request.current or request.elsewhere:
        return 0.0
    kind = option.kind
    order, grams = offers.cleanest(request, kind), policy.grids.get(kind.name)
    if not order or not grams or order == request.tiers or kind.name in request.avoid:
        return 0.0
    bound = {area: count for area, count in request.bound_in.items() if area in grams}
    if not bound or sum(bound.values()) != request.bound:
        return 0.0
    filter_ = replace(offers.filter_of(request), tiers=order)
    candidates = ledger.candidates(kind, filter_)
    slots = ledger.slots(candidates, option.shape)
    room = [
        (value, free)
        for lot, free in zip(candidates.lots, slots, strict=True)
        if not lot.coming
        and not (request.min_on_demand and lot.capacity_type == SPOT)
        and (value := areas.intensity(grams, order, lot.tier)) is not None
    ]
    found = areas.saved(bound, grams, sorted(room))
    gain = found.saved - policy.move_h * found.after
    if gain <= 0:
        return 0.0
    if take:
        ledger.reserve(candidates, option.shape, found.going)
    return gain * (kind.max_watts or 1.0) * request.count
