"""Against worked examples of promql/functions.go, extrapolatedRate."""

import pytest

from conch.observe.types import PodSample
from conch.twin.rules.series import Series, arrived, delta, increase

from .sights import counters


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        # Samples at both ends: nothing to stretch.
        ([(0, 10), (30, 20), (60, 30)], 20.0),
        # 15 s missing at each end of a 60-s window, samples 15 s apart: less than 1.1 of the
        # distance, so stretched in full: 20 * 60/30.
        ([(15, 100), (30, 110), (45, 120)], 40.0),
        # A pod that began 40 s into the window: half a distance at the front, 20 * (20+5)/20.
        ([(40, 1000), (50, 1010), (60, 1020)], 25.0),
        # … but not further back than where the counter was zero: 2 of 20 in 20 s is 2 s.
        ([(40, 2), (50, 12), (60, 22)], 22.0),
        # A reset adds what was there before it: 30 → 0 → 10.
        ([(0, 20), (30, 30), (60, 10)], 20.0),
        ([(30, 1)], None),
        ([], None),
    ],
)
def test_increase(points: list[tuple[float, float]], expected: float | None) -> None:
    found = increase(points, 0, 60)
    assert found == (None if expected is None else pytest.approx(expected))


def test_delta_of_a_counter_that_was_reset_is_negative() -> None:
    assert delta([(0, 20), (60, 10)], 0, 60) == pytest.approx(-10)


def test_rejected_requests_are_arrivals_and_pods_add_up() -> None:
    series = Series(90)
    for at_s in (0.0, 15.0, 30.0, 45.0, 60.0):
        done = counters(success=1000 + 2 * at_s, failure=at_s)
        series.add([PodSample(pod, at_s, {"m": done}) for pod in ("a", "b")])
    assert series.rate(arrived, 60) == pytest.approx(2 * 3.0)


def test_nothing_seen_is_an_empty_result_and_errors_are_not_samples() -> None:
    series = Series(90)
    assert series.rate(arrived, 60) is None
    for at_s in (0.0, 15.0):
        series.add([PodSample("a", at_s, {}, error="refused")])
    assert series.rate(arrived, 60) is None


def test_a_look_that_is_no_newer_is_skipped_and_old_pods_go() -> None:
    series = Series(60)
    series.add([PodSample("old", 0, {"m": counters(5)})])
    series.add([PodSample("a", 100, {"m": counters(100)})])
    series.add([PodSample("a", 99, {"m": counters(99)})])
    assert series.rate(arrived, 60) is None
    series.add([PodSample("a", 110, {"m": counters(200)})])
    assert set(series.increases(arrived, 60)) == {"a"}
