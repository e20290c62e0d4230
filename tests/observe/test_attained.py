"""Attained share and error budget over windows that move on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conch.observe.attained import WINDOWS, Attained


def test_nothing_counted_is_not_all_in_time() -> None:
    found = Attained()
    found.look(0, 0, 100.0)
    assert found.share("1h") is None
    assert found.budget_left("30d", 0.01) is None


def test_the_share_and_what_is_left() -> None:
    found = Attained()
    found.look(900, 0, 100.0)
    found.look(100, 5, 102.0)
    assert found.share("1h") == pytest.approx(0.995)
    assert found.budget_left("1h", 0.01) == pytest.approx(0.5)
    found.look(0, 0, 104.0)
    assert found.share("1h") == pytest.approx(0.995)


def test_an_overspent_budget_is_below_zero() -> None:
    found = Attained()
    found.look(100, 3, 100.0)
    assert found.budget_left("30d", 0.01) == pytest.approx(-2.0)


def test_the_hour_forgets_and_the_month_does_not() -> None:
    found = Attained()
    found.look(100, 100, 0.0)
    found.look(100, 0, 3700.0)
    assert found.share("1h") == 1.0
    assert found.share("30d") == 0.5
    found.look(0, 0, 31 * 86400.0)
    assert found.share("30d") is None


@given(st.lists(st.tuples(st.floats(0, 1e4), st.floats(0, 1e6), st.floats(0, 1e6)), max_size=50))
def test_a_share_is_a_share_and_memory_is_bounded(
    looks: list[tuple[float, float, float]],
) -> None:
    found, now_s = Attained(), 0.0
    for after_s, ended, late in looks:
        now_s += after_s
        found.look(ended, late, now_s)
    for window in WINDOWS:
        share = found.share(window)
        assert share is None or -1e-9 <= share <= 1.0


def test_a_year_takes_no_more_memory_than_a_month() -> None:
    found = Attained()
    for hour in range(0, 365 * 24, 7):
        found.look(1, 0, hour * 3600.0)
    assert sum(len(ring) for ring in found._rings.values()) <= 60 + 720
