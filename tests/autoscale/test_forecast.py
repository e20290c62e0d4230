import math
from itertools import pairwise

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from conch.autoscale.bases import LINE, PERIODIC
from conch.autoscale.forecast import BASES, LEVELS, Forecast

MEDIAN = LEVELS.index((0.5, 1.0))
HIGHEST = LEVELS.index((0.95, 1.0))


def watched(levels: list[float], horizon_s: float = 20.0) -> Forecast:
    forecast = Forecast()
    for turn, level in enumerate(levels):
        forecast = forecast.after(5.0 * turn, level, level, horizon_s)
    return forecast


def test_expects_a_little_more_until_something_is_known() -> None:
    assert 3 < Forecast().expected(0, HIGHEST, 3.0) <= 3.6
    assert watched([3.0] * 10).expected(0, HIGHEST, 3.0) == pytest.approx(3.6)


def test_two_slots_may_end_with_the_same_look() -> None:
    found = Forecast()
    for _ in range(4):
        found = found.after(5.0, 3.0, 3.0, 20.0)
    assert found.expected(0, HIGHEST, 3.0) == pytest.approx(3.6)


def test_constant_demand_is_expected_to_stay() -> None:
    found = watched([3.0] * 200)
    assert all(found.expected(base, HIGHEST, 3.0) == pytest.approx(3.0) for base in range(BASES))


def test_a_steady_rise_is_expected_to_go_on() -> None:
    growing = [1.01**turn for turn in range(200)]  # 1 % in five seconds
    found = watched(growing)
    assert found.expected(0, MEDIAN, 1.0) == pytest.approx(1.01**4, rel=0.01)


def test_the_share_of_horizons_above_the_bound_is_what_the_quantile_says() -> None:
    # A wave that no quantile knows about: the bound must still hold as often as promised.
    levels = [5 + 2 * math.sin(turn / 9) + math.sin(turn / 2.3) for turn in range(1500)]
    forecast, bounds = Forecast(), []
    for turn, level in enumerate(levels):
        forecast = forecast.after(5.0 * turn, level, level, 20.0)
        bounds.append(forecast.expected(0, HIGHEST, level))
    highest = [max(levels[turn + 1 : turn + 5]) for turn in range(400, 1490)]
    above = sum(m > b for m, b in zip(highest, bounds[400:], strict=False)) / len(highest)
    assert above == pytest.approx(0.05, abs=0.02)


def test_a_long_base_expects_a_peak_to_pass() -> None:
    waves = [3.0 if turn % 12 < 6 else 6.0 for turn in range(400)]
    found = watched([*waves, 6.0], horizon_s=60.0)
    by_last = found.expected(0, HIGHEST, 6.0)
    by_five_minutes = found.expected(2, HIGHEST, 6.0)
    assert by_five_minutes < 7
    assert by_last > 10  # from three to six was a factor of two


def test_what_was_seen_of_a_faster_service_counts_as_the_work_it_would_be_now() -> None:
    jumped = watched([3.0] * 200).weighed(1.5, 5.0, 20.0)
    slow = watched([4.5] * 200)
    found = jumped.expected(LINE, MEDIAN, 4.5)
    assert found / jumped.growth == pytest.approx(slow.expected(LINE, MEDIAN, 4.5))
    assert found / jumped.growth == pytest.approx(4.5)


def test_a_service_that_becomes_slower_is_expected_to_go_on() -> None:
    drifting = watched([3.0] * 200)
    for _ in range(60):  # 0.35 % in five seconds, as a plan tells it: 2 % at a time
        for look in range(6):
            drifting = drifting.weighed(1.02 if look == 0 else 1.0, 5.0, 60.0)
    # 0.066 % a second for a minute; a little less is known, since a while back counts
    assert drifting.growth == pytest.approx(1.04, abs=0.01)
    for _ in range(120):
        drifting = drifting.weighed(1.0, 5.0, 60.0)
    assert drifting.growth == pytest.approx(1.0, abs=0.001)


def test_a_service_that_becomes_faster_is_not_expected_to_go_on() -> None:
    assert watched([3.0] * 200).weighed(0.98, 5.0, 60.0).growth == 1


def test_a_jump_of_the_service_time_is_no_drift() -> None:
    assert watched([3.0] * 200).weighed(3.0, 5.0, 60.0).growth < 1.02


def test_demand_beyond_every_forecast_is_not_expected_to_go_back() -> None:
    found = watched([*[3.0 + 0.1 * (turn % 3) for turn in range(200)], 6.0], horizon_s=60.0)
    assert all(found.expected(LINE, boldness, 6.0) >= 6.0 for boldness in range(len(LEVELS)))


def test_what_repeats_itself_is_expected_again() -> None:
    waves = [1.0 if turn % 60 < 36 else 5.0 for turn in range(430)]  # at the tenth slot of a low
    found = watched(waves, horizon_s=40.0)
    assert found.period == 60
    assert found.expected(PERIODIC, HIGHEST, 1.0) < 1.1
    before_the_rise = watched([*waves, *[1.0] * 20], horizon_s=40.0)
    assert before_the_rise.expected(PERIODIC, MEDIAN, 1.0) > 4.9


def test_what_is_here_is_never_explained_away() -> None:
    found = watched([1.0] * 200 + [9.0] * 3)
    lowest = min(found.expected(base, 0, 9.0) for base in range(BASES))
    assert lowest >= 0.75 * 9


def test_nothing_is_no_base_for_a_ratio() -> None:
    found = watched([0.0] * 50 + [2.0] * 50)
    assert found.expected(0, HIGHEST, 1.0) <= 8
    assert watched([0.0] * 200).expected(0, HIGHEST, 1.0) == pytest.approx(1.0)


def test_memory_is_bounded() -> None:
    found = watched([3.0] * 1000)
    arrays = (found.at_s, found.level, found.demand, *found.bases, *found.ratios)
    assert max(map(len, arrays)) <= 720
    assert found.judged <= 720


def test_what_holds_without_a_clock_is_kept() -> None:
    found = watched([1.01**turn for turn in range(200)]).detached()
    assert found.expected(0, MEDIAN, 1.0) > 1.02
    after = found.after(7.0, 3.0, 3.0, 20.0)  # the clock starts anew
    assert after.expected(0, MEDIAN, 1.0) > 1.02


@settings(max_examples=30, deadline=None)
@example([4.0, 5e-324, 0.0], 1.0)  # the smallest number there is: its share of the mean is zero
@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=80), st.floats(1, 700))
def test_quantiles_are_finite_and_in_order(levels: list[float], horizon_s: float) -> None:
    found = watched(levels, horizon_s)
    for rises in found.rises:
        assert all(0 < rise <= 8 for rise in rises)
        assert all(low <= high * (1 + 1e-9) for low, high in pairwise(rises))
