"""What people write about a service on a command line: durations, batch times, prices.

Decides what is understood; everything else is refused in one sentence with an example. Pure.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final

from conch.errors import UsageError
from conch.observe.durations import seconds

LARGEST_BATCH: Final = 4096
MOST_STARTS: Final = 1000
_EXAMPLES: Final = '"40ms+20ms*b" (a batch of b), 250ms, or 60ms,80ms,100ms (batches of 1, 2, 3)'
_PRICE: Final = re.compile(r"([0-9]*\.?[0-9]+)\s*([^\W\d_]{0,8}|[$€£¥])")


@dataclass(frozen=True, slots=True)
class ServiceTime:
    """How long a batch takes: ``base_s + per_item_s * b``, or ``listed_s`` for b = 1, 2, …"""

    base_s: float = 0.0
    per_item_s: float = 0.0
    listed_s: tuple[float, ...] = ()

    def curve_s(self, max_batch: int | None) -> tuple[float, ...]:
        """s(1) … s(max_batch). Raises UsageError when the limit is unknown or can't be met."""
        if self.listed_s:
            if max_batch is None or max_batch == len(self.listed_s):
                return self.listed_s
            raise UsageError(
                f"--service-time lists {len(self.listed_s)} batch sizes,"
                f" and the largest batch is {max_batch}: list as many, or change --max-batch"
            )
        if max_batch is None:
            if self.per_item_s > 0:
                raise UsageError(
                    "the largest batch is not known: give --max-batch,"
                    " or models[].config.maxBatchSize in the service"
                )
            max_batch = 1
        return tuple(self.base_s + self.per_item_s * b for b in range(1, max_batch + 1))


def duration(option: str, text: str, example: str) -> float:
    """Seconds, more than 0. Raises UsageError that names the option."""
    try:
        value = seconds(text.strip().removeprefix("-"))
    except ValueError as error:
        raise UsageError(f"{option} {text}: give a duration such as {example}") from error
    if text.strip().startswith("-") or not value > 0:
        raise UsageError(f"{option} {text}: must be more than zero, such as {example}")
    return value


def cold_starts(text: str) -> tuple[float, ...]:
    """Seconds of ``40s``, or of each of ``35s,40s,150s``. Raises UsageError."""
    found = tuple(duration("--cold-start", part, "40s") for part in text.split(","))
    if len(found) > MOST_STARTS:
        raise UsageError(f"--cold-start lists more than {MOST_STARTS} starts: give a sample")
    return found


def service_time(text: str) -> ServiceTime:
    """Read ``40ms+20ms*b``, ``250ms`` or a list. Raises UsageError with examples."""
    compact = "".join(text.split())
    try:
        if "," in compact:
            return _checked(text, ServiceTime(listed_s=tuple(map(seconds, compact.split(",")))))
        base_s = per_item_s = 0.0
        for term in compact.split("+"):
            factor = _of_batch(term)
            if factor is None:
                base_s += seconds(term)
            else:
                per_item_s += seconds(factor)
    except ValueError as error:
        raise UsageError(f"--service-time {text}: give {_EXAMPLES}") from error
    return _checked(text, ServiceTime(base_s, per_item_s))


def _of_batch(term: str) -> str | None:
    """The factor of ``20ms*b``, ``b*20ms`` or ``20msb``; None for a constant."""
    for pattern in (r"(.+)\*b", r"b\*(.+)"):
        match = re.fullmatch(pattern, term)
        if match is not None:
            return match[1]
    return None


def _checked(text: str, found: ServiceTime) -> ServiceTime:
    times_s = found.listed_s or (found.base_s + found.per_item_s,)
    if not all(0 < t < 86400 for t in times_s):
        raise UsageError(f"--service-time {text}: more than zero, and less than a day")
    if len(times_s) > LARGEST_BATCH:
        raise UsageError(f"--service-time lists more than {LARGEST_BATCH} batch sizes")
    return found


@dataclass(frozen=True, slots=True)
class Price:
    """What one replica costs in an hour; ``unit`` may be empty."""

    per_hour: float
    unit: str = ""


def price(where: str, text: str) -> Price:
    """``0.80``, ``0.80 EUR`` or ``$0.80``, for a replica and an hour; ``where`` it is written."""
    compact = text.strip()
    if compact[:1] in "$€£¥" and compact[1:]:
        compact = compact[1:] + compact[0]
    match = _PRICE.fullmatch(compact)
    if match is None or not math.isfinite(float(match[1])):
        raise UsageError(f"{where} {text}: give a price for an hour, such as 0.80 EUR")
    return Price(float(match[1]), match[2])
