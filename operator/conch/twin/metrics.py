"""What the replicas' own metrics say at one moment, as Triton counts it.

Decides nothing: the world says when and of which pods, and who loses a look. Counters move when a
batch ends; what is refused is a failure; requests that execute are neither pending nor done.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from conch.observe.types import BatchStat, ModelCounters, PodSample
from conch.twin import kernel
from conch.twin.kernel import Fleet

MODEL: Final = "model"  # the one model of a simulated service


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All ready pods at one moment; by the pod's uid.

    ``in_flight_s`` and ``busy_s`` are integrals since the pod started: means are differences.
    ``latencies_s`` is a sample of what ended since the previous snapshot.
    """

    at_s: float
    samples: Mapping[str, PodSample] = field(default_factory=dict)
    in_flight_s: Mapping[str, float] = field(default_factory=dict)
    busy_s: Mapping[str, float] = field(default_factory=dict)
    latencies_s: tuple[float, ...] = ()


def snapshot(
    fleet: Fleet, pods: Iterable[tuple[str, int, str]], now_s: float, percentile: float
) -> Snapshot:
    """Look at ``pods`` (uid, slot, group) at ``now_s``; starts a new sample of latencies."""
    samples: dict[str, PodSample] = {}
    in_flight: dict[str, float] = {}
    busy: dict[str, float] = {}
    instances = fleet.ends_s.shape[1]
    seen = list(pods)
    latencies_s = _latencies_s(fleet, [slot for _, slot, _ in seen], now_s, percentile)
    for (uid, slot, group), latency_s in zip(seen, latencies_s, strict=True):
        counters = fleet.counters[slot].tolist()
        since_s = now_s - float(fleet.touched_s[slot])
        outstanding = int(fleet.outstanding[slot])
        in_flight[uid] = counters[kernel.IN_FLIGHT_S] + since_s * outstanding
        busy[uid] = counters[kernel.BUSY_S] + since_s * (fleet.idle[slot] < instances)
        counted = _counters(fleet, slot, counters, latency_s)
        samples[uid] = PodSample(uid, now_s, {MODEL: counted}, group=group)
    ended = int(min(fleet.ints[kernel.SAMPLED], fleet.sample_s.size))
    latencies = tuple(np.sort(fleet.sample_s[:ended]).tolist())
    fleet.ints[kernel.SAMPLED] = 0
    return Snapshot(now_s, samples, in_flight, busy, latencies)


def _counters(
    fleet: Fleet, slot: int, counters: list[float], latency_s: float | None
) -> ModelCounters:
    counts = fleet.batch_count[slot].tolist()
    sums = fleet.batch_s[slot].tolist()
    success = counters[kernel.SUCCESS]
    return ModelCounters(
        success=success,
        failure=counters[kernel.FAILURE],
        inferences=success,
        executions=counters[kernel.EXECUTIONS],
        request_s=counters[kernel.REQUEST_S],
        queue_s=counters[kernel.QUEUE_S],
        pending=float(fleet.waiting[slot]),
        latency_s=latency_s,
        batches={
            size: BatchStat(int(count), sums[size]) for size, count in enumerate(counts) if count
        },
    )


def _latencies_s(
    fleet: Fleet, slots: list[int], now_s: float, percentile: float
) -> list[float | None]:
    """The summaries' quantile: of the last 48 to 60 s, in steps of twelve."""
    bins = kernel.latency_bins(
        fleet.histogram,
        fleet.epoch,
        np.array(slots, dtype=np.int64),
        int(now_s / kernel.WINDOW_STEP_S),
        percentile / 100,
    )
    return [
        None if found < 0 else kernel.SHORTEST_S * math.exp((found + 0.5) / kernel.BINS_PER_E)
        for found in bins.tolist()
    ]
