"""What the coming demand is measured against: several readings of the past, none of them trusted.

Decides what the last moments, a longer mean, a trend or a period would lead one to expect. Which of
them to believe, and by how much to exceed it, is found out elsewhere. Slots are about five seconds
long and equally so. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

NUMBER: Final = 5
LINE: Final = 2  # among ``bases``
PERIODIC: Final = 4
_FIVE_MINUTES: Final = 60  # slots
_KEEP: Final = 1 - 1 / 720
_TREND: Final = 24
_TREND_FEWEST: Final = 8
_SURE: Final = 2.0  # standard errors: the part of a slope beyond them counts
_STEEPEST: Final = 2.0  # times the level
_COARSE: Final = 3  # slots in one point of the search for periods
_SHORTEST: Final = 4  # points
_CYCLES: Final = 2.5  # at least so many must have been seen
_ALIKE: Final = 0.6  # correlation of one period with the next
_UNLIKE: Final = 0.3  # and somewhere in between
_LEAST_SWING: Final = 0.1  # standard deviation over mean; less is not worth a forecast


@dataclass(frozen=True, slots=True)
class Return:
    """How much of a deviation from the mean is still there at the horizon: a regression of
    logarithms, through past slots. Sums are forgotten in about an hour."""

    weight: float = 20.0  # of the prior: all of it
    products: float = 0.05 * 20.0
    squares: float = 0.05 * 20.0

    @property
    def stays(self) -> float:
        """1: demand stays where it is; 0: it is back at its mean."""
        return min(1.0, max(0.0, self.products / self.squares))

    def after(self, level: float, mean: float, highest: float) -> Return:
        """With one more slot whose horizon has passed."""
        if min(level, mean, highest) <= 0:
            return self
        # Differences of logarithms: a quotient of tiny numbers may be zero, which has none.
        usual = math.log(mean)
        off, later = math.log(level) - usual, math.log(highest) - usual
        return Return(
            self.weight * _KEEP + 1,
            self.products * _KEEP + off * later,
            self.squares * _KEEP + off * off,
        )


def bases(
    level: float,
    levels: Sequence[float],
    demand: Sequence[float],
    ahead: int,
    stays: float,
    period: int,
) -> tuple[float, ...]:
    """The last moments, the way back to the mean, the line through five minutes, the trend of two,
    the period before.

    ``levels`` and ``demand`` end with the newest slot; ``ahead`` is how many slots to look ahead.
    """
    mean = usual(demand)
    return (
        level,
        mean * (level / mean) ** stays if mean > 0 and level > 0 else level,
        line(level, demand[-_FIVE_MINUTES:], ahead),
        level + min(_STEEPEST * level, ahead * rising(demand[-_TREND:])),
        before(levels, len(levels) - 1, ahead, period),
    )


def usual(demand: Sequence[float]) -> float:
    """The mean of the last five minutes."""
    return _mean(demand[-_FIVE_MINUTES:])


def line(level: float, demand: Sequence[float], ahead: int) -> float:
    """The higher end, now or ``ahead``, of the line through ``demand``: noise is averaged away as
    in a mean, but it doesn't lag behind what grows or falls."""
    count = len(demand)
    if count < _TREND_FEWEST:
        return level
    slope = _slope(demand)
    now = _mean(demand) + slope * (count - 1) / 2
    most = (1 + _STEEPEST) * level
    return max(0.0, now, min(most, now + slope * ahead))


def rising(demand: Sequence[float]) -> float:
    """By how much demand grows per slot, as far as it is sure; never negative."""
    count = len(demand)
    if count < _TREND_FEWEST:
        return 0.0
    mean, slope = _mean(demand), _slope(demand)
    spread = _spread(count)
    if slope <= 0:
        return 0.0
    rest = sum((x - mean) ** 2 for x in demand) - slope * slope * spread
    error = math.sqrt(max(0.0, rest) / (count - 2) / spread)
    return max(0.0, slope - _SURE * error)


def _slope(demand: Sequence[float]) -> float:
    """Of the line with the least squares, per slot."""
    middle = (len(demand) - 1) / 2
    return sum((i - middle) * x for i, x in enumerate(demand)) / _spread(len(demand))


def _spread(count: int) -> float:
    return count * (count * count - 1) / 12


def before(levels: Sequence[float], slot: int, ahead: int, period: int) -> float:
    """The highest level of the ``ahead`` slots after ``slot``, a whole number of periods ago."""
    if period <= 0:
        return levels[slot]
    start = slot + 1 - math.ceil(ahead / period) * period
    if start < 0:
        return levels[slot]
    return max(levels[start : start + ahead])


def period_of(demand: Sequence[float]) -> int:
    """The length in slots after which demand repeats itself; 0 when it does not."""
    points = [
        sum(demand[i : i + _COARSE]) / _COARSE
        for i in range(len(demand) % _COARSE, len(demand), _COARSE)
    ]
    if len(points) < _SHORTEST * _CYCLES:
        return 0
    mean = _mean(points)
    points = [x - mean for x in points]
    power = sum(x * x for x in points) / len(points)
    if power <= (_LEAST_SWING * mean) ** 2:
        return 0
    alike = [
        _alike(points, lag) / power if lag >= _SHORTEST else 1.0
        for lag in range(int(len(points) / _CYCLES))
    ]
    low = next((lag for lag, r in enumerate(alike) if r < _UNLIKE), len(alike))
    best = max(alike[low:], default=0.0)
    if best < _ALIKE:
        return 0
    # The shortest of those that are as good: two periods repeat as well as one.
    near = next(lag for lag in range(low, len(alike)) if alike[lag] >= 0.9 * best)
    while near + 1 < len(alike) and alike[near + 1] > alike[near]:
        near += 1
    fine = [x - mean for x in demand]
    lags = range(near * _COARSE - _COARSE, near * _COARSE + _COARSE + 1)
    return max(lags, key=lambda lag: _alike(fine, lag))


def _alike(values: Sequence[float], lag: int) -> float:
    return sum(map(_times, values, values[lag:])) / (len(values) - lag)


def _times(a: float, b: float) -> float:
    return a * b


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
