"""In which areas the replicas of a service that minds carbon are better off.

A class's nodes may stand on several grids. Its pods prefer the cleaner areas, and only prefer: the
order is in their template, so another order is a rollout, and taken up when one comes anyhow or
when what is saved is worth it. Areas that are about as clean as each other are one tier, over which
pods spread as everywhere. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from conch.observe.types import Area, Tiers

_ALIKE = 1.1  # times the cleanest: figures of grids are not known better than this
MOST_TIERS = 3
"""Further ones are all the same: so many steps an affinity's weights can tell apart."""
MOST_AREAS = 16
"""That a tier names: an affinity should be readable."""


def tiers(grams: Mapping[Area, float]) -> Tiers:
    """Areas by carbon intensity, the cleanest first; () where they are all alike."""
    found: list[list[Area]] = []
    cleanest = 0.0
    for value, area in sorted((value, area) for area, value in grams.items()):
        if not found or value > cleanest * _ALIKE:
            if len(found) == MOST_TIERS:
                break
            found.append([])
            cleanest = value
        found[-1].append(area)
    if len(found) < 2:
        return ()
    return tuple(tuple(sorted(areas[:MOST_AREAS])) for areas in found)


def intensity(grams: Mapping[Area, float], order: Tiers, tier: int) -> float | None:
    """The mean over the areas of a tier, the last one being all that is not named; None: none."""
    if tier < len(order):
        areas: Iterable[Area] = order[tier]
    else:
        named = {area for areas in order for area in areas}
        areas = (area for area in grams if area not in named)
    values = [grams[area] for area in areas if area in grams]
    return sum(values) / len(values) if values else None


@dataclass(frozen=True, slots=True)
class Saving:
    """What comes of replicas going to cleaner areas, in g/kWh summed up over replicas."""

    saved: float
    after: float  # what all of them are at then
    going: int  # replicas that go


def saved(
    bound: Mapping[Area, int], grams: Mapping[Area, float], room: Sequence[tuple[float, int]]
) -> Saving:
    """If those in ``bound`` look for nodes anew, the dirtiest first.

    ``room``: intensity and free places, the cleanest first.
    """
    before = sorted((grams[area] for area, n in bound.items() for _ in range(n)), reverse=True)
    after, going = [], 0
    free = [[value, places] for value, places in room]
    for value in before:
        better = next((one for one in free if one[1] > 0 and one[0] < value), None)
        if better is not None:
            better[1] -= 1
            going += 1
        after.append(value if better is None else better[0])
    return Saving(sum(before) - sum(after), sum(after), going)
