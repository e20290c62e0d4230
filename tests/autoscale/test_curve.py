import pytest

from conch.autoscale.curve import Curve
from conch.observe.types import BatchStat


def seen(**means_ms: float) -> dict[int, BatchStat]:
    """``seen(s4=80)``: twenty executions of four that took 80 ms each."""
    return {int(k[1:]): BatchStat(20, 20 * ms / 1e3) for k, ms in means_ms.items()}


def learned(looks: int, **means_ms: float) -> Curve:
    curve = Curve()
    for _ in range(looks):
        curve = curve.learned(seen(**means_ms), 2)
    return curve


def test_knows_nothing_at_first() -> None:
    assert Curve().service_s(4) == []
    assert Curve().executions == 0


def test_learns_a_straight_line_and_what_lies_between() -> None:
    curve = learned(20, s1=50, s4=80)
    assert curve.service_s(4) == pytest.approx([0.050, 0.060, 0.070, 0.080], rel=0.03)


def test_a_size_seen_often_is_its_own_mean_off_the_line() -> None:
    curve = learned(20, s1=50, s2=51, s3=90, s4=91)
    assert curve.service_s(4) == pytest.approx([0.050, 0.051, 0.090, 0.091], rel=0.05)


def test_larger_batches_cost_a_marginal_fraction_until_they_are_seen() -> None:
    found = learned(20, s1=50).service_s(4)
    assert found == pytest.approx([0.050, 0.075, 0.100, 0.125], rel=0.01)


def test_only_large_batches_seen_says_something_about_small_ones() -> None:
    found = learned(20, s4=80).service_s(4)
    assert found[3] == pytest.approx(0.080, rel=0.01)
    assert 0 < found[0] < found[3]


def test_never_falls_with_the_size() -> None:
    found = learned(20, s1=60, s2=40, s3=70).service_s(6)
    assert found == sorted(found)


def test_forgets() -> None:
    curve = learned(50, s1=50)
    for _ in range(600):
        curve = curve.learned(seen(s1=80), 2)
    assert curve.service_s(1)[0] == pytest.approx(0.080, rel=0.03)


def test_one_stall_moves_it_a_little_and_a_lasting_change_all_the_way() -> None:
    curve = learned(20, s1=50)
    stalled = curve.learned({1: BatchStat(1, 10.0)}, 2)
    assert stalled.service_s(1)[0] < 0.052
    for _ in range(200):
        curve = curve.learned(seen(s1=400), 2)
    assert curve.service_s(1)[0] == pytest.approx(0.4, rel=0.05)


def test_memory_is_bounded_and_idle_time_empties_it() -> None:
    curve = learned(1000, s1=50)
    assert curve.executions <= 500
    assert curve.learned({}, 36000).executions == 0


def test_noise_is_seen_between_looks() -> None:
    steady, noisy = learned(50, s1=50), Curve()
    for turn in range(50):
        noisy = noisy.learned({1: BatchStat(1, 0.040 if turn % 2 else 0.060)}, 2)
    assert steady.noise() < 0.01
    assert noisy.noise() == pytest.approx(0.2, abs=0.08)
