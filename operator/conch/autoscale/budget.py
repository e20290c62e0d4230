"""The error budget: how much lateness is left.

Decides the late share that settings may have from now on. Pure.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

_MEMORY_S: Final = 4 * 3600.0
_RECENT_S: Final = 900.0
_AHEAD_S: Final = 1800.0  # the budget is spread over what is behind and this much ahead
# Of the budget; the rest is for what is not seen, and more of it where that is late for longer.
_SPENT: Final = 0.75
_SPENT_LESS: Final = 0.25
_LEAST: Final = 0.1
_YOUNG_LESS: Final = 0.4  # of it, by settings that were watched for a short time
_LONG_S: Final = 120.0
_QUEUED: Final = 1.0


def exposure(cold_start_s: float, reject: bool) -> float:
    """What a rise that nobody expects makes late, over what it does at a cold start of two
    minutes: it is late for as long as one lasts, and goes on rising meanwhile. Where nothing is
    refused, what waits has to be worked off besides: never less than that."""
    found = (cold_start_s / _LONG_S) ** 2
    return found if reject else max(_QUEUED, found)


@dataclass(frozen=True, slots=True)
class Budget:
    """Requests that ended and those of them that were late, by measure."""

    arrived: float = 0.0
    late: float = 0.0
    recent_arrived: float = 0.0
    watched_s: float = 0.0

    def after(self, seconds: float, arrived: float, late: float) -> Budget:
        """With ``seconds`` more."""
        keep, fresh = math.exp(-seconds / _MEMORY_S), math.exp(-seconds / _RECENT_S)
        return Budget(
            self.arrived * keep + arrived,
            self.late * keep + late,
            self.recent_arrived * fresh + arrived,
            min(_AHEAD_S, self.watched_s + seconds),
        )

    @property
    def _rate(self) -> float:
        return self.recent_arrived / max(60.0, min(_RECENT_S, self.watched_s))

    def left(self, allowed: float, cold_start_s: float, reject: bool) -> float:
        """The late share that the near future may have, so that the whole keeps ``allowed``."""
        ahead = self._rate * _AHEAD_S
        if ahead <= 0:
            return allowed
        exposed = min(1.0, exposure(cold_start_s, reject))
        spent = _SPENT - _SPENT_LESS * exposed
        spare = (spent * allowed * (self.arrived + ahead) - self.late) / ahead
        young = 1 - _YOUNG_LESS * exposed * (1 - self.watched_s / _AHEAD_S)
        return min(young * allowed, max(_LEAST * allowed, spare))
