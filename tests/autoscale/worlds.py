"""Small worlds for the autoscaler's tests: one model, counters that can be set to anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from conch.autoscale import ScalerState, step
from conch.observe.types import (
    BatchStat,
    Decision,
    ModelCounters,
    PodSample,
    ScalingObservation,
    ScalingPolicy,
)

MODEL = "resnet"
POLICY = ScalingPolicy(
    percentile=99,
    target_s=0.4,
    min_replicas=1,
    max_replicas=10,
    models=(MODEL,),
    max_batch={MODEL: 4},
    instances={},
)


def counters(
    requests: float = 0,
    *,
    pending: float = 0,
    failure: float = 0,
    size: int = 4,
    batch_s: float = 0.080,
    latency_s: float | None = None,
) -> ModelCounters:
    """A pod that has answered ``requests``, all in batches of ``size``."""
    executions = int(requests / size)
    return ModelCounters(
        success=requests,
        failure=failure,
        inferences=requests,
        executions=executions,
        request_s=requests * batch_s,
        queue_s=0,
        pending=pending,
        latency_s=latency_s,
        batches={size: BatchStat(executions, executions * batch_s)} if executions else {},
    )


def sample(pod: str, at_s: float, found: ModelCounters | Mapping[str, ModelCounters]) -> PodSample:
    return PodSample(pod, at_s, {MODEL: found} if isinstance(found, ModelCounters) else found)


def broken(pod: str, at_s: float, error: str = "http://10.0.0.1: refused") -> PodSample:
    return PodSample(pod, at_s, {}, error)


class World:
    """A service whose pods each answer ``rate`` requests/s, looked at every two seconds."""

    def __init__(self, pods: int = 1, policy: ScalingPolicy = POLICY) -> None:
        self.policy = policy
        self.state = ScalerState()
        self.now_s = 1000.0
        self.pods = {f"pod-{i}": counters() for i in range(pods)}
        self.replicas = pods
        self.room = 100
        self.starting_age_s: tuple[float, ...] = ()
        self.cold_start_s: tuple[float, ...] = (10.0,)

    def look(self, samples: tuple[PodSample, ...] | None = None, **observed: Any) -> Decision:
        """One step, two seconds later; ``replicas`` stays what it was."""
        self.now_s += 2
        if samples is None:
            samples = tuple(sample(pod, self.now_s, found) for pod, found in self.pods.items())
        observation = ScalingObservation(
            now_s=self.now_s,
            replicas=self.replicas,
            ready=len(self.pods),
            starting_age_s=self.starting_age_s,
            cold_start_s=self.cold_start_s,
            room=self.room,
            samples=samples,
        )
        self.state, decision = step(self.policy, self.state, replace(observation, **observed))
        return decision

    def serve(self, rate: float, seconds: float, **kwargs: Any) -> Decision:
        """Every pod answers ``rate`` requests/s; the last decision. ``replicas`` is not applied."""
        decision = None
        for _ in range(max(1, int(seconds / 2))):
            for pod, before in self.pods.items():
                done = before.success + 2 * rate
                self.pods[pod] = counters(done, **kwargs)
            decision = self.look()
        assert decision is not None
        return decision
