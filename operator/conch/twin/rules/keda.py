"""KEDA's Prometheus scaler on the request rate, and the HPA that it generates.

Source: kedacore/keda pkg/scalers/prometheus_scaler.go, pkg/scaling/executor, autoscaling of
1 … N through a generated HPA with an External metric of type AverageValue. ``ignoreNullValues``
is true unless set: an empty answer counts as zero, so lost metrics scale down.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from conch.observe.types import Decision
from conch.twin.controller import Sight
from conch.twin.rules.hpa import Hpa, total_metric
from conch.twin.rules.series import Series, arrived
from conch.twin.rules.setting import Rule, Setting, decision, rates

POLLING_S: Final = 30.0
COOLDOWN_S: Final = 300.0
RATE_WINDOW_S: Final = 60.0  # sum(rate(x[1m])), as its documentation writes it


def null_as_zero(value: float | None) -> float:
    """ignoreNullValues: an empty result, NaN and the infinities become 0."""
    if value is None or value != value or value in (float("inf"), float("-inf")):
        return 0.0
    return value


def activated(
    value: float, replicas: int, now_s: float, active_s: float | None, activation: float = 0.0
) -> int | None:
    """What KEDA itself decides: 0 → 1 when the value exceeds its activation threshold, 1 … N → 0
    when it has not done so for the cool-down. None: the HPA's business. ``active_s``: when the
    scaler was active last.
    """
    if value > activation:
        return 1 if replicas == 0 else None
    quiet_s = COOLDOWN_S if active_s is None else now_s - active_s
    return 0 if replicas > 0 and quiet_s >= COOLDOWN_S else None


@dataclass(slots=True)
class Keda:
    """A ScaledObject with one Prometheus trigger: requests/s per replica."""

    name: str
    setting: Setting
    threshold_rps: float
    interval_s: float = 15.0
    _series: Series = field(default_factory=lambda: Series(RATE_WINDOW_S + 30.0))
    _hpa: Hpa = field(init=False)
    _polled_s: float | None = None
    _active_s: float | None = None

    def __post_init__(self) -> None:
        self._hpa = Hpa(self.name, self.setting, self._wish)

    def decide(self, sight: Sight) -> Decision:
        """The HPA's sync, and KEDA's own poll where the limits allow zero."""
        now_s, replicas = sight.observation.now_s, sight.observation.replicas
        self._series.add(sight.observation.samples)
        value = self.value()
        if value > 0 or self._polled_s is None:  # it takes over a service that is in use
            self._active_s = now_s
        if self.setting.min_replicas == 0:
            if self._polled_s is None or now_s - self._polled_s >= POLLING_S:
                self._polled_s = now_s
                own = activated(value, replicas, now_s, self._active_s)
                if own is not None:
                    return decision(replicas, own, self.setting, "active" if own else "idle")
            if replicas == 0:
                return decision(0, 0, self.setting, "idle")
        return self._hpa.decide(sight)

    def value(self) -> float:
        """sum(rate(requests[1m])) as KEDA understands the answer."""
        return null_as_zero(self._series.rate(arrived, RATE_WINDOW_S))

    def _wish(self, sight: Sight) -> int:
        existing = sight.observation.ready + len(sight.observation.starting_age_s)
        # The generated HPA has minReplicas of 1 at least.
        return max(1, total_metric(self.value(), self.threshold_rps, existing))


def rps(setting: Setting, threshold_rps: float) -> Keda:
    """KEDA at a threshold in requests/s per replica."""
    return Keda(f"keda {threshold_rps:.3g} rps", setting, threshold_rps)


RULE: Final = Rule(
    name="keda",
    what="KEDA on requests/s per replica; untouched (it has no default): 80 % of a load test",
    untouched=lambda setting: rps(setting, 0.8 * setting.one_replica_rps),
    row=rates,
    tuned=rps,
)
