"""The two HPA rules that NVIDIA ships for Triton.

- queue:compute ratio, target 1: the Kubernetes tutorial for generative models
  (triton-inference-server/tutorials, prometheus rule ``triton:queue_compute:ratio``):
  rate(queue_us[1m]) / clamp_min(rate(compute_infer_us[1m]), 1) per pod.
- average queue time, target 50 µs: server/deploy/k8s-onprem (``avg_time_queue_us``):
  avg(delta(queue_us[30s]) / (1 + delta(success[30s]))) per pod.

Their own maxReplicas (4 and 3) are replaced by the scenario's. One scrape per sync stands for the
6-s recording rule: the windows are the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from conch.observe.types import ModelCounters
from conch.twin.controller import Sight
from conch.twin.rules.hpa import Hpa, absent, pods_metric
from conch.twin.rules.series import Series
from conch.twin.rules.setting import Rule, Setting

RATIO_WINDOW_S: Final = 60.0
QUEUE_WINDOW_S: Final = 30.0
RATIO_TARGET: Final = 1.0
QUEUE_TARGET_US: Final = 50.0


def queue_compute_ratio(queue_us_per_s: float, compute_us_per_s: float) -> float:
    """The recording rule, from two rates."""
    return queue_us_per_s / max(compute_us_per_s, 1.0)


def average_queue_us(queue_us: float, succeeded: float) -> float:
    """The adapter's query, from two deltas; the 1 keeps it from dividing by zero."""
    return queue_us / (1.0 + succeeded)


def _queue_us(counters: ModelCounters) -> float:
    return 1e6 * counters.queue_s


def _compute_us(counters: ModelCounters) -> float:
    return 1e6 * (counters.request_s - counters.queue_s)


@dataclass(slots=True)
class _PodsMetric:
    """An HPA on a metric of each pod that is made of its counters."""

    target: float
    window_s: float
    each: Callable[[Series, float], dict[str, float]]
    _series: Series = field(init=False)

    def __post_init__(self) -> None:
        self._series = Series(self.window_s + 30.0)

    def wish(self, sight: Sight) -> int | None:
        seen = sight.observation
        self._series.add(seen.samples)
        values = self.each(self._series, self.window_s)
        here: Sequence[float] = [values[s.pod] for s in seen.samples if s.pod in values]
        missing, unready = absent(sight, len(here))
        return pods_metric(here, self.target, seen.replicas, missing, unready)


def _ratios(series: Series, window_s: float) -> dict[str, float]:
    queue = series.increases(_queue_us, window_s)
    compute = series.increases(_compute_us, window_s)
    return {
        pod: queue_compute_ratio(us / window_s, compute[pod] / window_s)
        for pod, us in queue.items()
    }


def _queue_times(series: Series, window_s: float) -> dict[str, float]:
    queue = series.deltas(_queue_us, window_s)
    succeeded = series.deltas(lambda counters: counters.success, window_s)
    return {pod: average_queue_us(us, succeeded[pod]) for pod, us in queue.items()}


def ratio(setting: Setting, target: float) -> Hpa:
    """queue:compute ratio at a target."""
    metric = _PodsMetric(target, RATIO_WINDOW_S, _ratios)
    return Hpa(f"nvidia queue:compute {target:g}", setting, metric.wish)


def queue_time(setting: Setting, target_us: float) -> Hpa:
    """Average queue time at a target in microseconds."""
    # Two scrapes at least have to fall into its window of 30 s: it syncs at 15 s like every HPA.
    metric = _PodsMetric(target_us, QUEUE_WINDOW_S, _queue_times)
    return Hpa(f"nvidia queue {target_us:g} us", setting, metric.wish)


RATIO_RULE: Final = Rule(
    name="nvidia-ratio",
    what="NVIDIA's tutorial: HPA on queue:compute time; untouched: 1",
    untouched=lambda setting: ratio(setting, RATIO_TARGET),
    row=lambda setting: (2.0, 1.0, 0.7, 0.5, 0.3, 0.2, 0.1, 0.05),
    tuned=ratio,
)
QUEUE_RULE: Final = Rule(
    name="nvidia-queue",
    what="NVIDIA's on-premises chart: HPA on the average queue time; untouched: 50 µs",
    untouched=lambda setting: queue_time(setting, QUEUE_TARGET_US),
    row=lambda setting: tuple(
        1e6 * part * setting.target_s for part in (0.6, 0.4, 0.3, 0.2, 0.1, 0.05, 0.01)
    ),
    tuned=queue_time,
)
