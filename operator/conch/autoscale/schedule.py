"""Schedules: which limits of the number of replicas hold now, and when that changes next.

A schedule starts when its cron expression says so, on the clock of its time zone, and lasts for a
time that really passes: across midnight, and over a change to or from summer time. A start that the
clock skips comes right after the gap; one that it shows twice comes the first time. Of several that
are active the largest minimum and the largest maximum count. One that cannot be understood is named
and left out. Reads time zones from files, no clock: the caller passes ``now``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from conch.api import v1alpha1
from conch.observe.durations import seconds

_MINUTE: Final = timedelta(minutes=1)
_REFERENCE: Final = datetime(2026, 1, 1, tzinfo=UTC)
# Starts that follow each other without a gap are one: looked at as far as this many of them.
_CHAIN: Final = 64


@dataclass(frozen=True, slots=True)
class Limits:
    """What holds at one moment; times are UTC.

    ``until``: when the first of the active ones ends, None if none is active or no end is in sight.
    ``coming``: the schedule that starts next, and when. ``problems``: sentences, one per schedule.
    """

    least: int
    most: int
    active: tuple[str, ...] = ()
    until: datetime | None = None
    coming: tuple[str, datetime] | None = None
    problems: tuple[str, ...] = ()
    dirty_above: int | None = None  # g/kWh, of a carbon ceiling that takes something away

    @property
    def changes_at(self) -> datetime | None:
        """When to look again."""
        times = [self.until, self.coming[1] if self.coming else None]
        return min((t for t in times if t is not None), default=None)


def limits(scaling: v1alpha1.Scaling, now: datetime) -> Limits:
    """The limits at ``now``, which must have a time zone."""
    return _limits(tuple(scaling.schedules or ()), scaling.min_replicas, scaling.max_replicas, now)


def _limits(schedules: Sequence[v1alpha1.Schedule], least: int, most: int, now: datetime) -> Limits:
    if not schedules:
        return Limits(least, most)
    active: list[v1alpha1.Schedule] = []
    ends: list[datetime] = []
    coming: list[tuple[datetime, str]] = []
    problems: list[str] = []
    for schedule in schedules:
        wrong = problem(schedule.cron, schedule.timezone)
        if wrong:
            problems.append(f"scaling.schedules[{schedule.name}].{wrong}")
            continue
        lasts_s = seconds(schedule.duration)
        last, end, following = _around(
            schedule.cron, schedule.timezone, lasts_s, _floor(now.astimezone(UTC))
        )
        if last is not None and now < last + timedelta(seconds=lasts_s):
            active.append(schedule)
            if end is not None:
                ends.append(end)
        elif following is not None:
            coming.append((following, schedule.name))
    caps = [s.max_replicas for s in active if s.max_replicas is not None]
    floor = max([least, *(s.min_replicas for s in active)])
    first = min(coming, default=None)
    return Limits(
        least=floor,
        most=max(floor, max(caps, default=most)),
        active=tuple(s.name for s in active),
        until=min(ends, default=None),
        coming=(first[1], first[0]) if first else None,
        problems=tuple(problems),
    )


@lru_cache(maxsize=1024)
def problem(cron: str, timezone: str) -> str:
    """What is wrong with a schedule's times, beginning with the field's name; "": nothing."""
    try:
        zone = ZoneInfo(timezone)
    except (LookupError, ValueError, OSError):
        return f"timezone: there is no time zone {timezone!r}; use e.g. Europe/Berlin, or UTC"
    try:
        # Five fields: a sixth in front would be seconds.
        if len(cron.split()) != 5:
            raise CronSimError("Wrong number of fields")
        if _next(CronSim(cron, _REFERENCE.astimezone(zone))) is None:
            return f"cron: {cron!r} never comes"
    except CronSimError as error:
        return (
            f"cron: {cron!r} is no cron expression ({str(error).lower()}); "
            "it has minute, hour, day of month, month and day of week, e.g. 0 7 * * 1-5"
        )
    return ""


@lru_cache(maxsize=4096)
def _around(
    cron: str, timezone: str, lasts_s: float, minute: datetime
) -> tuple[datetime | None, datetime | None, datetime | None]:
    """The last start up to ``minute``, the end of what it is part of, and the first start after.

    The end is None when starts follow each other for longer than anybody needs to know.
    """
    zone = ZoneInfo(timezone)
    last = _next(CronSim(cron, (minute + _MINUTE).astimezone(zone), reverse=True))
    if last is None:
        return None, None, _next(CronSim(cron, minute.astimezone(zone)))
    # Backwards over an hour that comes twice it may go too far: forward from there decides.
    starts = CronSim(cron, last.astimezone(zone))
    following = _next(starts)
    while following is not None and following <= minute:
        last, following = following, _next(starts)
    lasts = timedelta(seconds=lasts_s)
    end, later = last + lasts, following
    for _ in range(_CHAIN):
        if later is None or later > end:
            return last, end, following
        end, later = later + lasts, _next(starts)
    return last, None, following


def _next(starts: CronSim) -> datetime | None:
    """The next start, in UTC: times of one zone compare by what the clock shows."""
    try:
        return next(starts).astimezone(UTC)
    except StopIteration:
        return None


def _floor(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)
