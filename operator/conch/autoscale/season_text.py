"""What of a service's days outlives the operator: its form as text, and when it is news.

Decides what is kept of them: the usual of working days and of weekends, and today so far, each as
runs of slots that are about alike. A service takes some three hundred bytes. Pure.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass, replace
from typing import Annotated, Final

import msgspec

from conch.autoscale.season import DAYS, PER_DAY, Season

_RUNS: Final = 48  # in a day
_LONGEST: Final = 255  # slots in one run's byte
_COARSEST: Final = 32  # steps within a run; more than that, and what was not seen is left out
_NEWS: Final = 8  # steps: half as much again

_Row = Annotated[str, msgspec.Meta(max_length=512)]
_Days = Annotated[int, msgspec.Meta(ge=0, le=DAYS)]
_Calls = Annotated[float, msgspec.Meta(ge=0, le=100)]


class _Text(msgspec.Struct, forbid_unknown_fields=True):
    service: Annotated[str, msgspec.Meta(max_length=512)]
    at: Annotated[int, msgspec.Meta(ge=0, le=1 << 40)]
    slot: Annotated[int, msgspec.Meta(ge=0, lt=7 * PER_DAY)]
    days: tuple[_Days, _Days]
    usual: tuple[_Row, _Row]
    today: _Row
    calls: tuple[_Calls, _Calls]


_DECODER: Final = msgspec.json.Decoder(_Text)


@dataclass(frozen=True, slots=True)
class Remembered:
    """One service's days. ``service`` is for people; ``at`` is seconds since the epoch."""

    service: str
    at: int
    season: Season

    def text(self) -> str:
        """One line; ``read`` gives about the same back."""
        season = self.season
        working, weekend = season.days
        found = _Text(
            self.service,
            self.at,
            season.slot or 0,
            (len(working), len(weekend)),
            (_written(season.usual[0]), _written(season.usual[1])),
            _written(season.today),
            (round(season.came, 2), round(season.missed, 2)),
        )
        return msgspec.json.encode(found).decode()


def read(text: str) -> Remembered:
    """What ``Remembered.text`` wrote. Raises ValueError for anything else."""
    try:
        found = _DECODER.decode(text)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise ValueError(str(error)) from None
    working, weekend = (
        (_row(row),) * count for row, count in zip(found.usual, found.days, strict=True)
    )
    came, missed = found.calls
    known = Season(today=_row(found.today), slot=found.slot, came=came, missed=missed)
    return Remembered(found.service, found.at, known.with_days(working, weekend))


def is_news(before: Season | None, now: Season) -> bool:
    """Whether ``now`` knows what ``before`` did not: a time of day, or another level at one."""
    if before is None:
        before = Season()
    known = any(
        _far(old, new)
        for was, usual in zip(before.usual, now.usual, strict=True)
        for old, new in zip(was, usual, strict=True)
    )
    then = replace(before, slot=now.slot).usual_today
    return known or any(
        _far(was or old, new) for was, old, new in zip(before.today, then, now.today, strict=True)
    )


def begun(known: Season) -> Season:
    """Where a scaler starts that has seen nothing itself: what led up to now is not known."""
    return replace(known, levels=(), recent=b"", call=None)


def _far(old: int, new: int) -> bool:
    return bool(new) and (not old or abs(new - old) > _NEWS)


def _written(row: bytes) -> str:
    """Pairs of a length and a code, as fine as ``_RUNS`` of them allow."""
    runs = next(found for found in (_runs(row, within) for within in range(256)) if found)
    pairs = bytearray()
    for length, code in runs:
        for done in range(0, length, _LONGEST):
            pairs += bytes((min(_LONGEST, length - done), code))
    return base64.b64encode(pairs).decode()


def _runs(row: bytes, within: int) -> list[tuple[int, int]]:
    """Runs of codes that are within so many steps; none where there would be too many."""
    found: list[tuple[int, int]] = []
    length, low, high = 0, 0, 0
    for code in row:
        if within >= _COARSEST and not code:
            code = high
        least, most = min(low, code), max(high, code)
        if length and (bool(code) != bool(high) or most - least > within):
            found.append((length, (low + high + 1) // 2))
            length = 0
        low, high = (least, most) if length else (code, code)
        length += 1
    found.append((length, (low + high + 1) // 2))
    return found if len(found) <= _RUNS else []


def _row(text: str) -> bytes:
    """What ``_written`` made. Raises ValueError for anything else."""
    pairs = base64.b64decode(text, validate=True)
    row = b"".join(
        bytes((code,)) * length for length, code in zip(pairs[::2], pairs[1::2], strict=True)
    )
    if len(row) != PER_DAY:
        raise ValueError(f"a day of {len(row)} slots, not {PER_DAY}")
    return row
