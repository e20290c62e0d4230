"""Against autoscaling_policy.py; numbers by hand."""

import pytest

from conch.twin.rules.ray import RULE, Delay, delayed, desired, ongoing

from .sights import SETTING, counters, sight


@pytest.mark.parametrize(
    ("total", "running", "factor", "expected"),
    [
        (12.0, 3, 1.0, 6),  # 12/2
        (13.0, 3, 1.0, 7),
        (12.0, 3, 0.5, 5),  # half of the way: 3 + 1.5, up
        (3.0, 3, 1.0, 2),
        (0.0, 3, 1.0, 0),
        (5.0, 4, 0.1, 3),  # 4 - 0.15 rounds up to 4: one fewer so that it moves
        (7.5, 4, 0.1, 4),  # 3.75 rounds up to 4 by itself: nothing to move
    ],
)
def test_desired(total: float, running: int, factor: float, expected: int) -> None:
    assert desired(total, 2.0, running, factor) == expected


def test_a_wish_has_to_last() -> None:
    target, delay = delayed(6, 3, 0.0, Delay())
    assert (target, delay) == (3, Delay(+1, 0.0))
    assert delayed(6, 3, 29.0, delay) == (3, delay)
    assert delayed(5, 3, 30.0, delay) == (5, Delay())  # the newest wish counts
    assert delayed(3, 3, 20.0, delay) == (3, Delay())  # agreement resets
    assert delayed(2, 3, 20.0, delay) == (3, Delay(-1, 20.0))  # so does the other way
    assert delayed(0, 3, 620.0, Delay(-1, 20.0)) == (1, Delay())  # zero only from one


def test_up_after_half_a_minute_down_after_ten() -> None:
    ray = ongoing(SETTING, 2.0)
    replicas, sizes = 2, []
    for tick in range(260):
        flight = 4.0 if tick < 20 else 1.0
        seen = sight(5.0 * tick, [counters(0)] * 2, replicas=replicas, in_flight=[flight] * 2)
        replicas = ray.decide(seen).replicas
        sizes.append(replicas)
    assert sizes[:6] == [2] * 6
    assert sizes[6] == 4
    down = sizes.index(1)
    # From 100 s the load fits in fewer: the 30-s mean is below 6 (ceil 3 of 4) after 15 s.
    assert 5.0 * down == pytest.approx(100 + 10 + 600, abs=10)


def test_defaults_and_row() -> None:
    assert RULE.untouched(SETTING).name == "ray 2"
    assert list(RULE.row(SETTING)) == sorted(RULE.row(SETTING), reverse=True)
    assert ongoing(SETTING, 2.0).decide(sight(0, [], replicas=2)).replicas == 2
