"""A scenario as the arrays that the compiled loop works on."""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from conch.twin import kernel
from conch.twin.kernel import Fleet
from conch.twin.scenario import Scenario
from conch.twin.service import ServiceModel

_SAMPLE: Final = 512  # latencies kept between two looks
_ROUTINGS: Final[dict[str, int]] = {
    "least": kernel.LEAST,
    "random": kernel.RANDOM,
    "connections": kernel.CONNECTIONS,
}


def set_batcher(params: kernel.Floats, service: ServiceModel) -> None:
    """How batches are formed depends on there being a queue policy (see ``kernel``)."""
    policy = (
        math.isfinite(params[kernel.REJECT_AFTER_S])
        or service.max_queue_size > 0
        or len(service.priorities) > 1
    )
    params[kernel.AHEAD] = service.ahead and service.max_queue_delay_s > 0 and not policy
    params[kernel.LOST] = service.lost_wakeups if policy else 0.0


def build_fleet(
    scenario: Scenario, arrivals: np.ndarray[tuple[int], np.dtype[np.float64]]
) -> Fleet:
    """The arrays of a run, with no replica yet. Room for twice the replicas: some drain."""
    service = scenario.service
    n = arrivals.size
    room = 3 * n if scenario.retry_share > 0 else 0
    slots = 2 * max(scenario.max_replicas, scenario.initial_replicas) + 16
    instances, limit, levels = service.instances, service.max_batch, len(service.priorities)
    ints = np.zeros(kernel.INTS, dtype=np.int64)
    ints[kernel.TRACE_END] = ints[kernel.RETRY_NEXT] = ints[kernel.RETRY_END] = n
    ints[kernel.ROUTING] = _ROUTINGS[scenario.routing]
    params = np.zeros(kernel.PARAMS)
    params[kernel.REJECT_AFTER_S] = (
        math.inf if scenario.reject_after_s is None else scenario.reject_after_s
    )
    params[kernel.QUEUE_DELAY_S] = service.max_queue_delay_s
    params[kernel.NOISE] = math.sqrt(math.log1p(service.noise**2))
    params[kernel.RETRY_SHARE] = scenario.retry_share
    params[kernel.RETRY_DELAY_S] = scenario.retry_delay_s
    params[kernel.RECYCLE_S] = scenario.recycle_s
    params[kernel.MAX_QUEUE] = service.max_queue_size or math.inf
    set_batcher(params, service)
    preferred = service.preferred or (limit,)
    best = [max((p for p in preferred if p <= k), default=0) for k in range(limit + 1)]
    above = [min((p for p in preferred if p > k), default=min(preferred)) for k in range(limit + 1)]
    shares = np.cumsum(service.priorities)

    def integers(*shape: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
        return np.zeros(shape, dtype=np.int64)

    return Fleet(
        arrival_s=np.concatenate([arrivals, np.full(room, np.inf)]),
        latency_s=np.full(n + room, np.nan, dtype=np.float32),
        link=np.full(n + room, -1, dtype=np.int32),
        ints=ints,
        params=params,
        rng=np.array([scenario.seed * 2654435761 + 0x9E3779B97F4A7C15], dtype=np.uint64),
        service_s=np.array([0.0, *service.service_s]),
        best_preferred=np.array(best, dtype=np.int64),
        next_preferred=np.array(above, dtype=np.int64),
        drift_s=np.array([t for t, _ in service.drift]),
        drift=np.array([factor for _, factor in service.drift]),
        priority=shares / shares[-1],
        state=integers(slots),
        ready=integers(slots),
        outstanding=integers(slots),
        waiting=integers(slots),
        head=integers(slots, levels) - 1,
        tail=integers(slots, levels) - 1,
        idle=integers(slots) + instances,
        timer_s=np.full(slots, np.inf),
        event_s=np.full(slots, np.inf),
        speed=np.ones(slots),
        closed=integers(slots, 2 * instances),
        n_closed=integers(slots),
        n_open=integers(slots),
        first_open=integers(slots),
        current=integers(slots),
        enough=integers(slots),
        sleep_s=np.full(slots, np.inf),
        touched_s=np.zeros(slots),
        empty_s=np.zeros(slots),
        ends_s=np.full((slots, instances), np.inf),
        starts_s=np.zeros((slots, instances)),
        first=integers(slots, instances),
        size=integers(slots, instances),
        counters=np.zeros((slots, kernel.COUNTERS)),
        batch_count=np.zeros((slots, limit + 1)),
        batch_s=np.zeros((slots, limit + 1)),
        histogram=np.zeros((slots, kernel.WINDOW_STEPS, kernel.BINS), dtype=np.int32),
        epoch=integers(slots, kernel.WINDOW_STEPS) - 1,
        sample_s=np.zeros(_SAMPLE),
        channel=integers(scenario.channels) - 1,
        channel_until_s=np.zeros(scenario.channels),
    )
