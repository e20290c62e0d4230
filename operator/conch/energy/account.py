"""What one service has spent: totals, the last minutes for figures per inference, the last day.

Time goes forward in steps of the caller; a step in which a price, a power or an intensity was not
known makes the figures that need it unknown for as long as it is in the window, never too small.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from conch.observe.types import Bill

_MINUTE_S: Final = 60.0
_WINDOW_MIN: Final = 10
_LATELY_MIN: Final = 3  # the last of them has just begun
PART_S: Final = 900.0  # of the report's time axis
_PARTS: Final = 96


@dataclass(frozen=True, slots=True)
class Step:
    """One service's spending rates during one step, all its pods together. None: not known."""

    pods: int
    dollars_per_h: float | None
    watts: float | None
    grams_per_h: float | None
    inferences: float
    estimated: bool = False


@dataclass(slots=True)
class Spent:
    """Sums over a span of time; None: not known for all of it."""

    start_s: float
    seconds: float = 0.0
    pod_seconds: float = 0.0
    inferences: float = 0.0
    dollars: float | None = 0.0
    joules: float | None = 0.0
    grams: float | None = 0.0

    def add(self, step: Step, elapsed_s: float) -> None:
        """Another step."""
        self.seconds += elapsed_s
        self.pod_seconds += step.pods * elapsed_s
        self.inferences += step.inferences
        hours = elapsed_s / 3600
        self.dollars = _plus(self.dollars, step.dollars_per_h, hours)
        self.joules = _plus(self.joules, step.watts, elapsed_s)
        self.grams = _plus(self.grams, step.grams_per_h, hours)


def total(spans: Iterable[Spent]) -> Spent:
    """All of them in one."""
    found = Spent(0.0)
    for span in spans:
        found.seconds += span.seconds
        found.pod_seconds += span.pod_seconds
        found.inferences += span.inferences
        found.dollars = _plus(found.dollars, span.dollars, 1.0)
        found.joules = _plus(found.joules, span.joules, 1.0)
        found.grams = _plus(found.grams, span.grams, 1.0)
    return found


def _plus(total: float | None, rate: float | None, time: float) -> float | None:
    return None if total is None or rate is None else total + rate * time


class Account:
    """One service's."""

    def __init__(self) -> None:
        self.minutes: deque[Spent] = deque(maxlen=_WINDOW_MIN)
        self.parts: deque[Spent] = deque(maxlen=_PARTS)
        self._last: Step | None = None

    def add(self, step: Step, elapsed_s: float, wall_s: float) -> None:
        """What was spent in the ``elapsed_s`` until ``wall_s`` (seconds since 1970)."""
        for spans, length_s in ((self.minutes, _MINUTE_S), (self.parts, PART_S)):
            start_s = wall_s - wall_s % length_s
            if not spans or spans[-1].start_s != start_s:
                spans.append(Spent(start_s))
            spans[-1].add(step, elapsed_s)
        self._last = step

    def bill(self, carbon_kind: str) -> Bill | None:
        """As of the last step; None before the first."""
        step = self._last
        if step is None:
            return None
        # Power of a moment is noise, and a mean over pods that come and go lags behind: so the
        # last moments' mean of one pod, times the pods there are.
        lately = total(list(self.minutes)[-_LATELY_MIN:])
        window = total(self.minutes)
        grams_per_h = _of_all(lately.grams, lately.pod_seconds / 3600, step.pods)
        return Bill(
            pods=step.pods,
            dollars_per_h=step.dollars_per_h,
            watts=_of_all(lately.joules, lately.pod_seconds, step.pods),
            grams_per_h=grams_per_h,
            carbon_kind=carbon_kind if grams_per_h is not None else "",
            estimated=step.estimated,
            inferences=window.inferences,
            dollars=window.dollars,
            joules=window.joules,
            grams=window.grams,
        )


def _of_all(sum_of_one: float | None, pod_time: float, pods: int) -> float | None:
    if not pods:
        return 0.0
    return None if sum_of_one is None or pod_time <= 0 else sum_of_one / pod_time * pods
