"""The error budget: how much lateness is left, and the slow correction when the model is off.

Decides the late share that settings may have from now on, and by how much demand is scaled because
measured lateness is not what the model of a replica expects at that load: more than expected means
that replicas carry less than believed. It is never the primary signal: lateness comes too late, and
mostly from a rise that nobody foresaw, which is no fault of the model. Pure.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

_MEMORY_S: Final = 4 * 3600.0
_RECENT_S: Final = 900.0
_AHEAD_S: Final = 1800.0  # the budget is spread over what is behind and this much ahead
_SPENT: Final = 0.75  # of the budget; the rest is for what is not seen
_LEAST: Final = 0.1
_YOUNG: Final = 0.4  # of the budget may be spent by settings that were watched for a short time
_TRIM_PER_S: Final = 0.025 / 60
_CHANCE: Final = 2.0  # of the budget: lateness far below it says little
LOWEST: Final = 0.8
HIGHEST: Final = 1.3


@dataclass(frozen=True, slots=True)
class Budget:
    """Requests that ended and those of them that were late, by measure. ``trim`` scales demand."""

    arrived: float = 0.0
    late: float = 0.0
    recent_arrived: float = 0.0
    watched_s: float = 0.0
    trim: float = 1.0

    def after(
        self,
        seconds: float,
        arrived: float,
        late: float,
        expected: float,
        allowed: float,
        trusted: bool,
    ) -> Budget:
        """With ``seconds`` more. ``allowed`` is the objective's late share; ``trusted`` whether
        lateness would have been seen: without, there is no reason to believe in more capacity."""
        keep, fresh = math.exp(-seconds / _MEMORY_S), math.exp(-seconds / _RECENT_S)
        found = Budget(
            self.arrived * keep + arrived,
            self.late * keep + late,
            self.recent_arrived * fresh + arrived,
            min(_AHEAD_S, self.watched_s + seconds),
            self.trim,
        )
        if arrived <= 0:
            return found
        off = (late - expected) / (late + expected + _CHANCE * allowed * arrived)
        lowest = min(LOWEST if trusted else 1.0, self.trim)
        trim = min(HIGHEST, max(lowest, self.trim + _TRIM_PER_S * seconds * off))
        return replace(found, trim=trim)

    @property
    def _rate(self) -> float:
        return self.recent_arrived / max(60.0, min(_RECENT_S, self.watched_s))

    def left(self, allowed: float) -> float:
        """The late share that the near future may have, so that the whole keeps ``allowed``."""
        ahead = self._rate * _AHEAD_S
        if ahead <= 0:
            return allowed
        spare = (_SPENT * allowed * (self.arrived + ahead) - self.late) / ahead
        young = _YOUNG + (1 - _YOUNG) * self.watched_s / _AHEAD_S
        return min(young * allowed, max(_LEAST * allowed, spare))
