"""The metrics of one service's scaling: the last decision's numbers, and the promise kept so far.

Decides nothing; what is not known has no series.
"""

from __future__ import annotations

from collections.abc import Collection

from conch.observe.attained import WINDOWS, Attained
from conch.observe.types import Decision, Key, ScalingPolicy
from conch.telemetry.catalog import Metrics


class Figures:
    """What was attained, by the service's uid, and the gauges of all."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._attained: dict[str, Attained] = {}

    def keep(self, living: Collection[str]) -> None:
        """Forget all services but these."""
        for uid in self._attained.keys() - set(living):
            del self._attained[uid]

    def account(
        self, key: Key, uid: str, policy: ScalingPolicy, decision: Decision, now_s: float
    ) -> float | None:
        """Count what ended since the last decision, and what of it was late.

        Returns what is left of the error budget of the last hour; None: nothing was counted.
        """
        labels = (key.namespace, key.name)
        self._metrics.ended.labels(*labels).inc(decision.ended)
        self._metrics.late.labels(*labels).inc(decision.late)
        attained = self._attained.setdefault(uid, Attained())
        attained.look(decision.ended, decision.late, now_s)
        allowed = 1 - policy.percentile / 100
        for window in WINDOWS:
            for gauge, value in (
                (self._metrics.attained, attained.share(window)),
                (self._metrics.budget_left, attained.budget_left(window, allowed)),
            ):
                if value is None:
                    gauge.remove(*labels, window)
                else:
                    gauge.labels(*labels, window).set(value)
        return attained.budget_left("1h", allowed)

    def measure(self, key: Key, policy: ScalingPolicy, decision: Decision) -> None:
        """Show the decision's numbers."""
        labels = (key.namespace, key.name)
        for gauge, value in (
            (self._metrics.target, policy.target_s),
            (self._metrics.objective, policy.percentile / 100),
            (self._metrics.demand, decision.demand_rps),
            (self._metrics.bound, decision.bound_rps),
            (self._metrics.capacity, decision.capacity_rps),
            (self._metrics.latency, decision.latency_s),
            (self._metrics.reject_after, decision.reject_after_s),
        ):
            if value is None:
                gauge.remove(*labels)  # unknown now: no number is better than an old one
            else:
                gauge.labels(*labels).set(value)
