"""Areas of a class: which are cleaner, which count as alike, what going there saves."""

from __future__ import annotations

import pytest

from conch.observe.types import Area
from conch.placement.areas import MOST_TIERS, intensity, saved, tiers


def area(name: str) -> Area:
    return ("zone", name)


def grams(**by_name: float) -> dict[Area, float]:
    return {area(name): value for name, value in by_name.items()}


def test_the_cleanest_come_first_and_those_about_as_clean_with_them() -> None:
    found = tiers(grams(c=400, b=52, a=50, d=420))
    assert found == ((area("a"), area("b")), (area("c"), area("d")))


@pytest.mark.parametrize("known", [{}, grams(a=50), grams(a=50, b=54), grams(a=0, b=0)])
def test_where_none_is_cleaner_there_is_no_order(known: dict[Area, float]) -> None:
    assert tiers(known) == ()


def test_only_the_best_are_told_apart() -> None:
    known = {area(f"z{i}"): 10.0 * 2**i for i in range(6)}
    found = tiers(known)
    assert found == tuple((area(f"z{i}"),) for i in range(MOST_TIERS))
    assert intensity(known, found, 1) == 20.0
    assert intensity(known, found, MOST_TIERS) == (80 + 160 + 320) / 3, "the rest is one"


def test_of_areas_that_are_gone_nothing_is_known() -> None:
    assert intensity(grams(a=50), ((area("b"),), (area("a"),)), 0) is None


def test_the_dirtiest_replicas_take_the_cleanest_places() -> None:
    known = grams(a=100, b=300, c=600)
    found = saved({area("b"): 2, area("c"): 1}, known, [(100.0, 1), (300.0, 5)])
    assert (found.saved, found.going) == (500, 1), "who is at 300 gains nothing by another such"
    assert found.after == 100 + 300 + 300


def test_who_is_in_the_cleanest_area_goes_nowhere() -> None:
    found = saved({area("a"): 3}, grams(a=100, b=300), [(100.0, 9), (300.0, 9)])
    assert (found.saved, found.going, found.after) == (0, 0, 300)
