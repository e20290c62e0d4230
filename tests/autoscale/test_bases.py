import math
import random

import pytest

from conch.autoscale.bases import Return, bases, before, line, period_of, rising


def wave(slots: int, period: int, noise: float = 0.0, seed: int = 1) -> list[float]:
    rng = random.Random(seed)
    return [(5.0 if i % period < 0.4 * period else 1.0) * rng.gauss(1, noise) for i in range(slots)]


def test_each_base_reads_the_past_in_its_own_way() -> None:
    demand = [1.0] * 48 + [3.0] * 6 + [5.0] * 6
    mean = (48 + 18 + 30) / 60
    found = bases(4.9, [4.9] * 60, demand, 10, 0.5, 0)
    assert found[:2] == pytest.approx((4.9, (4.9 * mean) ** 0.5))
    assert found[2] > 1.4 * mean  # it has risen
    assert found[3] > 5.5
    assert found[4] == 4.9  # nothing repeats itself


def test_a_line_goes_on_where_demand_grows_and_stays_where_it_falls() -> None:
    assert line(16.0, [10 + 0.1 * i for i in range(60)], 10) == pytest.approx(16.9)
    assert line(4.0, [10 - 0.1 * i for i in range(60)], 10) == pytest.approx(4.1)
    assert line(3.0, [9.0, 3.0], 10) == 3.0  # two are no line
    assert line(1.0, [0.0] * 50 + [10.0] * 10, 60) < 10  # bounded by what is here
    rng = random.Random(5)
    found = [line(10.0, [rng.gauss(10, 2) for _ in range(60)], 0) for _ in range(200)]
    assert max(abs(one - 10) for one in found) < 2  # most of the noise is gone


def test_a_trend_is_what_is_sure_of_a_slope() -> None:
    assert rising([10 + 0.5 * i for i in range(24)]) == pytest.approx(0.5)
    assert rising([10 - 0.5 * i for i in range(24)]) == 0
    assert rising([3.0, 9.0]) == 0
    rng = random.Random(3)
    sure = [rising([rng.gauss(10, 1) for _ in range(24)]) for _ in range(200)]
    assert sum(s > 0 for s in sure) < 12  # two standard errors, one side


def test_how_much_of_a_deviation_stays_is_learned() -> None:
    rng = random.Random(4)
    returning, wandering = Return(), Return()
    for _ in range(400):
        level = 5 * math.exp(rng.gauss(0, 0.3))
        returning = returning.after(level, 5.0, 5 * (level / 5) ** 0.3)
        wandering = wandering.after(level, 5.0, level)
    assert Return().stays == 1  # until it is known
    assert returning.stays == pytest.approx(0.3, abs=0.05)
    assert wandering.stays == pytest.approx(1)
    assert returning.after(0.0, 5.0, 5.0) == returning


@pytest.mark.parametrize("period", [24, 60, 90])
@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_a_period_is_found(period: int, noise: float) -> None:
    assert period_of(wave(5 * period, period, noise)) == pytest.approx(period, abs=1)


def test_two_periods_are_not_one() -> None:
    assert period_of(wave(700, 60)) == 60


@pytest.mark.parametrize(
    "demand",
    [
        [3.0] * 500,
        [0.0] * 500,
        [5 + i / 100 for i in range(500)],
        [5 + 3 * math.sin(i / 200) for i in range(500)],  # less than one round
        wave(100, 60),  # less than two
        [],
    ],
)
def test_what_does_not_repeat_itself_has_none(demand: list[float]) -> None:
    assert period_of(demand) == 0


def test_chance_has_no_period() -> None:
    found = []
    for seed in range(20):
        rng = random.Random(seed)
        level, demand = 0.0, []
        for _ in range(700):
            level = 0.9 * level + 0.1 * rng.gauss(0, 1)
            demand.append(5 * math.exp(level))
        found.append(period_of(demand))
    assert sum(period > 0 for period in found) <= 1


def test_the_same_time_one_period_ago() -> None:
    levels = [float(i % 10) for i in range(35)]  # the newest is a 4
    assert before(levels, 34, ahead=3, period=10) == 7
    assert before(levels, 34, ahead=10, period=10) == 9
    assert before(levels, 34, ahead=12, period=10) == 9  # two periods ago
    assert before(levels, 4, ahead=3, period=10) == 4  # nothing that old
