"""Ray Serve's default policy: ongoing requests per replica.

Source: ray python/ray/serve/autoscaling_policy.py (replica_queue_length_autoscaling_policy,
_apply_scaling_factors, _apply_delay_logic) and config.py. Its loop runs every 0.1 s on averages
that change every 10 s; here it runs every 5 s and counts time where the original counts loops.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from conch.observe.types import Decision
from conch.twin.controller import Sight
from conch.twin.rules.setting import Rule, Setting, ceil, decision

TARGET_ONGOING: Final = 2.0
LOOK_BACK_S: Final = 30.0
UP_DELAY_S: Final = 30.0
DOWN_DELAY_S: Final = 600.0


def desired(ongoing: float, target: float, running: int, factor: float = 1.0) -> int:
    """Replicas for a mean number of ongoing requests, smoothed by ``factor``."""
    exact = ongoing / target
    wanted = ceil(running + factor * (exact - running))
    if ceil(exact) < running and wanted == running:
        wanted -= 1  # a factor below 1 must not get stuck
    return wanted


@dataclass(frozen=True, slots=True)
class Delay:
    """Which way the last decisions went (+1, 0, -1) and since when without a break."""

    direction: int = 0
    since_s: float = 0.0


def delayed(wanted: int, target: int, now_s: float, delay: Delay) -> tuple[int, Delay]:
    """The target replicas from now on: a wish has to last before it counts."""
    direction = (wanted > target) - (wanted < target)
    if direction == 0:
        return target, Delay()
    if direction != delay.direction:
        return target, Delay(direction, now_s)
    needed_s = UP_DELAY_S if direction > 0 else DOWN_DELAY_S
    if now_s - delay.since_s < needed_s:
        return target, delay
    return max(1, wanted), Delay()


@dataclass(slots=True)
class Ray:
    """Ray Serve's controller for one deployment."""

    name: str
    setting: Setting
    target_ongoing: float
    interval_s: float = 5.0
    _seen: deque[tuple[float, float]] = field(default_factory=deque)
    _delay: Delay = field(default_factory=Delay)

    def decide(self, sight: Sight) -> Decision:
        """One look."""
        observation, now_s = sight.observation, sight.observation.now_s
        if sight.in_flight:
            scale_up = max(1.0, observation.ready / len(sight.in_flight))
            self._seen.append((now_s, sum(sight.in_flight) * scale_up))
        while self._seen and self._seen[0][0] <= now_s - LOOK_BACK_S:
            self._seen.popleft()
        current = observation.replicas
        if not self._seen or observation.ready == 0:
            return decision(current, current, self.setting, "no data")
        ongoing = sum(value for _, value in self._seen) / len(self._seen)
        wanted = desired(ongoing, self.target_ongoing, observation.ready)
        bounded = min(max(wanted, self.setting.min_replicas), self.setting.max_replicas)
        target, self._delay = delayed(bounded, current, now_s, self._delay)
        return decision(current, target, self.setting, f"{ongoing:.1f} ongoing")


def ongoing(setting: Setting, target: float) -> Ray:
    """Ray Serve at a target number of ongoing requests per replica."""
    return Ray(f"ray {target:g}", setting, target)


def row(setting: Setting) -> tuple[float, ...]:
    """Targets worth trying: from what fits in the objective at full batches downwards."""
    most = max(2.0, setting.throughput_rps * setting.target_s)
    return tuple(sorted({max(0.3, round(most * p, 1)) for p in _PARTS}, reverse=True))


_PARTS: Final = (0.8, 0.65, 0.55, 0.45, 0.37, 0.3, 0.25, 0.2, 0.15, 0.1, 0.07)

RULE: Final = Rule(
    name="ray",
    what="Ray Serve on ongoing requests per replica; untouched: 2",
    untouched=lambda setting: ongoing(setting, TARGET_ONGOING),
    row=row,
    tuned=ongoing,
)
