"""The shape of a day: which rise is due, because it came at this time on other days.

Decides how much demand to be ready for ahead of a rise that ``bases``, which look back an hour,
meet as if it were the first. It only ever adds to what they say, and only for as long as it takes
to get ready: where a rise does not come in its time, nothing more is said of it.

Remembered is the level that was held for a quarter of every two minutes (one moment is often a
mistake: replicas that have just become ready), of the last three working days and of the last three
days of weekends; the middle one is the *usual*, so neither one odd day nor one without the rise
counts. Due is what is usual within the horizon and beyond all that was usual in the half hour
before, scaled by how busy that half hour was today; a rise that wanders is expected from the
earliest to the latest it came on those days. Each time is a *call*; they are followed while no
fewer came true than did not. Times are UTC's: where clocks change, a rise moves by an hour, and
is known at its new time two days later. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

SLOT_S: Final = 120.0
PER_DAY: Final = 720  # slots
DAYS: Final = 3  # of each kind
_WEEK: Final = 7 * PER_DAY
WEEK_S: Final = _WEEK * SLOT_S
_FIRST_OF_WEEKEND: Final = 5
_BEFORE: Final = 15  # slots: what is as high as it was in them needs no season
_FEWEST: Final = 8  # of them that must have been seen on other days
_FEWEST_TODAY: Final = 3
_SHORTEST_DAY: Final = 30  # slots; less of a day is not kept
_RISE: Final = 1.3  # times what was usual before
_LEAST_RISE: Final = 0.3  # busy replicas
_NOTHING: Final = 0.1  # busy replicas: below it, ratios say nothing
_UNLIKE, _MOST_ALIKE = 0.5, 1.5  # today over other days; outside, this is another kind of day
_WANDERS: Final = 5  # slots either way, at most
_EARLY_S: Final = 30.0  # beyond the horizon: that late in a slot a rise is the next one's
_GRACE_S: Final = 60.0  # after its last slot a rise may still come
_HELD: Final = 0.25  # of a slot
_KEEP: Final = 0.95  # of what earlier calls weigh
# Levels are kept in steps of 5 %, from 0.02 busy replicas to some 5,000; 0: not seen.
_FAINTEST: Final = 0.02
_STEP: Final = math.log(1.05)
_UNSEEN: Final = bytes(PER_DAY)
_MONDAY_S: Final = 4 * 86400.0  # 1970 began on a Thursday


@dataclass(frozen=True, slots=True)
class Due:
    """A rise to be ready for: to ``level`` busy replicas, in a slot from ``week_s`` on."""

    level: float
    week_s: float


@dataclass(frozen=True, slots=True)
class Call:
    """A rise that was foretold: to ``due``, by the end of ``slot``. One that reaches ``enough``
    some slots later has come as well, only too late to be ready for it."""

    due: Due
    enough: float
    slot: int


@dataclass(frozen=True, slots=True)
class Season:
    """The days of one service. ``days`` and ``usual`` are of working days and of weekends, a code
    for each slot of a day; ``recent`` has the last slots, oldest first. ``slot`` counts from
    Monday, 00:00 UTC, and is in progress; ``levels`` are those seen in it."""

    days: tuple[tuple[bytes, ...], tuple[bytes, ...]] = ((), ())
    usual: tuple[bytes, bytes] = (_UNSEEN, _UNSEEN)
    today: bytes = _UNSEEN
    slot: int | None = None
    levels: tuple[float, ...] = ()
    recent: bytes = b""
    call: Call | None = None
    came: float = 0.0
    missed: float = 0.0

    @property
    def usual_today(self) -> bytes:
        """What is usual on a day of today's kind."""
        return self.usual[(self.slot or 0) // PER_DAY >= _FIRST_OF_WEEKEND]

    def after(self, week_s: float, level: float, horizon_s: float) -> Season:
        """With one more look: ``level`` busy replicas at ``week_s`` seconds of the week."""
        slot = int(week_s // SLOT_S) % _WEEK
        known = self if slot == self.slot else self._turned(slot)
        known = replace(known, levels=(*known.levels, level))
        found, call = known._foretold(week_s, horizon_s), known.call
        if found is None or call is None:
            return replace(known, call=call or found)
        # What was foretold first may be the foot of a slope.
        highest = replace(call.due, level=max(call.due.level, found.due.level))
        return replace(known, call=replace(call, due=highest))

    def due(self, week_s: float) -> Due | None:
        """The rise to be ready for now; None where there is none, or none to rely on."""
        if self.call is None or self.came < self.missed:
            return None
        left_s = ((self.call.slot + 1) * SLOT_S + _GRACE_S - week_s) % WEEK_S
        return self.call.due if left_s < WEEK_S / 2 else None

    def scaled(self, factor: float) -> Season:
        """The same, where ``factor`` as many replicas are busy with the same work from now on."""
        steps = round(math.log(factor) / _STEP)
        if not steps:
            return self
        shift = bytes((0, 1, *(min(255, max(1, code + steps)) for code in range(2, 256))))
        working, weekend = (tuple(row.translate(shift) for row in rows) for rows in self.days)
        return replace(
            self.with_days(working, weekend),
            today=self.today.translate(shift),
            recent=self.recent.translate(shift),
            levels=(),
            call=None,
        )

    def _foretold(self, week_s: float, horizon_s: float) -> Call | None:
        slot = int(week_s // SLOT_S)
        before = [self._usual_at(slot - n) for n in range(1, _BEFORE + 1)]
        if _seen(before) < _FEWEST or _seen(self.recent) < _FEWEST_TODAY:
            return None
        usual, today = _level(max(before)), _level(max(self.recent))
        least = max(_RISE * usual, usual + _LEAST_RISE)
        last = int((week_s + horizon_s + _EARLY_S) // SLOT_S)
        coming = [_level(self._usual_at(at)) for at in range(slot, last + _WANDERS + 1)]
        ahead = next((n for n, level in enumerate(coming) if level > least), None)
        alike = (today + _NOTHING) / (usual + _NOTHING)
        if ahead is None or not _UNLIKE <= alike <= _MOST_ALIKE:
            return None
        first = slot + ahead
        earliest, latest = self._wanders(first, least)
        if first + earliest > last:
            return None
        due = Due(alike * max(coming[: max(first, last) - slot + 1]), first % _WEEK * SLOT_S)
        enough = math.sqrt(max(_NOTHING, today) * due.level)
        return Call(due, enough, (first + latest) % _WEEK)

    def _wanders(self, slot: int, least: float) -> tuple[int, int]:
        """By how many slots a rise beyond ``least``, usual in ``slot``, came earlier and later."""
        day, at = divmod(slot % _WEEK, PER_DAY)
        around = range(max(0, at - _WANDERS), min(PER_DAY, at + _WANDERS + 1))
        found = [0]
        for row in self.days[day >= _FIRST_OF_WEEKEND]:
            came = next((n for n in around if _level(row[n]) > least), None)
            found += [] if came is None else [came - at]
        return min(found), max(found)

    def _held(self) -> float:
        """The level that was reached for some of the slot in progress."""
        ranked = sorted(self.levels, reverse=True)
        return ranked[math.ceil(_HELD * len(ranked)) - 1] if ranked else 0.0

    def _usual_at(self, slot: int) -> int:
        day, at = divmod(slot % _WEEK, PER_DAY)
        return self.usual[day >= _FIRST_OF_WEEKEND][at]

    def _turned(self, slot: int) -> Season:
        """With ``slot`` begun, and the one in progress so far put down."""
        if self.slot is None:
            return replace(self, slot=slot, levels=())
        day, at = divmod(self.slot, PER_DAY)
        code, passed = _code(self._held()), (slot - self.slot) % _WEEK
        today = self.today[:at] + bytes((max(code, self.today[at]),)) + self.today[at + 1 :]
        recent = self.recent + bytes((code,)) + bytes(min(_BEFORE, passed - 1))
        known = replace(
            self._judged(passed), today=today, slot=slot, levels=(), recent=recent[-_BEFORE:]
        )
        return known._slept(day) if slot // PER_DAY != day else known

    def _judged(self, passed: int) -> Season:
        """With the call found right or wrong, if the slot that ends says so."""
        if self.call is None or self.slot is None:
            return self
        if self._held() >= self.call.enough:
            return replace(self, call=None, came=_KEEP * self.came + 1, missed=_KEEP * self.missed)
        if passed > 1:
            return replace(self, call=None)  # nobody saw whether it came
        if self.slot != (self.call.slot + _WANDERS) % _WEEK:
            return self
        return replace(self, call=None, came=_KEEP * self.came, missed=_KEEP * self.missed + 1)

    def _slept(self, day: int) -> Season:
        """With ``today``, a day of that number, put to the others of its kind."""
        if _seen(self.today) < _SHORTEST_DAY:
            return replace(self, today=_UNSEEN)
        working, weekend = self.days
        if day >= _FIRST_OF_WEEKEND:
            weekend = (*weekend, self.today)[-DAYS:]
        else:
            working = (*working, self.today)[-DAYS:]
        return replace(self.with_days(working, weekend), today=_UNSEEN)

    def with_days(self, working: tuple[bytes, ...], weekend: tuple[bytes, ...]) -> Season:
        """With other days before today: ``PER_DAY`` codes each, oldest first."""
        return replace(self, days=(working, weekend), usual=(_usual(working), _usual(weekend)))


def week_s(epoch_s: float) -> float:
    """Seconds since Monday, 00:00 UTC, of a time in seconds since 1970."""
    return (epoch_s - _MONDAY_S) % WEEK_S


def _usual(days: Sequence[bytes]) -> bytes:
    """The middle one of what was seen in each slot, of two the lower."""
    if not days:
        return _UNSEEN
    seen = (sorted(filter(None, column)) for column in zip(*days, strict=True))
    return bytes(column[(len(column) - 1) // 2] if column else 0 for column in seen)


def _seen(codes: Sequence[int]) -> int:
    return sum(map(bool, codes))


def _code(level: float) -> int:
    if level <= _FAINTEST:
        return 1
    return min(255, 1 + round(math.log(level / _FAINTEST) / _STEP))


def _level(code: int) -> float:
    return _FAINTEST * math.exp((code - 1) * _STEP) if code > 1 else 0.0
