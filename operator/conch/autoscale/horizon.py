"""How far ahead to look, and how much may arrive by then.

Decides the cold start to plan with and an upper bound of demand over it, from counts alone. It
knows nothing of replicas. Pure.

Demand is taken as steady (or on a straight line) since its last change. A change is declared when
the newest counts could hardly come from what was before (a likelihood test on square roots, where
Poisson counts have the same variance at every rate); what was before is then forgotten. So a step
is believed at once when it is clear, and noise is averaged away when there is none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from conch.autoscale.signals import Interval

PRIOR_COLD_START_S: Final = 30.0  # until one was measured
MAX_HORIZON_S: Final = 600.0
_STUCK: Final = 4.0  # times the usual cold start
WINDOW_S: Final = 60.0
_BOUND_Z: Final = 2.0  # standard deviations between the estimate and the bound
_ENOUGH_MARGIN: Final = 0.1  # of the level: two errors of a short look would be more
_BURST_Z: Final = 1.65
_TREND_Z: Final = 2.0  # a slope counts for what it exceeds this many standard errors
_FIRST_LOOKS_S: Final = 10.0  # after a start, noise alone is no reason to scale
# Newest intervals pooled, and the deviation at which they are a change. At two seconds a look,
# 4.5 and 3.8 mean a false alarm every few hours; it only makes the bound wider for a while.
_TESTS: Final = ((1, 4.5), (2, 4.0), (5, 3.8), (10, 3.8))
_FORGET_DISPERSION: Final = 1 / 100  # per interval
_TOLERATED_DISPERSION: Final = 1.25


@dataclass(frozen=True, slots=True)
class Point:
    """One interval of one model, as the estimate needs it."""

    end_s: float
    length_s: float
    rate: float
    slack: float


@dataclass(frozen=True, slots=True)
class Demand:
    """What is known of one model's arrivals. Immutable: ``after`` gives the next one."""

    points: tuple[Point, ...] = ()  # since the last change, at most WINDOW_S
    dispersion: float = 1.0  # variance of counts over a Poisson process's
    changed: bool = False  # whether the points begin at a change; else at the first look

    def after(self, interval: Interval) -> Demand:
        """With one more interval."""
        point = Point(interval.end_s, interval.length_s, interval.rate, interval.slack)
        dispersion = self.dispersion
        if self.points:
            surprise = min(9.0, _deviation(self.points, (point,), 1.0) ** 2)
            dispersion += (surprise - dispersion) * _FORGET_DISPERSION
        points = (*self.points, point)
        points = tuple(p for p in points if point.end_s - p.end_s < WINDOW_S)
        for newest, limit in _TESTS:
            before, after = points[:-newest], points[-newest:]
            if before and abs(_deviation(before, after, max(1.0, dispersion))) > limit:
                return Demand(after, dispersion, changed=True)
        return Demand(points, dispersion, self.changed)

    def estimate(self, now_s: float) -> Estimate:
        """Level, trend and uncertainty as of ``now_s``. Needs at least one point."""
        length, level, center = _mean(self.points)
        noise = max(1.0, self.dispersion)
        slack = self.points[-1].slack / length**2
        # One request more than was counted: zero in a minute is not zero for ever.
        variance = noise * (level + 0.5 / length) / length + slack
        slope = 0.0
        spread = sum(p.length_s * (_middle(p) - center) ** 2 for p in self.points)
        if len(self.points) >= 5 and spread > 0:
            slope = sum(p.length_s * (_middle(p) - center) * (p.rate - level) for p in self.points)
            doubt = _TREND_Z * math.sqrt((noise * level + 2 * slack * length) * spread)
            slope = math.copysign(max(0.0, abs(slope) - doubt), slope) / spread
        level = max(0.0, level + slope * (now_s - center))
        burst = max(0.0, noise - _TOLERATED_DISPERSION) * level / self.points[-1].length_s
        return Estimate(
            level=level,
            error=math.sqrt(variance),
            slope=slope,
            burst=_BURST_Z * math.sqrt(burst),
            first_looks=not self.changed and length < _FIRST_LOOKS_S,
        )


@dataclass(frozen=True, slots=True)
class Estimate:
    """Requests/s now, its standard error, its slope per second, and local bursts on top."""

    level: float
    error: float
    slope: float
    burst: float
    first_looks: bool

    def bound(self, horizon_s: float) -> float:
        """The most to expect within ``horizon_s``; the trend at most doubles the level."""
        rise = min(max(0.0, self.slope) * horizon_s, self.level)
        margin = min(_BOUND_Z * self.error, max(self.error, _ENOUGH_MARGIN * self.level))
        if self.first_looks:
            margin = 0.0
        return self.level + rise + margin + self.burst


def cold_start_s(measured: Sequence[float], starting_age_s: Sequence[float]) -> float:
    """Seconds from asking for a replica to its first request: a high quantile of the last ones.

    A replica that takes longer than any before shows that the estimate is too low; one that takes
    several times longer is stuck, and shows nothing.
    """
    times = sorted(measured[-20:])
    usual = times[math.ceil(0.9 * len(times)) - 1] if times else PRIOR_COLD_START_S
    slowest = max((age for age in starting_age_s if age < _STUCK * usual), default=0.0)
    return min(MAX_HORIZON_S, max(usual, slowest))


def _mean(points: Sequence[Point]) -> tuple[float, float, float]:
    """Total seconds, mean rate, and the middle of time."""
    length = sum(p.length_s for p in points)
    level = sum(p.rate * p.length_s for p in points) / length
    center = sum(_middle(p) * p.length_s for p in points) / length
    return length, level, center


def _middle(point: Point) -> float:
    return point.end_s - point.length_s / 2


def _deviation(before: Sequence[Point], after: Sequence[Point], dispersion: float) -> float:
    """How many standard deviations the counts of ``after`` are off what ``before`` promises."""
    then = Demand(tuple(before)).estimate(_mean(after)[2])
    length = sum(p.length_s for p in after)
    seen = sum(p.rate * p.length_s for p in after)
    expected = then.level * length
    difference = 2 * (math.sqrt(seen + 0.375) - math.sqrt(expected + 0.375))
    # the estimate's own error, in counts relative to the Poisson variance, and Triton's slack
    own = (then.error * length) ** 2 / (expected + 1)
    slack = 2 * after[-1].slack / (expected + 1)
    return difference / math.sqrt(dispersion + own + slack)
