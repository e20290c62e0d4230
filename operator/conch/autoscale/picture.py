"""What a decision rests on: every model's demand against what one replica carries.

Decides what is known and what is not; the rules that follow from it are ``decide``'s. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from conch.autoscale.capacity import Capacity, capacity
from conch.autoscale.curve import Curve
from conch.autoscale.horizon import Estimate, cold_start_s
from conch.autoscale.signals import Signals
from conch.autoscale.state import ModelState, Plan, ScalerState
from conch.observe.types import PodSample, ScalingObservation, ScalingPolicy

FEWEST_EXECUTIONS: Final = 3.0  # fewer say nothing about the service time
MAX_BATCH: Final = 256  # larger batches are taken as this one
SHORTEST_HOLD_S: Final = 60.0
LONGEST_HOLD_S: Final = 300.0
_HOLD_COLD_STARTS: Final = 3.0  # a replica given back too early is missed for a cold start
_CURVE_STEP: Final = 0.02  # of a service time
_NOISE_STEP: Final = 0.03
_DRAIN_S: Final = 10.0  # a backlog is to be gone this long after new replicas are ready
_MOST_DRAIN: Final = 0.5  # of the demand: the backlog sits on old replicas, new ones help little


@dataclass(frozen=True, slots=True)
class Load:
    """One model's demand against one replica's capacity; ``replicas`` is their quotient."""

    model: str
    estimate: Estimate
    bound_rps: float
    capacity: Capacity
    largest_batch: int
    service_s: float  # of the largest batch

    @property
    def replicas(self) -> float:
        return self.bound_rps / self.capacity.rate


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything a decision rests on, for the rules and for the sentences."""

    policy: ScalingPolicy
    observation: ScalingObservation
    horizon_s: float
    hold_s: float
    loads: tuple[Load, ...]
    unknown: tuple[str, ...]  # models with requests whose service time is not known yet
    arriving: bool
    silent: int
    backlog: bool
    strain: float = 1.0

    @property
    def needed(self) -> float:
        """Replicas, as a fraction: a replica's time is shared by its models."""
        return sum(load.replicas for load in self.loads) * self.strain

    @property
    def bound_rps(self) -> float:
        """Requests/s of all models, at most, within the horizon."""
        return sum(load.bound_rps for load in self.loads)

    @property
    def capacity_rps(self) -> float | None:
        """Requests/s one replica carries of the present mix of models."""
        if not self.loads:
            return None
        if self.needed <= 0:
            return min(load.capacity.rate for load in self.loads)
        return self.bound_rps / self.needed


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
            )
        learned[name] = model
    return learned


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
        policy.target_s,
        model.plan.noise,
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
) -> Picture:
    """The picture of this moment; models that nothing was heard of yet are left out."""
    horizon_s = cold_start_s(observation.cold_start_s, observation.starting_age_s)
    loads = []
    unknown = []
    arriving = backlog = False
    for name, model in models.items():
        if not model.demand.points:
            continue
        estimate = model.demand.estimate(observation.now_s)
        busy = estimate.level > 0 or model.pending > 0
        arriving |= busy
        found = _capacity(policy, name, model)
        if found is None or model.plan is None:
            if busy:
                unknown.append(name)
            continue
        limit = len(model.plan.service_s)
        drain_rps = _drain_rps(model, estimate, observation.ready * limit, horizon_s, policy)
        backlog |= drain_rps > 0
        loads.append(
            Load(
                model=name,
                estimate=estimate,
                bound_rps=estimate.bound(horizon_s) + drain_rps,
                capacity=found,
                largest_batch=limit,
                service_s=model.plan.service_s[-1],
            )
        )
    return Picture(
        policy=policy,
        observation=observation,
        horizon_s=horizon_s,
        hold_s=min(LONGEST_HOLD_S, max(SHORTEST_HOLD_S, _HOLD_COLD_STARTS * horizon_s)),
        loads=tuple(loads),
        unknown=tuple(unknown),
        arriving=arriving,
        silent=signals.silent,
        backlog=backlog,
    )


def _drain_rps(
    model: ModelState,
    estimate: Estimate,
    one_batch_each: int,
    horizon_s: float,
    policy: ScalingPolicy,
) -> float:
    """What a backlog adds to the demand; a queue within the target is no backlog."""
    backlog = model.pending - max(float(one_batch_each), estimate.level * policy.target_s)
    return min(max(0.0, backlog) / (horizon_s + _DRAIN_S), _MOST_DRAIN * estimate.level)


def latencies_s(samples: Sequence[PodSample]) -> list[float]:
    """Every pod's latency at the percentile, its slowest model's."""
    by_pod = (
        [c.latency_s for c in sample.models.values() if c.latency_s is not None]
        for sample in samples
    )
    return [max(seen) for seen in by_pod if seen]
