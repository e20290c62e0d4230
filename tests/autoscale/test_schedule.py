"""When schedules hold: time zones, midnight, summer time, overlaps, and what is no schedule."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conch.api.v1alpha1 import Scaling
from conch.autoscale.schedule import Limits, limits, problem

BERLIN = "Europe/Berlin"


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"{text}Z")


def one(cron: str, duration: str, zone: str = "UTC", least: int = 4, **more: Any) -> dict[str, Any]:
    return {
        "name": "s", "cron": cron, "timezone": zone, "duration": duration, "minReplicas": least,
    } | more  # fmt: skip


def seen(now: str, *schedules: dict[str, Any], least: int = 1, most: int = 10) -> Limits:
    spec = {"minReplicas": least, "maxReplicas": most, "schedules": list(schedules)}
    return limits(Scaling.model_validate(spec), at(now))


@pytest.mark.parametrize(
    ("now", "active"),
    [
        ("2026-01-05T05:59:59", False),  # a Monday; 07:00 in Berlin is 06:00 UTC
        ("2026-01-05T06:00:00", True),
        ("2026-01-05T08:59:59", True),
        ("2026-01-05T09:00:00", False),
        ("2026-01-04T07:00:00", False),  # a Sunday
        ("2026-07-06T05:00:00", True),  # summer: one hour earlier in UTC
        ("2026-07-06T08:00:00", False),
    ],
)
def test_hours_of_a_time_zone(now: str, active: bool) -> None:
    found = seen(now, one("0 7 * * 1-5", "3h", BERLIN))
    assert (found.active, found.least, found.most) == ((("s",), 4, 10) if active else ((), 1, 10))


def test_what_is_active_has_an_end_and_what_is_not_a_start() -> None:
    weekdays = one("0 7 * * 1-5", "3h", BERLIN)
    found = seen("2026-01-09T06:30:00", weekdays)
    assert (found.until, found.coming) == (at("2026-01-09T09:00:00"), None)
    found = seen("2026-01-09T09:00:00", weekdays)
    assert (found.until, found.coming) == (None, ("s", at("2026-01-12T06:00:00")))
    assert found.changes_at == at("2026-01-12T06:00:00")


def test_across_midnight_and_several_days() -> None:
    night = one("0 22 * * *", "8h")
    assert seen("2026-01-06T05:59:59", night).active == ("s",)
    assert seen("2026-01-06T06:00:00", night).active == ()
    week = one("0 0 * * 1", "100h")
    assert seen("2026-01-09T03:59:59", week).active == ("s",)
    assert seen("2026-01-09T04:00:00", week).active == ()


@pytest.mark.parametrize(
    ("now", "active"),
    [
        # 2026-03-29: 02:00 to 03:00 does not exist in Berlin; 02:30 comes at 03:00 = 01:00 UTC.
        ("2026-03-29T00:59:59", False),
        ("2026-03-29T01:00:00", True),
        ("2026-03-29T01:59:59", True),
        ("2026-03-29T02:00:00", False),
        # 2026-10-25: 02:30 comes at 00:30 and at 01:30 UTC; the first one counts.
        ("2026-10-25T00:29:59", False),
        ("2026-10-25T00:30:00", True),
        ("2026-10-25T01:10:00", True),
        ("2026-10-25T01:29:59", True),
        ("2026-10-25T01:30:00", False),
        ("2026-10-25T01:45:00", False),
    ],
)
def test_hours_that_the_clock_skips_or_shows_twice(now: str, active: bool) -> None:
    assert bool(seen(now, one("30 2 * * *", "1h", BERLIN)).active) is active


def test_a_change_of_the_clock_makes_nothing_longer_or_shorter() -> None:
    night = one("0 22 * * *", "8h", BERLIN)
    for day in ("2026-03-28T21:00:00", "2026-10-24T20:00:00"):
        until = seen(day, night).until
        assert until is not None
        assert until - at(day) == timedelta(hours=8)


def test_of_several_the_largest_counts() -> None:
    day = one("0 6 * * *", "12h", least=3) | {"name": "day"}
    noon = one("0 11 * * *", "2h", least=6) | {"name": "noon", "maxReplicas": 20}
    cap = one("0 5 * * *", "10h", least=0) | {"name": "cap", "maxReplicas": 8}
    assert (found := seen("2026-01-05T12:00:00", day, noon, cap)).active == ("day", "noon", "cap")
    assert (found.least, found.most) == (6, 20)
    assert found.until == at("2026-01-05T13:00:00")
    found = seen("2026-01-05T14:00:00", day, noon, cap)
    assert (found.least, found.most, found.coming) == (3, 8, ("noon", at("2026-01-06T11:00:00")))


def test_a_schedule_lowers_no_minimum_and_a_cap_no_other_minimum() -> None:
    assert seen("2026-01-05T12:00:00", one("0 6 * * *", "12h", least=1), least=2).least == 2
    cap = one("0 6 * * *", "12h", least=0) | {"name": "cap", "maxReplicas": 3}
    found = seen("2026-01-05T12:00:00", cap, one("0 6 * * *", "12h", least=5))
    assert (found.least, found.most) == (5, 5)


def test_starts_that_follow_each_other_end_once() -> None:
    hourly = one("0 6-9 * * *", "1h")
    for minute in ("06:00:00", "07:30:00", "09:59:59"):
        assert seen(f"2026-01-05T{minute}", hourly).until == at("2026-01-05T10:00:00")
    for second in (0, 30, 61):
        found = limits(
            Scaling.model_validate({"schedules": [one("* * * * *", "2m")]}),
            at("2026-01-05T06:00:00") + timedelta(seconds=second),
        )
        assert (found.active, found.until, found.changes_at) == (("s",), None, None)


def test_what_cannot_be_understood_is_left_out_and_named() -> None:
    good = one("0 6 * * *", "12h")
    bad = one("0 25 * * *", "12h", least=9) | {"name": "bad"}
    nowhere = one("0 6 * * *", "12h", "Europe/Atlantis", least=9) | {"name": "nowhere"}
    found = seen("2026-01-05T12:00:00", bad, good, nowhere)
    assert (found.active, found.least) == (("s",), 4)
    assert [p.split(":")[0] for p in found.problems] == [
        "scaling.schedules[bad].cron", "scaling.schedules[nowhere].timezone",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("cron", "zone", "says"),
    [
        ("61 * * * *", "UTC", "bad minute"),
        ("* * * *", "UTC", "wrong number of fields"),
        ("0 0 0 * * *", "UTC", "wrong number of fields"),
        ("0 0 30 2 *", "UTC", "bad day-of-month"),
        ("*/0 * * * *", "UTC", "bad minute"),
        ("0 7 * * 1-5", "Mars/Olympus", "there is no time zone 'Mars/Olympus'"),
        ("0 7 * * 1-5", "America", "there is no time zone"),  # a directory
        ("0 7 * * 1-5", "../../etc/passwd", "there is no time zone"),
        ("0 7 * * 1-5", "", "there is no time zone"),
    ],
)
def test_problems_in_words(cron: str, zone: str, says: str) -> None:
    assert says in problem(cron, zone)


def test_what_works_has_no_problem() -> None:
    assert problem("0 7 * * MON-FRI", BERLIN) == ""
    assert problem("*/15 0,12 L * *", "Pacific/Chatham") == ""


@given(
    st.sampled_from(["30 2 * * *", "0 */5 * * *", "*/20 1-3 * * 0", "59 23 31 * *", "5 0 * 3 *"]),
    st.sampled_from(["UTC", BERLIN, "Australia/Lord_Howe", "America/St_Johns"]),
    st.integers(1, 72 * 60),
    st.datetimes(datetime(2026, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)),
)  # fmt: skip
def test_nothing_changes_before_it_is_said_to(
    cron: str, zone: str, minutes: int, now: datetime
) -> None:
    """What is active stays so up to the announced change, and not beyond it unless it goes on."""
    spec = Scaling.model_validate({"schedules": [one(cron, f"{minutes}m", zone)]})
    found = limits(spec, now)
    change = found.changes_at
    if change is None:
        assert found.active
        return
    assert change > now
    before = limits(spec, change - timedelta(seconds=1))
    assert change - now < timedelta(seconds=1) or before.active == found.active
    after = limits(spec, change)
    assert bool(after.active) is not bool(found.active)
