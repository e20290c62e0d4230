"""What a service has taught: forecasts, shadows of every setting, the error budget, the routing.

Decides how many replicas the demand of this moment asks for, and how many the hold time keeps; the
rules around it (data missing, limits, pace) are ``decide``'s. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from conch.autoscale.budget import Budget
from conch.autoscale.correction import FACTORS, Correction
from conch.autoscale.fleet import Fleet
from conch.autoscale.forecast import SLOT_S, Forecast
from conch.autoscale.shadows import Shadows

_SLACK_SLOT_S: Final = 1.5  # looks are not on the dot, nor are the scrapes behind them
_CERTAIN: Final = 1000.0  # requests in a slot
_EVENNESS_PRIOR: Final = 0.7
_EVENNESS_PRIOR_WEIGHT: Final = 20.0  # degrees of freedom: pods beyond the first, per look
_EVENNESS_WEIGHT: Final = 400.0
_EVEN, _RANDOM = 0.5, 0.9  # variance of pods' arrivals over a Poisson process's


@dataclass(frozen=True, slots=True)
class Moment:
    """One look at a service as tuning needs it: demand in busy replicas, requests counted.

    ``level`` is the demand now, ``demand`` what came since the last look; ``heavier`` is the work
    of a request over what it was at the last look; ``slack_s`` is how long a request may wait in
    the queue and still be in time; ``lag_s`` is how old the counts are when they are looked at;
    ``strength`` is what a replica carries over one of those that demand is counted in.
    """

    at_s: float
    level: float
    demand: float
    seconds: float
    arrived: float
    late: float
    late_seen: bool
    reporting: int
    unevenness: float | None
    slack_s: float
    cold_start_s: float
    horizon_s: float
    lag_s: float = 0.0
    heavier: float = 1.0
    strength: float = 1.0


@dataclass(frozen=True, slots=True)
class Tuning:
    """Everything learned for one service. The last fields gather looks until a slot is full."""

    forecast: Forecast = field(default_factory=Forecast)
    shadows: Shadows = field(default_factory=Shadows)
    budget: Budget = field(default_factory=Budget)
    correction: Correction = field(default_factory=Correction)
    unevenness: float = _EVENNESS_PRIOR
    unevenness_weight: float = _EVENNESS_PRIOR_WEIGHT
    seconds: float = 0.0
    demand_s: float = 0.0
    arrived: float = 0.0
    late: float = 0.0

    @property
    def evenness(self) -> float:
        """1 where the least busy replica is chosen, 0 where any is; in tenths."""
        return round(min(1.0, max(0.0, (_RANDOM - self.unevenness) / (_RANDOM - _EVEN))), 1)

    def after(self, moment: Moment, fleet: Fleet, least: int, most: int) -> Tuning:
        """With one more look."""
        unevenness, weight = self.unevenness, self.unevenness_weight
        if moment.unevenness is not None:
            weight = min(_EVENNESS_WEIGHT, weight + moment.reporting - 1)
            unevenness += (moment.unevenness - unevenness) * (moment.reporting - 1) / weight
        forecast = self.forecast.weighed(moment.heavier, moment.seconds, moment.horizon_s)
        gathered = replace(
            self,
            forecast=forecast,
            unevenness=unevenness,
            unevenness_weight=weight,
            seconds=self.seconds + moment.seconds,
            demand_s=self.demand_s * moment.heavier + moment.demand * moment.seconds,
            arrived=self.arrived + moment.arrived,
            late=self.late + moment.late,
        )
        if gathered.seconds < SLOT_S - _SLACK_SLOT_S:
            return gathered
        demand = gathered.demand_s / gathered.seconds
        # Counts scatter by chance, which the capacity knows of already: few are taken with the
        # level, which rests on more.
        trust = gathered.arrived / (gathered.arrived + _CERTAIN)
        likely = trust * demand + (1 - trust) * moment.level
        budget = self.budget.after(gathered.seconds, gathered.arrived, gathered.late)
        correction = self.correction
        if fleet.reject and moment.late_seen:
            seen = likely / moment.strength
            expected = [fleet.late_share(seen * f, moment.reporting) for f in FACTORS]
            correction = correction.after(
                gathered.seconds, gathered.arrived, gathered.late, expected
            )
        forecast = forecast.after(moment.at_s, moment.level, demand, moment.horizon_s)
        shadows = self.shadows.after(
            moment.at_s,
            likely,
            forecast,
            fleet,
            moment.cold_start_s,
            moment.lag_s,
            moment.slack_s,
            correction.factor,
            least,
            most,
            budget.left(fleet.late, moment.cold_start_s, fleet.reject),
        )
        return Tuning(forecast, shadows, budget, correction, unevenness, weight)

    def bound(self, level: float) -> float:
        """The most demand to expect over the horizon, in busy replicas, by the chosen setting."""
        setting = self.shadows.setting
        return (
            self.forecast.expected(setting.base, setting.boldness, level) * self.correction.factor
        )

    def converted(self, factor: float) -> Tuning:
        """The same, counted in replicas of which each takes ``factor`` times as long."""
        if factor == 1:
            return self
        known = self.forecast.weighed(factor, 0.0, 0.0)
        return replace(
            self,
            forecast=replace(known, slowing=self.forecast.slowing, growth=self.forecast.growth),
            shadows=self.shadows.converted(factor),
            demand_s=self.demand_s * factor,
        )

    def detached(self) -> Tuning:
        """What still holds after the clock has jumped."""
        shadows = replace(self.shadows, at_s=(), wishes=(), asked=())
        return replace(
            Tuning(self.forecast.detached(), shadows, self.budget, self.correction),
            unevenness=self.unevenness,
            unevenness_weight=self.unevenness_weight,
        )
