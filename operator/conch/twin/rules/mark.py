"""MArk's provisioning for one instance type: forecast, then enough instances for its peak.

Source: MArk (ATC '19), marcoszh/MArk-Project: requests of the next 60-s steps are forecast and the
residual is filled with the instance type that serves it cheapest; with one type that is the peak of
the forecast over an instance's throughput within the objective. Its LSTM is replaced by a straight
line through the last ten minutes; ``headroom`` is its over-provisioning factor. An instance that is
no longer needed is kept for the rest of the step, as it is billed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from conch.observe.types import Decision
from conch.twin.controller import Sight
from conch.twin.rules.forecast import trend
from conch.twin.rules.series import Series, arrived
from conch.twin.rules.setting import Rule, Setting, ceil, decision

STEP_S: Final = 60.0
PAST_STEPS: Final = 10


def replicas(forecast: Sequence[float], instance_rps: float, headroom: float = 1.0) -> int:
    """Instances for the highest rate of the forecast."""
    return max(1, ceil(headroom * max(forecast, default=0.0) / instance_rps))


@dataclass(slots=True)
class Mark:
    """MArk for one service; it looks as many steps ahead as a start takes, and one more."""

    name: str
    setting: Setting
    headroom: float
    interval_s: float = STEP_S
    _series: Series = field(default_factory=lambda: Series(2 * STEP_S + 30.0))
    _past: list[float] = field(default_factory=list)

    def decide(self, sight: Sight) -> Decision:
        """Once a step."""
        seen = sight.observation
        self._series.add(seen.samples)
        rate = self._series.rate(arrived, 1.5 * STEP_S)
        if rate is None:
            return decision(seen.replicas, seen.replicas, self.setting, "no data")
        self._past = [*self._past[1 - PAST_STEPS :], rate]
        steps = 1 + ceil(self.setting.cold_start_s / STEP_S)
        forecast = [self._past[-1], *trend(self._past, steps)]
        wanted = replicas(forecast, self.setting.one_replica_rps, self.headroom)
        return decision(seen.replicas, wanted, self.setting, f"peak {max(forecast):.1f} rps")


def rule(setting: Setting, headroom: float) -> Mark:
    """MArk with an over-provisioning factor."""
    return Mark(f"mark x{headroom:g}", setting, headroom)


RULE: Final = Rule(
    name="mark",
    what="MArk-like: peak of a 60-s-step forecast over an instance's rate",
    untouched=lambda setting: rule(setting, 1.0),
    row=lambda setting: (0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.35, 1.5, 1.75, 2.0, 2.5),
    tuned=rule,
)
