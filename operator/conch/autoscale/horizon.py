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
RECENT_S: Final = 15.0  # of arrivals: what is called now, unless they changed since
_SAME_S: Final = 0.1
_ENOUGH: Final = 400.0  # requests: their number is known to a twentieth
_TREND_Z: Final = 2.0  # a slope counts for what it exceeds this many standard errors
# Newest intervals pooled, and the deviation at which they are a change. At two seconds a look,
# 4.5 and 3.8 mean a false alarm every few hours; it only makes the bound wider for a while.
_TESTS: Final = ((1, 4.5), (2, 4.0), (5, 3.8), (10, 3.8))
_FORGET_DISPERSION: Final = 1 / 100  # per interval


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
        newest = Point(interval.end_s, interval.length_s, interval.rate, interval.slack)
        points = (*(p for p in self.points if newest.end_s - p.end_s < WINDOW_S), newest)
        sums = _cumulated(points)
        noise = max(1.0, self.dispersion)
        dispersion = self.dispersion
        for count, limit in _TESTS:
            if len(points) <= count:
                break
            deviation = _deviation(sums[-count - 1], sums[-1], noise)
            if count == 1:
                surprise = min(9.0, deviation**2 * noise)
                dispersion += (surprise - dispersion) * _FORGET_DISPERSION
            if abs(deviation) > limit:
                return Demand(points[-count:], dispersion, changed=True)
        return Demand(points, dispersion, self.changed)

    def level(self) -> float:
        """Requests/s over the last moments, longer where few come, or since the last change.
        Needs at least one point."""
        newest_s = self.points[-1].end_s
        counted = length_s = 0.0
        for point in reversed(self.points):
            age_s = newest_s - point.end_s
            if age_s >= RECENT_S - _SAME_S and counted >= _ENOUGH:
                break
            counted += point.rate * point.length_s
            length_s += point.length_s
        return counted / length_s


def cold_start_s(measured: Sequence[float], starting_age_s: Sequence[float]) -> float:
    """Seconds from asking for a replica to its first request: a high quantile of the last ones.

    A replica that takes longer than any before shows that the estimate is too low; one that takes
    several times longer is stuck, and shows nothing.
    """
    times = sorted(measured[-20:])
    usual = times[math.ceil(0.9 * len(times)) - 1] if times else PRIOR_COLD_START_S
    slowest = max((age for age in starting_age_s if age < _STUCK * usual), default=0.0)
    return min(MAX_HORIZON_S, max(usual, slowest))


@dataclass(frozen=True, slots=True)
class _Sums:
    """Sums over points from the first on, weighted by their length; times since ``origin_s``."""

    origin_s: float
    points: int
    length_s: float
    counted: float  # requests
    times: float
    times_squared: float
    times_counted: float
    slack: float  # of the last point

    def line(self, now_s: float, noise: float) -> tuple[float, float, float]:
        """Rate at ``now_s``, its standard error, and slope: what the slope is sure of only."""
        mean = self.counted / self.length_s
        center = self.times / self.length_s
        spread = max(0.0, self.times_squared - self.times * center)
        # Half a request more than was counted: none in a minute is not none for ever.
        variance = noise * (self.counted + 0.5) / self.length_s**2 + self.slack / self.length_s**2
        if self.points < 5 or spread <= 0:
            return mean, math.sqrt(variance), 0.0
        covariance = self.times_counted - mean * self.times
        doubt = _TREND_Z * math.sqrt((noise * mean + 2 * self.slack * self.length_s) * spread)
        slope = math.copysign(max(0.0, abs(covariance) - doubt), covariance) / spread
        ahead = now_s - self.origin_s - center
        return max(0.0, mean + slope * ahead), math.sqrt(variance), slope


def _cumulated(points: Sequence[Point]) -> list[_Sums]:
    """The sums up to each point: one pass serves every test."""
    origin_s = points[0].end_s
    found = []
    length_s = counted = times = times_squared = times_counted = 0.0
    for number, point in enumerate(points, 1):
        at = point.end_s - point.length_s / 2 - origin_s
        requests = point.rate * point.length_s
        length_s += point.length_s
        counted += requests
        times += at * point.length_s
        times_squared += at * at * point.length_s
        times_counted += at * requests
        sums = (length_s, counted, times, times_squared, times_counted)
        found.append(_Sums(origin_s, number, *sums, slack=point.slack))
    return found


def _deviation(before: _Sums, total: _Sums, noise: float) -> float:
    """How many standard deviations the counts since ``before`` are off what it promises."""
    length_s = total.length_s - before.length_s
    seen = max(0.0, total.counted - before.counted)
    middle_s = total.origin_s + (total.times - before.times) / length_s
    level, error, _ = before.line(middle_s, noise)
    expected = level * length_s
    difference = 2 * (math.sqrt(seen + 0.375) - math.sqrt(expected + 0.375))
    # the promise's own error, in counts over the Poisson variance, and Triton's slack
    own = (error * length_s) ** 2 / (expected + 1)
    slack = 2 * total.slack / (expected + 1)
    return difference / math.sqrt(noise + own + slack)
