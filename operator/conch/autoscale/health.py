"""Models that take requests and answer none, or fail many.

Decides only that; what it means for the service is the Serving condition's. Pure.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from conch.autoscale.signals import Interval

_WINDOW_S: Final = 30.0
_FAILING_SHARE: Final = 0.2
_FEWEST: Final = 5  # requests; fewer say nothing about a share
_SHORTEST_SILENCE_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """Requests of one model that ended in one interval: by the model's own doing, or not."""

    end_s: float
    succeeded: float
    failed: float


@dataclass(frozen=True, slots=True)
class Health:
    """What is remembered of one model's answers."""

    outcomes: tuple[Outcome, ...] = ()
    stuck_since_s: Mapping[str, float] | None = None  # pods with requests waiting, none answered

    def after(
        self, interval: Interval | None, stuck: Collection[str], pods: Collection[str]
    ) -> Health:
        """With one more interval; ``stuck`` pods answered nothing in it, ``pods`` still exist."""
        if interval is None:
            return self
        # A request that the queue's policy rejects is no sign of a model that fails.
        well, failed = interval.succeeded + interval.rejected, interval.failed - interval.rejected
        outcomes = (*self.outcomes, Outcome(interval.end_s, well, failed))
        before = self.stuck_since_s or {}
        return Health(
            tuple(o for o in outcomes if interval.end_s - o.end_s < _WINDOW_S),
            {pod: before.get(pod, interval.start_s) for pod in stuck if pod in pods},
        )

    def not_answering(self, now_s: float, target_s: float) -> bool:
        """Whether a pod has had requests waiting and answered none for long."""
        patience = max(_SHORTEST_SILENCE_S, 3 * target_s)
        return any(now_s - since >= patience for since in (self.stuck_since_s or {}).values())

    def failing(self) -> float | None:
        """The share of requests that failed lately, when it is large; else None."""
        failed = sum(o.failed for o in self.outcomes)
        ended = failed + sum(o.succeeded for o in self.outcomes)
        if ended < _FEWEST or failed <= _FAILING_SHARE * ended:
            return None
        return failed / ended
