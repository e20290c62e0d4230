"""Looks at a service as a rule's test needs them: a few pods that all got the same traffic."""

from __future__ import annotations

from collections.abc import Sequence

from conch.observe.types import ModelCounters, PodSample, ScalingObservation
from conch.twin.controller import Sight
from conch.twin.rules.setting import Setting

SETTING = Setting(
    target_s=0.5,
    percentile=99,
    min_replicas=1,
    max_replicas=20,
    service_s=tuple(0.040 + 0.020 * k for k in range(1, 9)),
    instances=1,
    one_replica_rps=30.0,
    cold_start_s=40.0,
)


def counters(
    success: float, failure: float = 0, queue_s: float = 0, request_s: float = 0, pending: float = 0
) -> ModelCounters:
    return ModelCounters(
        success=success,
        failure=failure,
        inferences=success,
        executions=success,
        request_s=request_s,
        queue_s=queue_s,
        pending=pending,
    )


def sight(
    now_s: float,
    pods: Sequence[ModelCounters],
    replicas: int | None = None,
    starting: int = 0,
    running: int | None = None,
    in_flight: Sequence[float] = (),
    busy: Sequence[float] = (),
    latencies_s: Sequence[float] = (),
) -> Sight:
    """``running`` defaults to the pods that report."""
    count = len(pods)
    return Sight(
        observation=ScalingObservation(
            now_s=now_s,
            replicas=count + starting if replicas is None else replicas,
            ready=count,
            starting_age_s=(1.0,) * starting,
            cold_start_s=(),
            room=100,
            samples=tuple(PodSample(f"pod{i}", now_s, {"m": c}) for i, c in enumerate(pods)),
        ),
        running=count if running is None else running,
        in_flight=tuple(in_flight),
        busy=tuple(busy),
        latencies_s=tuple(latencies_s),
    )
