"""What one look at one Triton pod gives: values only, no parsing and no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from conch.triton.configuration import ModelConfig
from conch.triton.power import GpuPower

FRESH_S: Final = 10.0  # a look at a pod older than this says nothing about now


@dataclass(frozen=True, slots=True)
class BatchStat:
    """Executions of one batch size since the server started."""

    count: int
    compute_s: float  # sum of input + infer + output time over those executions


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts of durations: ``counts[i]`` of at most ``bounds_s[i]``, the last bound infinite."""

    bounds_s: tuple[float, ...]
    counts: tuple[float, ...]
    sum_s: float


@dataclass(frozen=True, slots=True)
class ModelCounters:
    """One model's counters on one pod, summed over versions, as Triton reports them.

    ``request_s`` and ``queue_s`` are sums over requests. ``pending`` is a gauge.
    """

    success: float
    failure: float
    inferences: float
    executions: float
    request_s: float
    queue_s: float
    pending: float | None
    latency_s: float | None = None  # at the objective's percentile, this pod, about the last minute
    batches: Mapping[int, BatchStat] = field(default_factory=dict)
    # Until the first response: only where Triton reports it (streaming models since 24.11).
    first_response: Histogram | None = None
    recent: Histogram | None = None  # the same of about the last minute, fading
    # Of a client's wait, what is spent outside this model's queue and batch (the other members of
    # an ensemble); negative: what of the batch's time comes after the first response.
    beside_s: float = 0.0
    rejected: float = 0.0  # of the failures: by a queue's own policy
    # Compute time summed over requests: only of looks through Prometheus, which has no batches.
    compute_s: float | None = None


@dataclass(frozen=True, slots=True)
class PodSample:
    """One look at one pod. ``error`` is set, and ``models`` empty, when it gave nothing usable.

    ``unreachable``: its metrics could not even be asked for; ``fresh_s``: how long it says
    something about now, in seconds (a look through Prometheus is as old as its last scrape).
    """

    pod: str  # pod uid: a new pod never continues an old pod's counters
    at_s: float
    models: Mapping[str, ModelCounters]
    error: str = ""
    unreachable: bool = False
    second_hand: bool = False  # through Prometheus: there is nobody to ask for configurations
    # None while not known. An ensemble is here, and not among ``models``.
    configs: Mapping[str, ModelConfig] | None = None
    fresh_s: float = FRESH_S
    gpus: Mapping[str, GpuPower] = field(default_factory=dict)  # by UUID, where Triton has meters
    # Memory in use of each GPU that the server sees, by whomever; by UUID, where Triton tells.
    gpu_bytes: Mapping[str, int] = field(default_factory=dict)
    # What models took of the GPU that holds most of them, as they were loaded; those that tell.
    model_bytes: Mapping[str, int] = field(default_factory=dict)
    group: str = ""  # pods of one group are alike: the accelerator class
