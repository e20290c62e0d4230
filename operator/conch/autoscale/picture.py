"""What a decision rests on: every model's demand against what replicas carry.

Decides what is known and what is not; the rules that follow from it are ``decide``'s. Demand of
several models is added up in busy replicas, since a replica's time is shared by its models. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from conch.autoscale.capacity import Capacity, capacity
from conch.autoscale.curve import Curve
from conch.autoscale.fleet import Fleet
from conch.autoscale.signals import Interval, Signals
from conch.autoscale.state import ModelState, Plan, ScalerState
from conch.autoscale.tuning import Tuning
from conch.observe.types import PodSample, ScalingObservation, ScalingPolicy

FEWEST_EXECUTIONS: Final = 3.0  # fewer say nothing about the service time
MAX_BATCH: Final = 256  # larger batches are taken as this one
_CURVE_STEP: Final = 0.02  # of a service time
_NOISE_STEP: Final = 0.03
_DRAIN_S: Final = 10.0  # a backlog is to be gone this long after new replicas are ready
_MOST_DRAIN: Final = 0.5  # of the demand: the backlog sits on old replicas, new ones help little
_USED_STEPS: Final = 100
_MOST_PATIENT: Final = 4.0  # full batches; more makes no difference
_LEAST_TARGET: Final = 0.01  # of the target, where others use it up: no size reaches it then
_SERVED: Final = 1.1  # times the largest batch's time: the rest of a request's way
# Of a full batch's time: one that arrived just after it began has waited that long, and can still
# be in time in the next, smaller one.
_LEAST_WAIT: Final = 0.8
_LATE_MEAN: Final = 0.8  # of the target: a mean latency beyond it is a backlog


@dataclass(frozen=True, slots=True)
class Load:
    """One model's arrivals now against what one replica completes (both requests/s)."""

    model: str
    rate: float
    drain_rps: float
    capacity: Capacity
    largest_batch: int
    service_s: float  # of the largest batch
    beside_s: float = 0.0  # see triton.sample.ModelCounters

    def spent_s(self, times: float) -> float:
        """What a client waits for beyond the queue, its batch counted so many times."""
        answered_s = max(0.0, self.service_s + min(0.0, self.beside_s))
        return max(0.0, self.beside_s) + times * answered_s

    @property
    def busy(self) -> float:
        """Replicas this model keeps busy now, a backlog included."""
        return (self.rate + self.drain_rps) / self.capacity.throughput


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything a decision rests on, for the rules and for the sentences."""

    policy: ScalingPolicy
    observation: ScalingObservation
    horizon_s: float
    loads: tuple[Load, ...]
    unknown: tuple[str, ...]  # models with requests whose service time is not known yet
    arriving: bool
    silent: int
    backlog: bool
    tuning: Tuning
    strain: float = 1.0

    @property
    def level(self) -> float:
        """Demand now, in busy replicas."""
        return sum(load.busy for load in self.loads)

    @property
    def bound(self) -> float:
        """The most demand to expect within the horizon, in busy replicas."""
        return self.tuning.bound(self.level) * self.strain

    @property
    def fleet(self) -> Fleet:
        return fleet(self.policy, self.loads, self.tuning)

    @property
    def needed(self) -> int:
        """Replicas for the bound, whatever the limits are."""
        return self.fleet.needed(self.bound, _NO_LIMIT) if self.loads else 1

    def heavier(self, before: Mapping[str, float]) -> float:
        """The work of the present requests over what ``before``, the throughputs known then, would
        have made of it."""
        loads = [load for load in self.loads if load.model in before]
        then = sum(load.rate / before[load.model] for load in loads)
        return sum(load.rate / load.capacity.throughput for load in loads) / then if then else 1.0

    @property
    def rate(self) -> float:
        return sum(load.rate for load in self.loads)

    @property
    def throughput_rps(self) -> float:
        """Requests/s that one replica completes of the present mix of models."""
        level = self.level
        if level <= 0:
            return min(load.capacity.throughput for load in self.loads)
        return sum(load.rate + load.drain_rps for load in self.loads) / level

    @property
    def bound_rps(self) -> float:
        return self.bound * self.throughput_rps if self.loads else 0.0

    @property
    def capacity_rps(self) -> float | None:
        """Requests/s a replica carries of the present mix, in a service as large as is needed."""
        if not self.loads:
            return None
        needed = self.needed
        return self.fleet.carries(needed) / needed * self.throughput_rps


_NO_LIMIT: Final = 1_000_000


def fleet(policy: ScalingPolicy, loads: Sequence[Load], tuning: Tuning) -> Fleet:
    """How replicas share the present mix of models."""
    busy = sum(load.busy for load in loads)
    if busy > 0:
        used = sum(load.busy * _used(load.capacity) for load in loads) / busy
    else:
        used = min((_used(load.capacity) for load in loads), default=0.8)
    return Fleet(
        used=round(used * _USED_STEPS) / _USED_STEPS,
        batched=any(load.largest_batch > 1 for load in loads),
        evenness=tuning.evenness,
        late=1 - policy.percentile / 100,
        reject=policy.late_reject,
        patience=round(min(_MOST_PATIENT, _patience(policy, loads)), 1),
    )


def longest_wait_s(policy: ScalingPolicy, loads: Sequence[Load]) -> float:
    """The wait in a queue after which a request of any model is late anyway."""
    slowest_s = max(load.service_s for load in loads)
    spent_s = max(load.spent_s(_SERVED) for load in loads)
    return max(_LEAST_WAIT * slowest_s, policy.target_s - spent_s)


def _patience(policy: ScalingPolicy, loads: Sequence[Load]) -> float:
    """That wait in full batches of the slowest model."""
    if not loads:
        return _MOST_PATIENT
    return longest_wait_s(policy, loads) / max(load.service_s for load in loads)


def _used(found: Capacity) -> float:
    return min(1.0, found.rate / found.throughput)


def learn(
    policy: ScalingPolicy, state: ScalerState, signals: Signals, now_s: float
) -> dict[str, ModelState]:
    """Every model's state after this step's intervals; a model without one keeps its own."""
    elapsed_s = now_s - state.stepped_s if state.stepped_s is not None else 0.0
    learned = {}
    for name in policy.models:
        model = state.models.get(name, ModelState())
        interval = signals.intervals.get(name)
        if interval is not None:
            curve = model.curve.learned(interval.batches, elapsed_s)
            model = ModelState(
                curve=curve,
                plan=_planned(model.plan, curve, _batch_limit(policy, name, curve)),
                demand=model.demand.after(interval),
                health=model.health.after(
                    interval, signals.stuck_pods[name], signals.baselines.keys()
                ),
                pending=interval.pending,
                beside_s=_beside_s(model.beside_s, name, signals, policy.target_s),
            )
        learned[name] = model
    return learned


def _beside_s(before_s: float, name: str, signals: Signals, target_s: float) -> float:
    """The typical pod's, kept while it is about the same: capacity is costly to solve."""
    found = [s.models[name].beside_s for s in signals.baselines.values() if name in s.models]
    if not found:
        return before_s
    seen_s = median(found)
    return seen_s if abs(seen_s - before_s) > _CURVE_STEP * target_s else before_s


def _batch_limit(policy: ScalingPolicy, name: str, curve: Curve) -> int:
    return min(MAX_BATCH, max(1, policy.max_batch.get(name, curve.largest)))


def _planned(plan: Plan | None, curve: Curve, limit: int) -> Plan | None:
    """The old plan while the curve is close to it, else a new one."""
    if curve.executions < FEWEST_EXECUTIONS:
        return plan
    service_s, noise = curve.service_s(limit), curve.noise()
    if (
        plan is not None
        and len(plan.service_s) == limit
        and abs(noise - plan.noise) <= _NOISE_STEP
        and all(
            abs(new - old) <= _CURVE_STEP * old
            for new, old in zip(service_s, plan.service_s, strict=True)
        )
    ):
        return plan
    return Plan(tuple(service_s), noise)


def _capacity(policy: ScalingPolicy, name: str, model: ModelState) -> Capacity | None:
    if model.plan is None:
        return None
    return capacity(
        model.plan.service_s,
        policy.instances.get(name, 1),
        policy.percentile,
        max(_LEAST_TARGET * policy.target_s, policy.target_s - model.beside_s),
        model.plan.noise,
        queue_delay_s=policy.queue_delay_s.get(name, 0.0),
        queue_policy=policy.late_reject or name in policy.queue_policy,
    )


def throughputs(policy: ScalingPolicy, models: Mapping[str, ModelState]) -> dict[str, float]:
    """What one replica can complete per model, in requests/s, where its service time is known."""
    known = {name: _capacity(policy, name, model) for name, model in models.items()}
    return {name: found.throughput for name, found in known.items() if found is not None}


def draw(
    policy: ScalingPolicy,
    observation: ScalingObservation,
    models: Mapping[str, ModelState],
    signals: Signals,
    tuning: Tuning,
    horizon_s: float,
) -> Picture:
    """The picture of this moment; models that nothing was heard of yet are left out."""
    loads = []
    unknown = []
    arriving = False
    for name, model in models.items():
        if not model.demand.points:
            continue
        rate = model.demand.level()
        busy = rate > 0 or model.pending > 0
        arriving |= busy
        found = _capacity(policy, name, model)
        if found is None or model.plan is None:
            if busy:
                unknown.append(name)
            continue
        limit = len(model.plan.service_s)
        loads.append(
            Load(
                model=name,
                rate=rate,
                drain_rps=_drain_rps(model, rate, observation.ready * limit, horizon_s, policy),
                capacity=found,
                largest_batch=limit,
                service_s=model.plan.service_s[-1],
                beside_s=model.beside_s,
            )
        )
    return Picture(
        policy=policy,
        observation=observation,
        horizon_s=horizon_s,
        loads=tuple(loads),
        unknown=tuple(unknown),
        arriving=arriving,
        silent=signals.silent,
        backlog=any(load.drain_rps > 0 for load in loads),
        tuning=tuning,
    )


def _drain_rps(
    model: ModelState, rate: float, one_batch_each: int, horizon_s: float, policy: ScalingPolicy
) -> float:
    """What a backlog adds to the demand; a queue within the target is no backlog."""
    backlog = model.pending - max(float(one_batch_each), rate * policy.target_s)
    return min(max(0.0, backlog) / (horizon_s + _DRAIN_S), _MOST_DRAIN * rate)


def late(
    policy: ScalingPolicy, intervals: Mapping[str, Interval], latencies: Sequence[float]
) -> tuple[float, bool]:
    """How many of the requests that just ended were late, and whether that could be seen.

    Rejected and failed ones are counted exactly. Of the rest only quantiles are known: the tail
    beyond one is taken as a normal's. Without quantiles, a mean near the target is a backlog.
    """
    failed = sum(i.failed for i in intervals.values())
    ended = sum(i.succeeded for i in intervals.values())
    allowed = 1 - policy.percentile / 100
    if latencies:
        shares = [
            allowed ** ((policy.target_s / latency) ** 2)
            for latency in latencies
            if latency > (policy.target_s if policy.late_reject else 0)
        ]
        return failed + ended * sum(shares) / len(latencies), True
    spent_s = sum(i.request_s for i in intervals.values())
    if ended > 0 and spent_s > _LATE_MEAN * policy.target_s * ended:
        return failed + ended, True
    return failed, policy.late_reject and (spent_s > 0 or failed > 0)


def latencies_s(samples: Sequence[PodSample]) -> list[float]:
    """Every pod's latency at the percentile, its slowest model's."""
    by_pod = (
        [c.latency_s for c in sample.models.values() if c.latency_s is not None]
        for sample in samples
    )
    return [max(seen) for seen in by_pod if seen]
