import pytest

from conch.twin.rules.mark import replicas, rule

from .sights import SETTING, counters, sight


def test_the_peak_of_the_forecast_over_an_instance() -> None:
    assert replicas([50.0, 89.0, 70.0], 30.0) == 3
    assert replicas([50.0, 91.0, 70.0], 30.0) == 4
    assert replicas([50.0, 91.0], 30.0, headroom=1.5) == 5
    assert replicas([], 30.0) == 1


def test_a_ramp_is_continued_over_the_cold_start() -> None:
    mark = rule(SETTING, 1.0)
    wanted, done = 2, 0.0
    for tick in range(8):
        wanted = mark.decide(sight(60.0 * tick, [counters(done)], replicas=2)).replicas
        done += 60.0 * (30.0 + 12.0 * tick)  # rates 30, 42, 54 … in the minutes
    # Its 90-s window holds one minute: the last is 30 + 12 * 6 = 102; the line goes on by 12 a
    # step for two steps (a minute, and a start of 40 s): 126 over 30.
    assert wanted == 5


def test_no_rate_keeps_the_size() -> None:
    assert rule(SETTING, 1.0).decide(sight(0, [counters(0)], replicas=4)).replicas == 4


def test_names() -> None:
    assert rule(SETTING, 1.25).name == "mark x1.25"
    assert rule(SETTING, 1.25).interval_s == pytest.approx(60.0)
