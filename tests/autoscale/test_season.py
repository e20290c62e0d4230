"""The shape of a day: what it foretells, whom it believes, and when it is silent."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conch.autoscale import season
from conch.autoscale.season import Due, Season

LOOK_S = 20.0
HOUR_S = 3600.0
DAY_S = 86400.0
HORIZON_S = 45.0
NINE_S = 9 * HOUR_S

Level = Callable[[float], float]


def surge(ratio: float = 5.0, at_s: float = NINE_S, low: float = 1.0) -> Level:
    """``ratio`` times as much from then on, for two hours."""
    return lambda s: low * (ratio if at_s <= s < at_s + 2 * HOUR_S else 1)


FLAT: Level = surge(1.0)


@dataclass
class Days:
    """Days looked at from 8:00 to 11:30, as a service's loop would."""

    season: Season = field(default_factory=Season)
    number: int = 0
    horizon_s: float = HORIZON_S

    def live(self, level: Level, until_s: float = 11.5 * HOUR_S) -> list[tuple[float, Due]]:
        """One more day; what was due, and when that was said."""
        said = []
        at_s = 8 * HOUR_S
        while at_s < until_s:
            week_s = (self.number % 7) * DAY_S + at_s
            self.season = self.season.after(week_s, level(at_s), self.horizon_s)
            due = self.season.due(week_s)
            if due is not None:
                said.append((at_s, due))
            at_s += LOOK_S
        self.number += 1
        return said


def test_the_first_day_teaches_and_the_second_is_ready() -> None:
    days = Days()
    assert days.live(surge()) == []
    said = days.live(surge())
    assert said[0][0] == pytest.approx(NINE_S - HORIZON_S - 30, abs=LOOK_S)
    # Once the slot of the rise is over, what arrives speaks for itself.
    assert said[-1][0] < NINE_S + season.SLOT_S + 60
    for _, due in said:
        assert due.level == pytest.approx(5, rel=0.06)
        assert due.week_s == DAY_S + NINE_S


def test_a_longer_cold_start_is_known_earlier() -> None:
    days = Days(horizon_s=300)
    days.live(surge())
    assert days.live(surge())[0][0] == pytest.approx(NINE_S - 330, abs=LOOK_S)


@pytest.mark.parametrize("low", [0.0, 0.04, 100.0])
def test_levels_of_all_sizes(low: float) -> None:
    high = max(3.0, 5 * low)
    days = Days()
    days.live(lambda s: high if s >= NINE_S else low)
    said = days.live(lambda s: high if s >= NINE_S else low)
    assert said[0][1].level == pytest.approx(high, rel=0.06)


def test_a_day_without_the_rise_costs_one_look_ahead_and_is_not_learned() -> None:
    days = Days()
    for _ in range(3):
        days.live(surge())
    said = days.live(FLAT)
    assert said[-1][0] - said[0][0] < HORIZON_S + 30 + season.SLOT_S + 60
    assert days.live(surge())


def test_one_odd_day_is_taken_back() -> None:
    days = Days()
    days.live(surge())
    assert days.live(FLAT)  # the only day known had it
    assert days.live(FLAT) == []


def test_an_odd_day_among_others_is_never_called() -> None:
    days = Days()
    for level in (FLAT, FLAT, surge()):
        days.live(level)
    assert days.live(FLAT) == []


def test_what_was_called_wrongly_more_often_than_rightly_is_not_followed() -> None:
    days = Days()
    days.live(surge())
    days.live(FLAT)
    assert (days.season.came, days.season.missed) == (0, 1)
    days.live(surge())
    assert days.live(surge()) == []  # foretold, not followed: and it came
    assert days.season.came > days.season.missed
    days.number = 0  # the fifth day would be Friday, the same kind
    assert days.live(surge())


@pytest.mark.parametrize("scale", [0.6, 1.4])
def test_it_is_scaled_by_how_busy_today_is(scale: float) -> None:
    days = Days()
    days.live(surge())
    said = days.live(surge(low=scale))
    assert said[0][1].level == pytest.approx(5 * scale, rel=0.12)


@pytest.mark.parametrize("scale", [0.2, 3.0])
def test_another_kind_of_day_is_left_alone(scale: float) -> None:
    days = Days()
    days.live(surge())
    assert days.live(surge(1.0, low=scale)) == []


def test_the_weekend_is_apart() -> None:
    days = Days(number=3)
    days.live(surge())
    assert days.live(surge())  # Friday
    assert days.live(FLAT) == []  # Saturday
    assert days.live(FLAT) == []
    assert days.live(surge())  # Monday


def test_a_slow_climb_is_left_to_the_trend() -> None:
    days = Days()

    def climb(s: float) -> float:
        return 1 + (s - 8 * HOUR_S) / (3.5 * HOUR_S)

    days.live(climb)
    assert days.live(climb) == []


def test_what_repeats_itself_within_the_half_hour_is_left_to_the_bases() -> None:
    days = Days()

    def on_off(s: float) -> float:
        return 5.0 if s % 600 < 240 else 1.0

    days.live(on_off)
    said = days.live(on_off)
    assert all(at_s < 8 * HOUR_S + 1800 for at_s, _ in said)


def test_little_on_top_of_little_is_nothing() -> None:
    days = Days()
    days.live(surge(5, low=0.05))
    assert days.live(surge(5, low=0.05)) == []


def test_what_was_said_is_over_when_its_time_is() -> None:
    days = Days()
    days.live(surge())
    days.live(surge(), until_s=NINE_S - 20)
    assert days.season.due(DAY_S + NINE_S + season.SLOT_S + 59) is not None
    assert days.season.due(DAY_S + NINE_S + season.SLOT_S + 61) is None


def test_replicas_that_start_do_not_look_like_a_rise() -> None:
    """For a moment their requests are counted as if they had come at once."""
    days = Days()

    def mistaken(s: float) -> float:
        return 3.0 if NINE_S <= s < NINE_S + LOOK_S else 1.0

    days.live(mistaken)
    assert days.live(mistaken) == []


def test_a_steep_slope_is_followed_upwards() -> None:
    days = Days(horizon_s=200)

    def slope(s: float) -> float:
        return 1 + min(9.0, max(0.0, (s - NINE_S) / 60))

    days.live(slope)
    said = days.live(slope)
    first = [due.level for _, due in said if due.week_s == said[0][1].week_s]
    assert first[-1] > 1.5 * first[0]


def test_a_gap_leaves_a_call_unjudged() -> None:
    days = Days()
    days.live(surge())
    days.live(surge(), until_s=NINE_S - 20)
    assert days.season.call is not None
    after = days.season.after(DAY_S + NINE_S + 900, 1.0, HORIZON_S)
    assert (after.call, after.came, after.missed) == (None, 0, 0)


def test_an_operator_that_was_away_for_the_rise_learns_it_another_day() -> None:
    days = Days()
    days.live(surge(), until_s=NINE_S - 600)
    days.live(surge())
    assert days.live(surge())


def test_a_clock_that_goes_back_is_survived() -> None:
    days = Days()
    days.live(surge())
    for week_s in (DAY_S + 100, DAY_S - 100, DAY_S + 50, 0.0, 7 * DAY_S - 1, 30.0):
        days.season = days.season.after(week_s, 1.0, HORIZON_S)
    assert all(len(row) == season.PER_DAY for kind in days.season.days for row in kind)


def test_a_rise_that_wanders_is_expected_from_its_earliest_to_its_latest() -> None:
    days = Days()
    for off_s in (0, -200, 290):
        days.live(surge(at_s=NINE_S + off_s))
    said = days.live(FLAT)
    # Slots begin at 8:56, 9:00 and 9:04.
    assert said[0][0] == pytest.approx(NINE_S - 240 - HORIZON_S - 30, abs=LOOK_S)
    assert said[-1][0] == pytest.approx(NINE_S + 240 + season.SLOT_S + 60, abs=LOOK_S)
    assert said[0][1].week_s % DAY_S == NINE_S


@pytest.mark.parametrize(("off_s", "judged"), [(0, (1, 0)), (500, (1, 0)), (900, (0, 1))])
def test_a_rise_that_comes_some_minutes_later_has_come(
    off_s: float, judged: tuple[float, float]
) -> None:
    days = Days()
    days.live(surge())
    days.live(surge(at_s=NINE_S + off_s))
    assert (days.season.came, days.season.missed) == judged


def test_midnight_is_a_moment_like_others() -> None:
    known = Season()
    said = []
    for at_s in range(20 * 3600, 80 * 3600, int(LOOK_S)):
        level = 5.0 if at_s % DAY_S < HOUR_S else 1.0
        known = known.after(at_s, level, HORIZON_S)
        if known.due(at_s):
            said.append(at_s)
    third = [at_s for at_s in said if at_s > 2.5 * DAY_S]
    assert third[0] == pytest.approx(3 * DAY_S - HORIZON_S - 30, abs=LOOK_S)


def test_no_more_days_are_kept_than_are_used() -> None:
    days = Days()
    for _ in range(6):
        days.live(surge())
    assert [len(kind) for kind in days.season.days] == [season.DAYS, 0]
    for _ in range(9):
        days.live(surge())
    assert [len(kind) for kind in days.season.days] == [season.DAYS, season.DAYS]


def test_days_are_kept_where_replicas_become_others() -> None:
    days = Days()
    days.live(surge())
    days.season = days.season.scaled(4.0)
    said = days.live(surge(low=4))
    assert said[0][1].level == pytest.approx(20, rel=0.06)
    assert days.season.scaled(1.0) == days.season


def test_the_week_begins_on_monday_in_utc() -> None:
    monday = 1_795_392_000  # 2026-11-23
    assert season.week_s(monday) == 0
    assert season.week_s(monday - 1) == 7 * DAY_S - 1
    assert season.week_s(monday + 2.5 * DAY_S) == 2.5 * DAY_S


LEVELS = st.lists(st.sampled_from([0.0, 0.5, 1.0, 1.4, 3.0, 1e4]), min_size=7, max_size=7)


@settings(max_examples=30)
@given(st.lists(LEVELS, min_size=3, max_size=3), st.sampled_from([15, 150, 900]), st.floats(0, 6e5))
def test_it_foretells_no_more_than_half_more_than_has_been(
    found: list[list[float]], horizon_s: int, began_s: float
) -> None:
    """Whatever the half hours of three days bring."""
    known, most = Season(), 0.0
    for day, levels in enumerate(found):
        for look in range(len(levels) * 30):
            week_s = (began_s + day * DAY_S + look * 60) % season.WEEK_S
            most = max(most, levels[look // 30])
            known = known.after(week_s, levels[look // 30], horizon_s)
            due = known.due(week_s)
            assert due is None or 0 < due.level <= 1.5 * 1.03 * most
    assert all(len(row) == season.PER_DAY for row in (known.today, *known.usual))
