"""The pods' counters over time, as a Prometheus holds them, and what its functions make of them.

Decides nothing about replicas. ``increase`` and ``delta`` follow promql/functions.go
(``extrapolatedRate``): from the first to the last sample in the window, counter resets added back,
then stretched to the window's ends, but by no more than half a sample distance where the series
begins or ends inside it, and not below zero.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from conch.observe.types import ModelCounters, PodSample

Read = Callable[[ModelCounters], float]
Points = Sequence[tuple[float, float]]  # (seconds, value), times rising


def arrived(counters: ModelCounters) -> float:
    """Requests that ended, whichever way: a rejected one is in ``failure`` only."""
    return counters.success + counters.failure


def increase(points: Points, start_s: float, end_s: float) -> float | None:
    """Prometheus' ``increase`` of a counter over the window; None with fewer than two samples."""
    return _extrapolated(points, start_s, end_s, counter=True)


def delta(points: Points, start_s: float, end_s: float) -> float | None:
    """Prometheus' ``delta``: the same for a gauge, so a reset of a counter makes it negative."""
    return _extrapolated(points, start_s, end_s, counter=False)


def _extrapolated(points: Points, start_s: float, end_s: float, counter: bool) -> float | None:
    inside = [p for p in points if start_s <= p[0] <= end_s]
    if len(inside) < 2:
        return None
    (first_s, first), (last_s, last) = inside[0], inside[-1]
    change = last - first
    if counter:
        change += sum(
            before for (_, before), (_, after) in itertools.pairwise(inside) if after < before
        )
    sampled_s = last_s - first_s
    distance_s = sampled_s / (len(inside) - 1)
    to_start_s, to_end_s = first_s - start_s, end_s - last_s
    if to_start_s >= 1.1 * distance_s:
        to_start_s = distance_s / 2
    if counter and change > 0 and first >= 0:
        to_start_s = min(to_start_s, sampled_s * first / change)
    if to_end_s >= 1.1 * distance_s:
        to_end_s = distance_s / 2
    return change * (sampled_s + to_start_s + to_end_s) / sampled_s


@dataclass(slots=True)
class Series:
    """The last ``keep_s`` seconds of samples, pod by pod; a pod's models are added up."""

    keep_s: float
    end_s: float = 0.0
    _pods: dict[str, deque[tuple[float, ModelCounters]]] = field(default_factory=dict)

    def add(self, samples: Sequence[PodSample]) -> None:
        """One round of looks; a look that is no newer than the last one of its pod is skipped."""
        for sample in samples:
            if sample.error:
                continue
            kept = self._pods.setdefault(sample.pod, deque())
            if not kept or sample.at_s > kept[-1][0]:
                kept.append((sample.at_s, _total(sample)))
                self.end_s = max(self.end_s, sample.at_s)
        for pod in list(self._pods):
            kept = self._pods[pod]
            while kept and kept[0][0] < self.end_s - self.keep_s:
                kept.popleft()
            if not kept:
                del self._pods[pod]

    def increases(self, read: Read, window_s: float) -> dict[str, float]:
        """``increase(x[window])`` of each pod that has two samples in the window."""
        return self._each(read, window_s, increase)

    def deltas(self, read: Read, window_s: float) -> dict[str, float]:
        """``delta(x[window])`` of each pod that has two samples in the window."""
        return self._each(read, window_s, delta)

    def rate(self, read: Read, window_s: float) -> float | None:
        """``sum(rate(x[window]))``; None, an empty result, when no pod has two samples."""
        found = self.increases(read, window_s)
        return sum(found.values()) / window_s if found else None

    def _each(
        self, read: Read, window_s: float, function: Callable[[Points, float, float], float | None]
    ) -> dict[str, float]:
        found = {}
        for pod, kept in self._pods.items():
            points = [(at_s, read(counters)) for at_s, counters in kept]
            value = function(points, self.end_s - window_s, self.end_s)
            if value is not None:
                found[pod] = value
        return found


def _total(sample: PodSample) -> ModelCounters:
    if len(sample.models) == 1:
        return next(iter(sample.models.values()))
    models = list(sample.models.values())
    return ModelCounters(
        success=sum(m.success for m in models),
        failure=sum(m.failure for m in models),
        inferences=sum(m.inferences for m in models),
        executions=sum(m.executions for m in models),
        request_s=sum(m.request_s for m in models),
        queue_s=sum(m.queue_s for m in models),
        pending=sum(m.pending or 0.0 for m in models),
    )
