"""Knative's pod autoscaler (KPA) on concurrency.

Source: knative/serving pkg/autoscaler/scaling/autoscaler.go and config-autoscaler's defaults. The
activator's buffering is not modelled: no request waits outside the servers, which is unfair to KPA
while replicas start.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from conch.observe.types import Decision
from conch.twin.controller import Sight
from conch.twin.rules.setting import Rule, Setting, ceil, decision

TICK_S: Final = 2.0
STABLE_S: Final = 60.0
PANIC_S: Final = 6.0  # 10 % of the stable window
PANIC_THRESHOLD: Final = 2.0
MAX_UP_RATE: Final = 1000.0
MAX_DOWN_RATE: Final = 2.0
UTILIZATION: Final = 0.7
CONTAINER_CONCURRENCY: Final = 100.0


@dataclass(frozen=True, slots=True)
class Panic:
    """Since when the panic lasts (its last moment above the threshold), and its highest wish."""

    since_s: float | None = None
    most: int = 0


def scale(
    stable: float, panicking: float, target: float, ready: int, now_s: float, panic: Panic
) -> tuple[int, Panic]:
    """One tick: mean concurrency over the stable and the panic window against a target."""
    pods = max(1, ready)
    lowest, highest = math.floor(pods / MAX_DOWN_RATE), ceil(MAX_UP_RATE * pods)
    wanted_panic = ceil(panicking / target)
    calm = min(max(ceil(stable / target), lowest), highest)
    hasty = min(max(wanted_panic, lowest), highest)
    if wanted_panic / pods >= PANIC_THRESHOLD:
        panic = Panic(now_s, panic.most)
    elif panic.since_s is not None and panic.since_s + STABLE_S < now_s:
        panic = Panic()
    if panic.since_s is None:
        return calm, panic
    most = max(panic.most, calm, hasty)
    return most, Panic(panic.since_s, most)


@dataclass(slots=True)
class Kpa:
    """The KPA. It starts in panic mode when it finds more than one pod, as the original does."""

    name: str
    setting: Setting
    target: float
    interval_s: float = TICK_S
    _seen: deque[tuple[float, float]] = field(default_factory=deque)
    _panic: Panic | None = None

    def decide(self, sight: Sight) -> Decision:
        """One tick."""
        observation, now_s = sight.observation, sight.observation.now_s
        if self._panic is None:
            many = observation.ready > 1
            self._panic = Panic(now_s, observation.ready) if many else Panic()
        if sight.in_flight:
            scale_up = max(1.0, observation.ready / len(sight.in_flight))
            self._seen.append((now_s, sum(sight.in_flight) * scale_up))
        while self._seen and self._seen[0][0] <= now_s - STABLE_S:
            self._seen.popleft()
        if not self._seen:
            return decision(observation.replicas, observation.replicas, self.setting, "no data")
        recent = [value for at_s, value in self._seen if at_s > now_s - PANIC_S]
        stable = sum(value for _, value in self._seen) / len(self._seen)
        panicking = sum(recent) / len(recent) if recent else 0.0
        wanted, self._panic = scale(
            stable, panicking, self.target, observation.ready, now_s, self._panic
        )
        return decision(
            observation.replicas, wanted, self.setting, f"concurrency {stable:.1f}/{panicking:.1f}"
        )


def concurrency(setting: Setting, target: float) -> Kpa:
    """KPA at a target concurrency per replica."""
    return Kpa(f"kpa {target:g}", setting, target)


def row(setting: Setting) -> tuple[float, ...]:
    """Targets worth trying: from what fits in the objective at full batches down to one request."""
    most = max(2.0, setting.throughput_rps * setting.target_s)
    return tuple(sorted({max(0.3, round(most * p, 1)) for p in _PARTS}, reverse=True))


_PARTS: Final = (1.0, 0.8, 0.65, 0.55, 0.45, 0.37, 0.3, 0.25, 0.2, 0.15, 0.1, 0.07)

RULE: Final = Rule(
    name="kpa",
    what="Knative's KPA on concurrency; untouched: 70 % of 100",
    untouched=lambda setting: concurrency(setting, UTILIZATION * CONTAINER_CONCURRENCY),
    row=row,
    tuned=concurrency,
)
