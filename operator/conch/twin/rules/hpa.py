"""Kubernetes' HorizontalPodAutoscaler (autoscaling/v2), from a metric to replicas.

Source: kubernetes/kubernetes pkg/controller/podautoscaler/{replica_calculator,horizontal}.go and
pkg/apis/autoscaling/v2/defaults.go. Pure functions; ``Hpa`` remembers what the controller does.
Not modelled: the resource metrics' CPU rules (initialisation period), container metrics, several
metrics in one object.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from conch.observe.types import Decision
from conch.twin.controller import Sight
from conch.twin.rules.setting import Rule, Setting, ceil, decision

SYNC_S: Final = 15.0
TOLERANCE: Final = 0.1


def pods_metric(
    values: Sequence[float],
    target: float,
    current: int,
    missing: int,
    unready: int,
    tolerance: float = TOLERANCE,
) -> int | None:
    """calcPlainMetricReplicas: a metric of pods against an average target.

    ``values``: pods that report; ``missing``: running pods that don't; ``unready``: Pending ones.
    None when nobody reports: the HPA leaves the size alone.
    """
    if not values:
        return None
    ratio = sum(values) / len(values) / target
    up_with_unready = unready > 0 and ratio > 1.0
    if not up_with_unready and not missing:
        return current if _within(ratio, tolerance) else ceil(ratio * len(values))
    filled = list(values)
    if missing:
        filled += [target if ratio < 1.0 else 0.0] * missing
    if up_with_unready:
        filled += [0.0] * unready
    new_ratio = sum(filled) / len(filled) / target
    turned = (ratio < 1.0 < new_ratio) or (new_ratio < 1.0 < ratio)
    if _within(new_ratio, tolerance) or turned:
        return current
    wanted = ceil(new_ratio * len(filled))
    against = (new_ratio < 1.0 and wanted > current) or (new_ratio > 1.0 and wanted < current)
    return current if against else wanted


def total_metric(total: float, target: float, existing: int, tolerance: float = TOLERANCE) -> int:
    """GetExternalPerPodMetricReplicas: an Object or External metric of type AverageValue."""
    if existing > 0 and _within(total / (target * existing), tolerance):
        return existing
    return ceil(total / target)


def _within(ratio: float, tolerance: float) -> bool:
    return 1.0 - tolerance <= ratio <= 1.0 + tolerance


@dataclass(frozen=True, slots=True)
class Policy:
    """One scaling policy: at most ``value`` pods, or percent, within ``period_s``."""

    percent: bool
    value: float
    period_s: float


@dataclass(frozen=True, slots=True)
class Behavior:
    """spec.behavior with the defaults of autoscaling/v2. The widest of several policies counts."""

    up_window_s: float = 0.0
    up: tuple[Policy, ...] = (Policy(False, 4, 15.0), Policy(True, 100, 15.0))
    down_window_s: float = 300.0
    down: tuple[Policy, ...] = (Policy(True, 100, 15.0),)


History = Sequence[tuple[float, int]]  # (seconds, replicas wanted) or (seconds, change made)


def stabilized(
    wanted: int, current: int, now_s: float, history: History, behavior: Behavior
) -> int:
    """stabilizeRecommendationWithBehaviors: up takes the lowest of its window, down the highest."""
    up = down = wanted
    for at_s, replicas in history:
        if at_s > now_s - behavior.up_window_s:
            up = min(up, replicas)
        if at_s > now_s - behavior.down_window_s:
            down = max(down, replicas)
    return min(max(current, up), down)


def limited(wanted: int, current: int, now_s: float, changes: History, behavior: Behavior) -> int:
    """convertDesiredReplicasWithBehaviorRate: what the policies allow, from the period's start."""
    if wanted > current:
        return max(current, min(wanted, max(_limits(current, now_s, changes, behavior.up, +1))))
    if wanted < current:
        return min(current, max(wanted, min(_limits(current, now_s, changes, behavior.down, -1))))
    return current


def _limits(
    current: int, now_s: float, changes: History, policies: Sequence[Policy], sign: int
) -> list[int]:
    found = []
    for policy in policies:
        recent = sum(change for at_s, change in changes if at_s > now_s - policy.period_s)
        start = current - recent
        if not policy.percent:
            found.append(start + sign * int(policy.value))
        elif sign > 0:
            found.append(ceil(start * (1 + policy.value / 100)))
        else:
            found.append(int(start * (1 - policy.value / 100)))
    return found


@dataclass(slots=True)
class Hpa:
    """The controller around a metric: every 15 s a wish, stabilised, limited, written down.

    ``wish`` makes replicas of a look, or None for "no metric".
    """

    name: str
    setting: Setting
    wish: Callable[[Sight], int | None]
    behavior: Behavior = field(default_factory=Behavior)
    interval_s: float = SYNC_S
    _wishes: list[tuple[float, int]] = field(default_factory=list)
    _changes: list[tuple[float, int]] = field(default_factory=list)

    def decide(self, sight: Sight) -> Decision:
        """One sync."""
        now_s, current = sight.observation.now_s, sight.observation.replicas
        bounded = min(max(current, self.setting.min_replicas), self.setting.max_replicas)
        if bounded != current:  # outside the limits nothing is computed
            return decision(current, bounded, self.setting, "outside the limits")
        wanted = self.wish(sight)
        if wanted is None:
            return decision(current, current, self.setting, "no metrics")
        if not self._wishes:
            self._wishes.append((now_s, current))  # recordInitialRecommendation
        calm = stabilized(wanted, current, now_s, self._wishes, self.behavior)
        self._wishes.append((now_s, wanted))
        allowed = limited(calm, current, now_s, self._changes, self.behavior)
        made = decision(current, allowed, self.setting, f"metric asks for {wanted}")
        if made.replicas != current:
            self._changes.append((now_s, made.replicas - current))
        longest_s = max(self.behavior.up_window_s, self.behavior.down_window_s, 1.0)
        self._wishes = [w for w in self._wishes if w[0] > now_s - longest_s]
        periods_s = [p.period_s for p in (*self.behavior.up, *self.behavior.down)]
        self._changes = [c for c in self._changes if c[0] > now_s - max(periods_s)]
        return made


def absent(sight: Sight, reporting: int) -> tuple[int, int]:
    """(running pods without a sample, Pending pods) beside the ``reporting`` ones."""
    seen = sight.observation
    existing = seen.ready + len(seen.starting_age_s)
    return max(0, sight.running - reporting), max(0, existing - max(sight.running, reporting))


def busy(setting: Setting, target: float) -> Hpa:
    """HPA on the accelerator's duty cycle (GKE's and KServe's guides; 0..1)."""

    def wish(sight: Sight) -> int | None:
        missing, unready = absent(sight, len(sight.busy))
        return pods_metric(sight.busy, target, sight.observation.replicas, missing, unready)

    return Hpa(f"hpa busy {target:g}", setting, wish)


RULE: Final = Rule(
    name="hpa",
    what="HorizontalPodAutoscaler on the accelerator's busy share; untouched: 80 %",
    untouched=lambda setting: busy(setting, 0.8),
    row=lambda setting: (0.98, 0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.5, 0.4),
    tuned=busy,
)
