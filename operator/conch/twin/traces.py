"""What arrives: rates over time with a chosen burstiness, or true arrival times.

Decides which files are traces; refuses the others with one sentence that names line and fix.
"""

from __future__ import annotations

import gzip
import math
import zlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import IO, Final, cast

import numpy as np
import numpy.typing as npt

from conch.autoscale.season import week_s
from conch.errors import UsageError

Floats = npt.NDArray[np.float64]

MOST_REQUESTS: Final = 50_000_000
_DATED_S: Final = 1e9  # a first time beyond it is a date, in seconds since 1970


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """Requests over ``length_s`` seconds.

    Either ``rates`` (requests/s, one per bin of ``bin_s``), from which every seed draws other
    arrivals, or ``times_s``, sorted, which all seeds share. ``dispersion`` is the variance of the
    counts per ``burst_s`` over their mean (1: Poisson); only for rates. ``copies`` of the true
    arrival times are laid over each other, each request moved by up to ``jitter_s`` either way.
    ``week_s`` is when it begins, since Monday, 00:00 UTC: that moment where nothing else is known.
    """

    name: str
    bin_s: float
    rates: Floats
    times_s: Floats | None = None
    dispersion: float = 1.0
    burst_s: float = 0.1
    copies: int = 1
    jitter_s: float = 0.0
    week_s: float = 0.0

    def __post_init__(self) -> None:
        """Raises UsageError for what can't be replayed."""
        if self.rates.size == 0:
            raise UsageError(f"trace {self.name} is empty")
        if not np.isfinite(self.rates).all() or (self.rates < 0).any():
            raise UsageError(f"trace {self.name} has rates that are negative or not a number")
        if not (self.bin_s > 0 and self.burst_s > 0 and self.dispersion >= 1):
            raise UsageError(f"trace {self.name}: bins and bursts last > 0 s, dispersion is >= 1")
        if self.copies < 1 or self.jitter_s < 0:
            raise UsageError(f"trace {self.name}: at least one copy, and no negative jitter")
        if self.requests > MOST_REQUESTS:
            raise UsageError(
                f"trace {self.name} has {self.requests:.3g} requests, more than"
                f" {MOST_REQUESTS:,}: cut or scale it down"
            )

    @property
    def length_s(self) -> float:
        """How long it lasts."""
        return float(self.rates.size * self.bin_s)

    @property
    def requests(self) -> float:
        """Requests expected."""
        if self.times_s is not None:
            return float(self.times_s.size * self.copies)
        return float(self.rates.sum() * self.bin_s)

    @property
    def mean_rps(self) -> float:
        """Mean rate."""
        return self.requests / self.length_s

    def scaled(self, factor: float) -> Trace:
        """``factor`` times the rates; true arrival times become rates per second first."""
        if not (math.isfinite(factor) and factor > 0):
            raise UsageError(f"a trace is scaled by a positive factor, not {factor}")
        return replace(self, rates=self.rates * factor, times_s=None, copies=1, jitter_s=0.0)

    def jittered(self, copies: int = 10, jitter_s: float = 30.0) -> Trace:
        """True arrival times, laid over themselves: more load of the same shape."""
        if self.times_s is None:
            raise UsageError(f"trace {self.name} has no arrival times to copy: scale it")
        rates = self.rates * copies / self.copies
        return replace(self, rates=rates, copies=copies, jitter_s=jitter_s)

    def arrivals(self, seed: int) -> Floats:
        """Sorted arrival times in seconds."""
        random = np.random.default_rng((seed, 0x7ACE))
        if self.times_s is not None:
            return self._copied(self.times_s, random)
        if self.dispersion == 1:
            counts = random.poisson(self.rates * self.bin_s)
            edges_s, width_s = np.arange(self.rates.size) * self.bin_s, self.bin_s
        else:
            cells = max(1, round(self.bin_s / self.burst_s))
            width_s = self.bin_s / cells
            means = np.repeat(self.rates * width_s, cells)
            shape = np.maximum(means, 1e-12) / (self.dispersion - 1)
            counts = random.poisson(random.gamma(shape, self.dispersion - 1))
            edges_s = np.arange(means.size) * width_s
        times = np.repeat(edges_s, counts) + random.random(int(counts.sum())) * width_s
        times.sort()
        return np.minimum(times, np.nextafter(self.length_s, 0))

    def _copied(self, times_s: Floats, random: np.random.Generator) -> Floats:
        if self.copies == 1 and self.jitter_s == 0:
            return times_s
        times = np.repeat(times_s, self.copies)
        times += random.uniform(-self.jitter_s, self.jitter_s, times.size)
        # What would fall off an end comes back from it, so that no request is lost.
        times = np.abs(times)
        times = np.where(times < self.length_s, times, 2 * self.length_s - times)
        times = np.clip(times, 0.0, np.nextafter(self.length_s, 0))
        times.sort()
        return times


def of_rates(name: str, rates: npt.ArrayLike, bin_s: float = 1.0) -> Trace:
    """A trace of rates in requests/s, one per ``bin_s``."""
    return Trace(name, bin_s, np.asarray(rates, dtype=np.float64))


def of_times(name: str, times_s: npt.ArrayLike, length_s: float | None = None) -> Trace:
    """A trace of true arrival times, sorted, from 0; ends ``length_s``, or just after the last."""
    times = np.asarray(times_s, dtype=np.float64)
    if times.size == 0:
        raise UsageError(f"trace {name} is empty")
    if not np.isfinite(times).all() or times[0] < 0 or (np.diff(times) < 0).any():
        raise UsageError(f"trace {name}: arrival times must be finite, sorted and not negative")
    end_s = times[-1] + 1e-9 if length_s is None else length_s
    if end_s <= times[-1]:
        raise UsageError(f"trace {name} ends at {end_s:g} s, before its last arrival")
    rates = np.bincount(times.astype(np.int64), minlength=max(1, math.ceil(end_s)))
    return Trace(name, 1.0, rates.astype(np.float64), times)


# --- files ----------------------------------------------------------------------------------------

_LONGEST_LINE: Final = 4096
_RATE_COLUMNS: Final = frozenset({"rate", "rps", "qps", "rate_rps", "requests_per_second"})
_TIME_COLUMNS: Final = frozenset({"time", "time_s", "timestamp", "arrival", "arrival_s", "t"})
_REGULAR: Final = 1e-3  # of a bin: times of rates may be off by this


def load(path: Path) -> Trace:
    """Read a trace; plain or gzip.

    Rates: one number (requests/s) per line and second, or two columns, time in seconds and rate,
    at even distances. Arrivals: a table whose first column, named time or timestamp, is when each
    request arrived, in seconds or as date and time; other columns are left alone.
    Raises UsageError with the line and the fix.
    """
    name = path.name.removesuffix(".gz").rsplit(".", 1)[0]
    try:
        with path.open("rb") as file:
            unpacked = (
                cast("IO[bytes]", gzip.GzipFile(fileobj=file)) if path.suffix == ".gz" else file
            )
            return _read(name, _lines(name, unpacked))
    except (OSError, EOFError, zlib.error) as error:
        raise UsageError(f"trace {path} can't be read: {error}") from error


_Line = tuple[int, list[str]]


def _lines(name: str, file: IO[bytes]) -> Iterator[_Line]:
    """Number and cells of each line that says something."""
    number = 0
    while raw := file.readline(_LONGEST_LINE + 1):
        number += 1
        if len(raw) > _LONGEST_LINE:
            raise _bad(name, number, "is longer than 4096 characters", "give one value per line")
        try:
            text = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip()
        except UnicodeDecodeError as error:
            raise _bad(name, number, "is not text", "give a text or CSV file") from error
        if text and not text.startswith("#"):
            yield number, [cell.strip() for cell in text.split(",")]


def _bad(name: str, line: int, what: str, fix: str) -> UsageError:
    return UsageError(f"trace {name}, line {line} {what}: {fix}")


def _read(name: str, lines: Iterator[_Line]) -> Trace:
    first = next(lines, None)
    if first is None:
        raise UsageError(f"trace {name} is empty: give one rate per line, or a table of arrivals")
    columns = [cell.lower() for cell in first[1]]
    named = columns[0] in _TIME_COLUMNS or columns[0] in _RATE_COLUMNS
    if not named:
        lines = chain([first], lines)
    if len(columns) == 2 and (not named or columns[1] in _RATE_COLUMNS):
        return _timed_rates(name, lines)
    if named and columns[0] in _TIME_COLUMNS:
        return _arrivals(name, lines)
    if len(columns) > 1:
        raise _bad(name, first[0], "has several columns without a name", "begin with time,rate")
    return _rates(name, lines)


def _number(name: str, line: int, text: str) -> float:
    try:
        value = float(text)
    except ValueError as error:
        raise _bad(name, line, f"has {text!r:.40}", "give a number") from error
    if not math.isfinite(value):
        raise _bad(name, line, f"has {text!r:.40}", "give a finite number")
    return value


def _rate(name: str, line: int, text: str) -> float:
    value = _number(name, line, text)
    if value < 0:
        raise _bad(name, line, f"has a rate of {value:g}", "rates are 0 or more requests/s")
    return value


def _bounded(name: str, lines: Iterator[_Line]) -> Iterator[_Line]:
    for count, (line, cells) in enumerate(lines):
        if count >= MOST_REQUESTS:
            raise _bad(name, line, f"is beyond {MOST_REQUESTS:,} entries", "cut the trace")
        yield line, cells


def _rates(name: str, lines: Iterator[_Line]) -> Trace:
    rates = array("d")
    for line, cells in _bounded(name, lines):
        if len(cells) != 1:
            raise _bad(name, line, f"has {len(cells)} columns", "give one rate per line")
        rates.append(_rate(name, line, cells[0]))
    return of_rates(name, _some(name, rates))


def _timed_rates(name: str, lines: Iterator[_Line]) -> Trace:
    times, rates = array("d"), array("d")
    for line, cells in _bounded(name, lines):
        if len(cells) != 2:
            raise _bad(name, line, f"has {len(cells)} columns", "give time,rate")
        time_s = _time(name, line, cells[0])
        if times and time_s <= times[-1]:
            raise _bad(name, line, "is not later than the one before", "sort the trace by time")
        if len(times) >= 2:
            bin_s, step_s = times[1] - times[0], time_s - times[-1]
            if abs(step_s - bin_s) > _REGULAR * bin_s:
                what = f"is {step_s:g} s after the one before, others {bin_s:g} s"
                raise _bad(name, line, what, "give a rate for every step, 0 where nothing came")
        times.append(time_s)
        rates.append(_rate(name, line, cells[1]))
    bin_s = times[1] - times[0] if len(times) > 1 else 1.0
    return _begun(of_rates(name, _some(name, rates), bin_s), times[0] if times else 0.0)


def _arrivals(name: str, lines: Iterator[_Line]) -> Trace:
    times = array("d")
    for line, cells in _bounded(name, lines):
        time_s = _time(name, line, cells[0])
        if times and time_s < times[-1]:
            raise _bad(name, line, "is earlier than the one before", "sort the trace by time")
        times.append(time_s)
    found = _some(name, times)
    return _begun(of_times(name, found - found[0]), float(found[0]))


def _begun(trace: Trace, first_s: float) -> Trace:
    """The trace that begins at ``first_s``, if that is a date."""
    if first_s < _DATED_S:
        return trace
    return replace(trace, week_s=week_s(first_s))


def _time(name: str, line: int, text: str) -> float:
    """Seconds; of a date and time, since 1970."""
    if "-" not in text[1:] and ":" not in text:
        return _number(name, line, text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return _number(name, line, text)  # 1e-3, or its refusal
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _some(name: str, values: array[float]) -> Floats:
    if not values:
        raise UsageError(f"trace {name} has a header and nothing else: add lines")
    return np.frombuffer(values, dtype=np.float64).copy()
