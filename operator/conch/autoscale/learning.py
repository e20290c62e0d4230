"""What every model is known to need, learned look by look, and what that makes a replica do.

Decides which curve capacity is computed from, per model and group of replicas that are alike: it
follows the learned one in steps. It knows nothing of demand, or of how many replicas there are.
Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from statistics import median
from typing import Final

from conch.autoscale.capacity import Capacity, capacity
from conch.autoscale.curve import Curve
from conch.autoscale.groups import MOST as MOST_GROUPS
from conch.autoscale.signals import Signals, Taken
from conch.autoscale.state import ModelState, Plan, ScalerState, Speed
from conch.observe.types import ScalingPolicy

FEWEST_EXECUTIONS: Final = 3.0  # fewer say nothing about the service time
MAX_BATCH: Final = 256  # larger batches are taken as this one
_CURVE_STEP: Final = 0.02  # of a service time
_NOISE_STEP: Final = 0.03
_LEAST_TARGET: Final = 0.01  # of the target, where others use it up: no size reaches it then


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
            model = ModelState(
                speeds=_speeds(policy, name, model.speeds, interval.groups, signals, elapsed_s),
                demand=model.demand.after(interval),
                health=model.health.after(
                    interval, signals.stuck_pods[name], signals.baselines.keys()
                ),
                pending=interval.pending,
            )
        learned[name] = model
    return learned


def _speeds(
    policy: ScalingPolicy,
    name: str,
    known: Mapping[str, Speed],
    seen: Mapping[str, Taken],
    signals: Signals,
    elapsed_s: float,
) -> dict[str, Speed]:
    """What is known of each group with what was seen of it; of too many, those seen last."""
    found = {
        # One that is remembered, or estimated, is known before its first replica is ready.
        group: one if one.plan else replace(one, plan=_first(policy, name, one.curve))
        for group, one in known.items()
        if group not in seen
    }
    for group, taken in seen.items():
        before = known.get(group, Speed())
        curve = before.curve.learned(taken.batches, elapsed_s)
        found[group] = Speed(
            curve,
            _planned(before.plan, curve, _batch_limit(policy, name, curve)),
            _beside_s(before.beside_s, name, group, signals, policy.target_s),
        )
    return dict(list(found.items())[-MOST_GROUPS:])


def _beside_s(before_s: float, name: str, group: str, signals: Signals, target_s: float) -> float:
    """The typical pod's, kept while it is about the same: capacity is costly to solve."""
    found = [
        s.models[name].beside_s
        for s in signals.baselines.values()
        if name in s.models and s.group == group
    ]
    if not found:
        return before_s
    seen_s = median(found)
    return seen_s if abs(seen_s - before_s) > _CURVE_STEP * target_s else before_s


def _first(policy: ScalingPolicy, name: str, curve: Curve) -> Plan | None:
    return _planned(None, curve, _batch_limit(policy, name, curve))


def stretched(curve: Curve, factor: float) -> Curve:
    """What to expect where everything takes ``factor`` times as long: just enough to plan with, so
    that the first looks there replace it."""
    trust = min(1.0, 1.01 * FEWEST_EXECUTIONS / max(curve.executions, 1e-9))
    return Curve(
        {
            k: replace(size, weight=trust * size.weight, mean_s=factor * size.mean_s)
            for k, size in curve.sizes.items()
        }
    )


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


def known_capacity(policy: ScalingPolicy, name: str, found: Speed) -> Capacity | None:
    """What one replica does for a model, once its service time is known."""
    return capacity_with(policy, name, found.plan, found.beside_s) if found.plan else None


def capacity_with(policy: ScalingPolicy, name: str, plan: Plan, beside_s: float) -> Capacity:
    """What a replica with such service times does for a model."""
    return capacity(
        plan.service_s,
        policy.instances.get(name, 1),
        policy.percentile,
        max(_LEAST_TARGET * policy.target_s, policy.target_s - beside_s),
        plan.noise,
        queue_delay_s=policy.queue_delay_s.get(name, 0.0),
        queue_policy=policy.late_reject or name in policy.queue_policy,
    )


def throughputs(
    policy: ScalingPolicy, models: Mapping[str, ModelState]
) -> dict[str, dict[str, float]]:
    """What one replica can complete per model and group, in requests/s, where its service time is
    known."""
    found: dict[str, dict[str, float]] = {}
    for name, model in models.items():
        known = {group: known_capacity(policy, name, one) for group, one in model.speeds.items()}
        found[name] = {g: one.throughput for g, one in known.items() if one is not None}
    return found
