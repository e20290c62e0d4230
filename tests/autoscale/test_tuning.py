from dataclasses import replace

import pytest

from conch.autoscale.fleet import Fleet
from conch.autoscale.tuning import Moment, Tuning

FLEET = Fleet(0.8, True, 1.0, 0.01, reject=True)
LOOK = Moment(
    at_s=0.0,
    level=3.0,
    demand=3.0,
    seconds=5.0,
    arrived=600.0,
    late=0.0,
    late_seen=True,
    reporting=5,
    unevenness=None,
    slack_s=0.2,
    cold_start_s=20.0,
    horizon_s=25.0,
)


def looked(looks: int, interval_s: float = 5.0, **seen: float) -> Tuning:
    tuning = Tuning()
    for turn in range(looks):
        look = replace(LOOK, at_s=turn * interval_s, seconds=interval_s, **seen)  # type: ignore[arg-type]
        tuning = tuning.after(look, FLEET, 1, 50)
    return tuning


@pytest.mark.parametrize(("interval_s", "slots"), [(1, 75), (2, 75), (5, 60), (15, 20)])
def test_a_slot_is_five_seconds_or_one_look(interval_s: float, slots: int) -> None:
    assert len(looked(round(300 / interval_s), interval_s).forecast.at_s) == slots


def test_everything_seen_between_slots_counts() -> None:
    every_second = looked(300, 1.0, arrived=100.0, late=1.0)
    assert every_second.budget.arrived == pytest.approx(30_000, rel=0.02)
    assert every_second.budget.late / every_second.budget.arrived == pytest.approx(0.01)


def test_how_pods_are_chosen_is_learned_from_how_differently_they_are() -> None:
    assert 0 < Tuning().evenness < 1
    assert looked(100, unevenness=0.1).evenness == 1
    assert looked(100, unevenness=1.0).evenness == 0


def test_how_pods_are_chosen_takes_many_looks_to_change_its_mind() -> None:
    assert looked(3, unevenness=3.0).unevenness > 1
    settled = looked(200, unevenness=0.1)
    after = settled.after(replace(LOOK, at_s=1e4, unevenness=3.0), FLEET, 1, 50)
    assert after.evenness == 1


def test_the_bound_covers_the_demand() -> None:
    assert looked(100).bound(3.0) == pytest.approx(3.0, rel=0.1)
    assert 3.0 < Tuning().bound(3.0) <= 3.65


def test_after_a_jump_of_the_clock_what_was_learned_is_kept() -> None:
    before = looked(200, unevenness=0.1)
    after = before.detached().after(replace(LOOK, at_s=-500.0), FLEET, 1, 50)
    assert after.shadows.chosen == before.shadows.chosen
    assert after.evenness == 1
    assert len(after.forecast.at_s) == 1


def test_counted_in_replicas_half_as_fast_it_is_twice_as_many() -> None:
    before = looked(100)
    after = before.converted(2.0)
    assert after.bound(6.0) == pytest.approx(2 * before.bound(3.0))
    assert after.shadows.held(500.0) == 2 * before.shadows.held(500.0)
    assert after.shadows.chosen == before.shadows.chosen
    paid, foresight = before.shadows.cost[0], before.shadows.ideal
    assert after.shadows.cost[0] / after.shadows.ideal == pytest.approx(paid / foresight)
    assert before.converted(1.0) is before


def test_lateness_is_expected_of_what_replicas_carry_and_not_of_how_many_they_are() -> None:
    late = {"level": 4.6, "demand": 4.6, "late": 2.0}
    weaker = looked(60, **late, strength=0.9).correction.factor
    assert weaker < looked(60, **late).correction.factor
