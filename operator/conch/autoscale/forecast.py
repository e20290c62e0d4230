"""The most that may come until a new replica is ready: what came of it so far, in ratios.

Decides how much more than now to expect, at several levels of confidence; it knows nothing of
replicas. Every few seconds a *slot* is recorded. Once the horizon behind a slot has passed, the
highest demand in it over what the slot led one to expect (its ``bases``) is one more known ratio;
quantiles of the last hour's ratios are the forecast (online conformal prediction: no distribution
is assumed, drift is followed). Where demand returns to its mean, a long base is the better guess;
where it climbs, the trend; where it repeats itself, what came a period ago. Pure.
"""

from __future__ import annotations

import math
from array import array
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from conch.autoscale.bases import NUMBER, PERIODIC, Return, bases, before, period_of, usual

SLOT_S: Final = 5.0
# How boldly to forecast: a quantile, and a factor for what is below all of them.
LEVELS: Final = (
    (0.15, 0.9),
    (0.15, 0.95),
    (0.15, 1.0),
    (0.3, 1.0),
    (0.5, 1.0),
    (0.7, 1.0),
    (0.85, 1.0),
    (0.95, 1.0),
)
BASES: Final = NUMBER
_KEPT: Final = 720  # ratios, and slots
_FEW: Final = 12  # ratios; fewer say nothing
_ENOUGH: Final = 60
_PRIOR: Final = 1.2  # until then, at the quantile below
_PRIOR_AT: Final = 0.8
_NOTHING: Final = 0.03  # busy replicas: a rise from nothing is no ratio
_MOST: Final = 8.0
_LEAST_OF_LEVEL: Final = 0.75
_SEEK: Final = 60  # slots between two searches for a period
_SLOWING_S: Final = 120.0  # over which a service that becomes slower is watched
_DRIFT: Final = 0.03  # of the work in one look; more is no drift but a jump, or first knowledge
_MOST_SLOWING: Final = 1.2


def _none() -> array[float]:
    return array("d")


@dataclass(frozen=True, slots=True)
class Forecast:
    """What is known of how demand rises. Arrays are values here: never changed in place.

    ``level`` is the caller's estimate at each slot, ``demand`` what came in the slot alone;
    ``rises[base][boldness]`` is the factor to expect over the horizon.
    """

    at_s: array[float] = field(default_factory=_none)
    level: array[float] = field(default_factory=_none)
    demand: array[float] = field(default_factory=_none)
    bases: tuple[array[float], ...] = tuple(_none() for _ in range(BASES))
    ratios: tuple[array[float], ...] = tuple(_none() for _ in range(BASES))
    judged: int = 0  # slots from the first one on whose horizon has passed
    rises: tuple[tuple[float, ...], ...] = ()
    back: Return = field(default_factory=Return)
    period: int = 0  # slots; 0 where nothing repeats itself
    sought: int = 0  # slots since the last search for one
    slowing: float = 0.0  # logarithm of how much heavier requests became within _SLOWING_S
    growth: float = 1.0  # of their weight until the horizon, if that goes on

    def after(self, at_s: float, level: float, demand: float, horizon_s: float) -> Forecast:
        """With one more slot that ends at ``at_s``."""
        known = self._repeating(horizon_s)
        times, levels = _with(known.at_s, at_s), _with(known.level, level)
        demands = _with(known.demand, demand)
        ahead = known._slots(horizon_s)
        based = tuple(
            _with(column, value)
            for column, value in zip(
                known.bases,
                bases(level, levels, demands, ahead, known.back.stays, known.period),
                strict=True,
            )
        )
        judged, back = known.judged, known.back
        found: tuple[list[float], ...] = tuple([] for _ in range(BASES))
        while times[judged] + horizon_s <= at_s:
            end = bisect_right(times, times[judged] + horizon_s)
            highest = max(levels[judged + 1 : end], default=levels[judged])
            for ratios, base in zip(found, based, strict=True):
                ratios.append(_ratio(highest, base[judged]))
            back = back.after(levels[judged], usual(demands[: judged + 1]), highest)
            judged += 1
        kept = tuple(
            (old + array("d", new))[-_KEPT:] if new else old
            for old, new in zip(known.ratios, found, strict=True)
        )
        drop = max(0, len(times) - _KEPT)
        return Forecast(
            times[drop:],
            levels[drop:],
            demands[drop:],
            tuple(base[drop:] for base in based),
            kept,
            max(0, judged - drop),
            tuple(_quantiles(ratios) for ratios in kept),
            back,
            known.period,
            known.sought + 1,
            known.slowing,
            known.growth,
        )

    def weighed(self, factor: float, seconds: float, horizon_s: float) -> Forecast:
        """After ``seconds`` in which the work of a request changed by ``factor``: what came before
        is counted as the work that it would be now. A service that becomes slower step by step is
        expected to go on doing so until the horizon."""
        slowing = self.slowing * math.exp(-seconds / _SLOWING_S)
        slowing += min(_DRIFT, max(-_DRIFT, math.log(factor)))
        growth = math.exp(max(0.0, slowing) * horizon_s / _SLOWING_S)
        known = replace(self, slowing=slowing, growth=min(_MOST_SLOWING, growth))
        if factor == 1:
            return known
        return replace(
            known,
            level=_scaled(self.level, factor),
            demand=_scaled(self.demand, factor),
            bases=tuple(_scaled(base, factor) for base in self.bases),
        )

    def _repeating(self, horizon_s: float) -> Forecast:
        """With a period looked for when it is time; what it would have led to is found out from
        the start: a new period needs no probation of its own."""
        if self.sought < _SEEK:
            return self
        period = period_of(self.demand)
        if period == self.period or not self.judged:
            return replace(self, sought=0)
        ahead = self._slots(horizon_s)
        base = array("d", (before(self.level, i, ahead, period) for i in range(len(self.level))))
        first = math.ceil(ahead / period) * period if period else 0
        ratios = array("d")
        for i in range(min(first, self.judged), self.judged):
            highest = max(self.level[i + 1 : i + 1 + ahead], default=self.level[i])
            ratios.append(_ratio(highest, base[i]))
        return replace(
            self,
            bases=(*self.bases[:PERIODIC], base),
            ratios=(*self.ratios[:PERIODIC], ratios),
            period=period,
            sought=0,
        )

    def _slots(self, horizon_s: float) -> int:
        lasted_s = self.at_s[-1] - self.at_s[0] if len(self.at_s) > 1 else 0.0
        lasted_s = lasted_s or SLOT_S  # two slots may end with the same look
        return max(1, math.ceil(horizon_s * max(1, len(self.at_s) - 1) / lasted_s))

    def expected(self, base: int, boldness: int, level: float) -> float:
        """The most to expect over the horizon, now that demand is at ``level``: never much less
        than that, whatever the past says; and no less once demand is beyond what the most cautious
        forecast from this base expected: then the past is over."""
        if not self.rises:
            return level * self.growth * _prior(*LEVELS[boldness])
        start = self.bases[base][-1] if base and self.at_s else level
        over = level > start * self.rises[base][-1]
        least = level * (1.0 if over else _LEAST_OF_LEVEL)
        return self.growth * max(start * self.rises[base][boldness], least)

    def detached(self) -> Forecast:
        """What holds whatever the clock does: ratios without their times."""
        return Forecast(ratios=self.ratios, rises=self.rises, back=self.back)


def _with(known: array[float], value: float) -> array[float]:
    longer = known[:]
    longer.append(value)
    return longer


def _scaled(known: array[float], factor: float) -> array[float]:
    return array("d", [value * factor for value in known])


def _ratio(highest: float, base: float) -> float:
    return min(_MOST, (highest + _NOTHING) / (base + _NOTHING))


def _prior(quantile: float, factor: float) -> float:
    return factor * (1 + (_PRIOR - 1) * min(1.0, quantile / _PRIOR_AT))


def _quantiles(ratios: Sequence[float]) -> tuple[float, ...]:
    ranked, count = sorted(ratios), len(ratios)
    found = []
    for quantile, factor in LEVELS:
        prior = _prior(quantile, factor)
        if count < _FEW:
            found.append(prior)
            continue
        value = factor * ranked[min(count - 1, math.ceil(quantile * (count + 1)) - 1)]
        if count < _ENOUGH:
            trust = count / _ENOUGH
            value = trust * value + (1 - trust) * max(value, prior)
        found.append(value)
    return tuple(found)
