"""The scaler's view of a service: what its spec promises, and what its servers say they run.

Decides which of the two counts: what the spec sets, and where it sets nothing, what the most
cautious of its servers answers (two revisions of a model may differ). What neither says is left
out, and learned from what is seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from conch.autoscale.carbon_ceiling import capped
from conch.autoscale.schedule import limits
from conch.observe.durations import seconds
from conch.observe.state import Record
from conch.observe.types import PodSample, ScalingPolicy
from conch.triton.configuration import ModelConfig

_Number = TypeVar("_Number", int, float)


def policy_of(record: Record, now: datetime, g_per_kwh: float | None = None) -> ScalingPolicy:
    """What the spec says, with what is scheduled for now, and what the grid leaves of that.

    The record must be parsed; ``g_per_kwh`` None: not known.
    """
    if record.service is None:
        raise ValueError("an InferenceService that could not be parsed has no policy")
    spec = record.service.spec
    objective = spec.objectives.latency
    bounds = capped(limits(spec.scaling, now), spec.scaling, g_per_kwh)
    configs = {m.name: m.config for m in spec.models if m.config is not None}
    return ScalingPolicy(
        percentile=objective.percentile,
        target_s=seconds(objective.target),
        min_replicas=max(1, bounds.least),  # zero is decided elsewhere: to_zero
        max_replicas=bounds.most,
        models=tuple(m.name for m in spec.models),
        max_batch={
            name: config.max_batch_size
            for name, config in configs.items()
            if config.max_batch_size is not None
        },
        instances={
            name: config.instances
            for name, config in configs.items()
            if config.instances is not None
        },
        late_reject=objective.reject_late,
        queue_delay_s={
            name: seconds(config.dynamic_batching.max_queue_delay)
            for name, config in configs.items()
            if config.dynamic_batching is not None
            and config.dynamic_batching.max_queue_delay is not None
        },
    )


def agreed(samples: Iterable[PodSample]) -> dict[str, ModelConfig]:
    """By model, what all of the servers looked at can do; empty when none told."""
    found: dict[str, ModelConfig] = {}
    for sample in samples:
        for name, config in (sample.configs or {}).items():
            found[name] = _both(found[name], config) if name in found else config
    return found


def _both(one: ModelConfig, other: ModelConfig) -> ModelConfig:
    if one == other:
        return one
    return ModelConfig(
        members=one.members or other.members,
        max_batch=_chosen(min, one.max_batch, other.max_batch),
        instances=_chosen(min, one.instances, other.instances),
        queue_delay_s=_chosen(max, one.queue_delay_s, other.queue_delay_s),
        queue_policy=one.queue_policy or other.queue_policy,
    )


def _chosen(
    choose: Callable[[_Number, _Number], _Number], one: _Number | None, other: _Number | None
) -> _Number | None:
    return None if one is None or other is None else choose(one, other)


def informed(policy: ScalingPolicy, configs: Mapping[str, ModelConfig]) -> ScalingPolicy:
    """The policy with what the servers say of their models, where the spec says nothing."""
    batches = {n: c.max_batch for n, c in configs.items() if c.max_batch is not None}
    instances = {n: c.instances for n, c in configs.items() if c.instances is not None}
    delays = {n: c.queue_delay_s for n, c in configs.items() if c.queue_delay_s is not None}
    return replace(
        policy,
        max_batch={**batches, **policy.max_batch},
        instances={**instances, **policy.instances},
        queue_delay_s={**delays, **policy.queue_delay_s},
        queue_policy=policy.queue_policy | {n for n, c in configs.items() if c.queue_policy},
    )
