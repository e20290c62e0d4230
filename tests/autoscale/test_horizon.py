import random

import pytest

from conch.autoscale.horizon import PRIOR_COLD_START_S, Demand, cold_start_s
from conch.autoscale.signals import Interval


def poisson(rng: random.Random, mean: float) -> int:
    count, at = 0, rng.expovariate(1)
    while at < mean:
        count += 1
        at += rng.expovariate(1)
    return count


def interval(end_s: float, rate: float) -> Interval:
    return Interval(end_s - 2, end_s, rate, rate * 2, 0.5, rate * 2, 0, 0)


def watch(rates: list[float], seed: int = 1, noisy: bool = True) -> Demand:
    rng = random.Random(seed)
    demand = Demand()
    for turn, rate in enumerate(rates):
        seen = poisson(rng, rate * 2) / 2 if noisy else rate
        demand = demand.after(interval(2.0 * turn, seen))
    return demand


def test_a_constant_rate_is_averaged_over_the_last_moments() -> None:
    found = [watch([100.0] * 60, seed).level() for seed in range(20)]
    assert sum(found) / 20 == pytest.approx(100, abs=2)
    assert max(found) < 110  # sixteen seconds of a hundred requests each
    assert min(found) > 90


@pytest.mark.slow
def test_false_alarms_are_rare() -> None:
    resets = 0
    for seed in range(4):
        rng = random.Random(seed)
        demand = Demand()
        for turn in range(1800):
            length = len(demand.points)
            demand = demand.after(interval(2.0 * turn, poisson(rng, 100) / 2))
            resets += len(demand.points) < length - 1
    assert resets <= 8  # in four hours


@pytest.mark.parametrize(("before", "after", "looks"), [(20, 150, 1), (100, 200, 1), (20, 50, 2)])
def test_a_clear_step_is_believed_within_few_looks(before: float, after: float, looks: int) -> None:
    for seed in range(5):
        found = watch([before] * 40 + [after] * looks, seed)
        assert found.level() > 0.75 * after


def test_a_ramp_is_followed_with_half_a_window_of_delay() -> None:
    rates = [50 + 1.0 * turn for turn in range(60)]  # half a request/s more every second
    assert watch(rates, noisy=False).level() == pytest.approx(109 - 3.5)


def test_nothing_lately_is_nothing() -> None:
    assert watch([50.0] * 40 + [0.0] * 8, noisy=False).level() == 0


def test_bursty_arrivals_are_known_as_such() -> None:
    rng = random.Random(5)
    bursty = Demand()
    for turn in range(400):
        rate = poisson(rng, 25 if turn % 2 else 75) / 1
        bursty = bursty.after(interval(2.0 * turn, rate))
    assert bursty.dispersion > 2
    assert watch([50.0] * 400).dispersion < 1.5


def test_memory_is_bounded() -> None:
    assert len(watch([100.0] * 500).points) <= 31


def test_cold_start_is_a_high_quantile_of_the_last_ones() -> None:
    assert cold_start_s((), ()) == PRIOR_COLD_START_S
    assert cold_start_s([10.0] * 18 + [20.0, 90.0], ()) == 10.0
    assert cold_start_s([10.0] * 17 + [20.0, 20.0, 90.0], ()) == 20.0


def test_a_slow_start_shows_but_a_stuck_one_does_not() -> None:
    assert cold_start_s([10.0], (25.0, 3.0)) == 25.0
    assert cold_start_s([10.0], (3000.0,)) == 10.0
