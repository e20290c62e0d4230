"""A small simulator of Triton replicas under load, to drive ``step`` as the operator would.

Requests arrive at random (Poisson, with any rate over time) and go to a random ready replica, as
kube-proxy does; each replica batches what waits whenever an instance is free; a new replica is
ready after a cold start. It shares no code with what it tests, but for the vocabulary.
"""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

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
Rate = Callable[[float], float]
Fault = Callable[[float, list[PodSample]], list[PodSample]]


@dataclass
class Pod:
    uid: str
    created_s: float
    ready_s: float
    service_s: Sequence[float]
    instances: int = 1
    queue: deque[float] = field(default_factory=deque)
    free_s: list[float] = field(default_factory=list)
    running: list[tuple[float, int, float, list[float]]] = field(default_factory=list)
    success: int = 0
    request_s: float = 0.0
    batches: Counter[int] = field(default_factory=Counter)
    compute_s: Counter[int] = field(default_factory=Counter)  # type: ignore[type-arg]

    def advance(self, arrivals: Sequence[float], until_s: float) -> list[tuple[float, float]]:
        """Serve up to ``until_s``; returns (arrival, latency) of what started by then."""
        if not self.free_s:
            self.free_s = [self.ready_s] * self.instances
        self.queue.extend(arrivals)
        done = []
        while self.queue:
            server = min(range(self.instances), key=self.free_s.__getitem__)
            start = max(self.free_s[server], self.queue[0])
            if start >= until_s:
                break
            batch = [self.queue.popleft()]
            while self.queue and self.queue[0] <= start and len(batch) < len(self.service_s):
                batch.append(self.queue.popleft())
            took = self.service_s[len(batch) - 1]
            self.free_s[server] = start + took
            self.running.append((start + took, len(batch), took, batch))
            done += [(arrival, start + took - arrival) for arrival in batch]
        return done

    def sample(self, at_s: float) -> PodSample:
        """The counters, as Triton would have them at ``at_s``."""
        for entry in [e for e in self.running if e[0] <= at_s]:
            end_s, size, took, batch = entry
            self.running.remove(entry)
            self.success += size
            self.request_s += sum(end_s - arrival for arrival in batch)
            self.batches[size] += 1
            self.compute_s[size] += took
        counters = ModelCounters(
            success=self.success,
            failure=0,
            inferences=self.success,
            executions=sum(self.batches.values()),
            request_s=self.request_s,
            queue_s=0.0,
            pending=len(self.queue),
            batches={k: BatchStat(n, self.compute_s[k]) for k, n in self.batches.items()},
        )
        return PodSample(self.uid, at_s, {MODEL: counters})


@dataclass
class Result:
    requests: int = 0
    late: int = 0
    replica_s: float = 0.0
    oracle_s: float = 0.0
    changes: int = 0
    most: int = 0
    decisions: list[tuple[float, int, Decision]] = field(default_factory=list)

    @property
    def in_target(self) -> float:
        return 1 - self.late / max(1, self.requests)

    @property
    def cost(self) -> float:
        """Replica-time over what an oracle that knows the rate would have used."""
        return self.replica_s / self.oracle_s

    def first(self, replicas: int, since_s: float = 0) -> float:
        """When at least ``replicas`` were decided first after ``since_s``; inf if never."""
        return next(
            (at for at, _, d in self.decisions if at >= since_s and d.replicas >= replicas),
            float("inf"),
        )


def service(base_s: float, per_item_s: float, limit: int) -> list[float]:
    return [base_s + per_item_s * k for k in range(1, limit + 1)]


def simulate(
    rate: Rate,
    seconds: float,
    *,
    policy: ScalingPolicy,
    service_s: Sequence[float],
    true_capacity: float,
    cold_start_s: float = 10.0,
    tick_s: float = 2.0,
    replicas: int = 1,
    room: int = 1000,
    seed: int = 1,
    warm_up_s: float = 60.0,
    fault: Fault | None = None,
    keep: bool = False,
) -> Result:
    """Drive ``step`` for ``seconds``; the oracle knows the rate and one replica's capacity."""
    rng = random.Random(seed)
    state = ScalerState()
    result = Result()
    names = iter(range(10**9))
    pods = [Pod(f"pod-{next(names)}", 0.0, 0.0, service_s) for _ in range(replicas)]
    leaving: list[Pod] = []
    cold: list[float] = []
    at_s = 0.0
    while at_s < seconds:
        until_s = at_s + tick_s
        arrivals: dict[str, list[float]] = {}
        peak = max(rate(at_s), rate(until_s), 1e-9)
        arrival = at_s
        ready = [p for p in pods if p.ready_s <= at_s]
        while ready:
            arrival += rng.expovariate(peak)
            if arrival >= until_s:
                break
            if rng.random() * peak <= rate(arrival):
                arrivals.setdefault(rng.choice(ready).uid, []).append(arrival)
        for pod in (*pods, *leaving):
            for arrived_s, latency in pod.advance(arrivals.get(pod.uid, ()), until_s):
                if arrived_s >= warm_up_s:
                    result.requests += 1
                    result.late += latency > policy.target_s
        if at_s >= warm_up_s:
            result.replica_s += tick_s * len(pods)
            result.oracle_s += tick_s * max(policy.min_replicas, -(-rate(at_s) // true_capacity))
        at_s = until_s
        leaving = [p for p in leaving if p.queue]
        up = [p for p in pods if p.ready_s <= at_s]
        samples = [p.sample(at_s) for p in up]
        if fault is not None:
            samples = fault(at_s, samples)
        observation = ScalingObservation(
            now_s=at_s,
            replicas=len(pods),
            ready=len(up),
            starting_age_s=tuple(at_s - p.created_s for p in pods if p.ready_s > at_s),
            cold_start_s=tuple(cold),
            room=max(0, room - len(pods)),
            samples=tuple(samples),
        )
        state, decision = step(policy, state, observation)
        if keep:
            result.decisions.append((at_s, len(pods), decision))
        if decision.replicas != len(pods):
            result.changes += at_s >= warm_up_s
        while decision.replicas > len(pods):
            takes = cold_start_s * rng.uniform(0.75, 1.25)
            cold = [*cold[-19:], takes]
            pods.append(Pod(f"pod-{next(names)}", at_s, at_s + takes, service_s))
        while decision.replicas < len(pods):
            starting = [p for p in pods if p.ready_s > at_s]
            gone = starting[-1] if starting else pods[-1]
            pods.remove(gone)
            leaving.append(gone)
        result.most = max(result.most, len(pods))
    return result
