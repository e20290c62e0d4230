"""Which decisions of the scaler people are told: a status that changes with every look is a write
with every look.

Decides only that; what is told wakes the service's reconcile, which writes.
"""

from __future__ import annotations

import math
from collections.abc import Collection

from conch.api.conditions import Reason
from conch.observe.types import Decision

# Numbers in the status follow the measurements only when they moved by this share, and not more
# often than this.
_WORTH_SHOWING = ((0.5, 6.0), (0.2, 30.0))
# A round without answers holds the replicas at once, but is told only if it lasts: one busy moment,
# here or on the way, is no news, and telling of it and of its end costs two writes per service.
_SILENCE_TOLD_AFTER_S = 4.0


class News:
    """When each service's decision was told last; by the service's uid."""

    def __init__(self) -> None:
        self._told_at_s: dict[str, float] = {}
        self._silent_since_s: dict[str, float] = {}

    def keep(self, living: Collection[str]) -> None:
        """Forget all services but these."""
        for memory in (self._told_at_s, self._silent_since_s):
            for uid in memory.keys() - set(living):
                del memory[uid]

    def is_worth(self, uid: str, shown: Decision | None, new: Decision, now_s: float) -> bool:
        """Whether ``new`` is to be told after ``shown``; if so, it counts as told now."""
        if self._is_moment_of_silence(uid, shown, new, now_s):
            return False
        age_s = now_s - self._told_at_s.get(uid, float("-inf"))
        if shown is not None and not differs(shown, new, age_s):
            return False
        self._told_at_s[uid] = now_s
        return True

    def _is_moment_of_silence(
        self, uid: str, shown: Decision | None, new: Decision, now_s: float
    ) -> bool:
        if new.reason is not Reason.NO_METRICS:
            self._silent_since_s.pop(uid, None)
            return False
        since_s = self._silent_since_s.setdefault(uid, now_s)
        told = shown is not None and shown.replicas == new.replicas
        return told and now_s - since_s < _SILENCE_TOLD_AFTER_S


def differs(shown: Decision, new: Decision, age_s: float) -> bool:
    """Whether people should see the new decision: at once for what changed, in time for numbers."""
    if _facts(shown) != _facts(new):
        return True
    rates = ((shown.demand_rps, new.demand_rps), (shown.bound_rps, new.bound_rps))
    others = ((shown.capacity_rps, new.capacity_rps), (shown.latency_s, new.latency_s))
    return any(
        age_s >= least_s
        and (
            any(_moved(a, b, share, least_s) for a, b in rates)
            or any(_moved(a, b, share) for a, b in others)
        )
        for share, least_s in _WORTH_SHOWING
    )


def _facts(decision: Decision) -> tuple[object, ...]:
    return (
        decision.replicas,
        decision.reason,
        decision.not_answering,
        decision.failing,
        decision.reject_after_s,
    )


def _moved(a: float | None, b: float | None, share: float, counted_s: float | None = None) -> bool:
    """Whether two numbers differ by more than ``share`` of the larger one.

    Rates differ by chance, too: requests counted for ``counted_s`` scatter like Poisson arrivals,
    and a few a second must not look like news all the time.
    """
    if a is None or b is None:
        return a is not b
    larger = max(abs(a), abs(b))
    chance = 0.0 if counted_s is None else 2 * math.sqrt(larger / counted_s)
    return abs(a - b) > share * larger + chance
