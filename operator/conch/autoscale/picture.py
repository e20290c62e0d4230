"""What a decision rests on: every model's demand against what replicas carry.

Decides what is known and what is not; the rules that follow from it are ``decide``'s. Demand of
several models is added up in busy replicas, since a replica's time is shared by its models; where
replicas are not alike, in those of one group, the reference (``groups``). Pure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from conch.autoscale.capacity import Capacity
from conch.autoscale.fleet import Fleet
from conch.autoscale.groups import Members, Mix, Mixed, faster
from conch.autoscale.learning import known_capacity
from conch.autoscale.season import Due
from conch.autoscale.signals import Interval, Signals
from conch.autoscale.state import ModelState
from conch.autoscale.tuning import Tuning
from conch.observe.types import PodSample, ScalingObservation, ScalingPolicy

_DRAIN_S: Final = 10.0  # a backlog is to be gone this long after new replicas are ready
_MOST_DRAIN: Final = 0.5  # of the demand: the backlog sits on old replicas, new ones help little
_USED_STEPS: Final = 100
_MOST_PATIENT: Final = 4.0  # full batches; more makes no difference
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
    members: Members
    groups: Mapping[str, tuple[Load, ...]]  # the same demand on replicas of each group
    follows: float  # see groups.Mix
    strain: float = 1.0
    due: Due | None = None  # a rise that comes at this time on other days

    @property
    def level(self) -> float:
        """Demand now, in busy replicas."""
        return sum(load.busy for load in self.loads)

    @property
    def bound(self) -> float:
        """The most demand to expect within the horizon, in busy replicas."""
        return max(self.tuning.bound(self.level), self._due) * self.strain

    @property
    def prepares_for(self) -> Due | None:
        """The rise of other days, where the bound rests on it and not on what arrives."""
        return self.due if self._due > self.tuning.bound(self.level) else None

    @property
    def _due(self) -> float:
        return self.due.level * self.tuning.correction.factor if self.due is not None else 0.0

    @property
    def fleet(self) -> Fleet:
        return fleet(self.policy, self.loads, self.tuning)

    @property
    def mixed(self) -> Mixed | None:
        """Replicas that are not alike; None where all are."""
        if all(loads == self.loads for loads in self.groups.values()):
            return None
        fleets = {g: fleet(self.policy, loads, self.tuning) for g, loads in self.groups.items()}
        speeds = {g: _speed(self.loads, loads) for g, loads in self.groups.items()}
        return Mixed(self.members, fleets, speeds, min(self.tuning.evenness, self.follows))

    @property
    def needed(self) -> int:
        """Replicas for the bound, whatever the limits are."""
        return (self.mixed or self.fleet).needed(self.bound, _NO_LIMIT) if self.loads else 1

    def replicas(self, counted: int) -> int:
        """How many replicas carry what ``counted`` ones of the reference do."""
        mixed = self.mixed
        if mixed is None or not counted:
            return counted
        return mixed.needed(self.fleet.carries(counted), _NO_LIMIT)

    def counted(self, replicas: int) -> int:
        """How many of the reference carry what ``replicas`` do."""
        mixed = self.mixed
        if mixed is None or not replicas:
            return replicas
        return self.fleet.needed(mixed.carries(mixed.of(replicas)), _NO_LIMIT)

    @property
    def strength(self) -> float:
        """What the ready replicas carry over what as many of the reference would."""
        mixed = self.mixed
        if mixed is None or not (ready := sum(mixed.members.ready.values())):
            return 1.0
        return mixed.carries(mixed.members.ready) / self.fleet.carries(ready)

    @property
    def serving(self) -> tuple[Load, ...]:
        """The demand on replicas of every group that has ready ones."""
        ready = [load for group in self.members.ready for load in self.groups.get(group, ())]
        return tuple(ready) or self.loads

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
        needed, mixed = self.needed, self.mixed
        carried = mixed.carries(mixed.of(needed)) if mixed else self.fleet.carries(needed)
        return carried / needed * self.throughput_rps

    @property
    def group_rps(self) -> dict[str, float]:
        """The same by group, where replicas are not alike: as if all were of that one."""
        mixed = self.mixed
        if mixed is None:
            return {}
        needed = self.needed
        return {
            group: speed * mixed.load(group, needed) * self.throughput_rps
            for group, speed in mixed.speeds.items()
        }


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


def _speed(reference: Sequence[Load], loads: Sequence[Load]) -> float:
    """How much a replica of a group completes, over one of the reference, of the present mix."""
    rates = {load.model: load.rate + load.drain_rps for load in reference}
    one, other = (
        {load.model: load.capacity.throughput for load in at} for at in (reference, loads)
    )
    return faster(rates, one, other)


def draw(
    policy: ScalingPolicy,
    observation: ScalingObservation,
    models: Mapping[str, ModelState],
    signals: Signals,
    tuning: Tuning,
    horizon_s: float,
    members: Members,
    mix: Mix,
) -> Picture:
    """The picture of this moment; models that nothing was heard of yet are left out."""
    loads: list[Load] = []
    groups: dict[str, list[Load]] = {group: [] for group in members.groups}
    unknown = []
    arriving = False
    for name, model in models.items():
        if not model.demand.points:
            continue
        rate = model.demand.level()
        busy = rate > 0 or model.pending > 0
        arriving |= busy
        load = _load(policy, name, model, mix.reference, observation.ready, horizon_s)
        if load is None:
            if busy:
                unknown.append(name)
            continue
        loads.append(load)
        for group, found in groups.items():
            own = None  # a group that nothing is known of is taken as the reference
            if group != mix.reference and model.is_known(group):
                own = _load(policy, name, model, group, observation.ready, horizon_s)
            found.append(own or load)
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
        members=members,
        groups={group: tuple(found) for group, found in groups.items()},
        follows=mix.follows,
    )


def _load(
    policy: ScalingPolicy, name: str, model: ModelState, group: str, ready: int, horizon_s: float
) -> Load | None:
    speed = model.speed(group)
    found = known_capacity(policy, name, speed) if speed is not None else None
    if speed is None or speed.plan is None or found is None:
        return None
    rate, limit = model.demand.level(), len(speed.plan.service_s)
    return Load(
        model=name,
        rate=rate,
        drain_rps=_drain_rps(model, rate, ready * limit, horizon_s, policy),
        capacity=found,
        largest_batch=limit,
        service_s=speed.plan.service_s[-1],
        beside_s=speed.beside_s,
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

    Rejected and failed ones are counted exactly. Of the rest only quantiles are known, of about the
    last minute: the tail beyond one is taken as a normal's, but no more than the mean of those that
    just ended allows for. Without quantiles, a mean near the target is a backlog.
    """
    failed = sum(i.failed for i in intervals.values())
    ended = sum(i.succeeded for i in intervals.values())
    spent_s = sum(i.request_s for i in intervals.values())
    allowed = 1 - policy.percentile / 100
    if latencies:
        # After a backlog the quantile stays high for a minute, though all is well again.
        mean_s = spent_s / ended if ended > 0 and spent_s > 0 else math.inf
        shares = [
            min(
                allowed ** ((policy.target_s / latency) ** 2),
                mean_s / ((policy.target_s + latency) / 2),
            )
            for latency in latencies
            if latency > (policy.target_s if policy.late_reject else 0)
        ]
        return failed + ended * sum(shares) / len(latencies), True
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
