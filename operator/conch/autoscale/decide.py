"""The step: from the last state and what is seen now to how many replicas, and why.

Decides up at once, down after a hold and in steps, and nothing at all without data. It reads no
clock and writes nowhere: the caller passes the time and applies the Decision. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from statistics import median_high
from typing import Final

from conch.api.conditions import Reason
from conch.autoscale import explain
from conch.autoscale.groups import Members, Mix, completes, faster
from conch.autoscale.horizon import cold_start_s
from conch.autoscale.learning import learn, throughputs
from conch.autoscale.picture import Picture, draw, fleet, late, latencies_s, longest_wait_s
from conch.autoscale.season import Due, Season
from conch.autoscale.signals import STALE_S, Signals, gather
from conch.autoscale.state import ModelState, ScalerState
from conch.autoscale.tuning import Moment, Tuning
from conch.observe.types import Decision, ScalingObservation, ScalingPolicy

_LOOKS_S: Final = 5.0  # a rise is seen this long after it began, with lag on top
_QUIET_S: Final = 60.0  # silence is believed after this long: frozen counters look the same
_PACE_S: Final = 5.0
_PACE: Final = 3  # one part in this many goes at a time
_LONGEST_GAP_S: Final = 600.0  # between two steps; beyond it, the clock has jumped
_NEW_WAIT: Final = 0.2
_TOO_LONG: Final = 0.05
_STARTS: Final = 16


def step(
    policy: ScalingPolicy, state: ScalerState, observation: ScalingObservation
) -> tuple[ScalerState, Decision]:
    """The next state and what to do. Never raises for odd data: it holds and says so."""
    now_s = observation.now_s
    state = _after_jumps(state, now_s)
    state = replace(state, cold_start_s=_cold_starts_s(state, observation))
    if not observation.cold_start_s:
        observation = replace(observation, cold_start_s=state.cold_start_s)
    throughput = throughputs(policy, state.models)
    members = _members(observation, state.mix)
    state, before = _referred(state, members, throughput)
    signals = gather(
        state.baselines,
        observation.samples,
        policy.models,
        observation.ready,
        now_s,
        state.stepped_s,
        throughput,
    )
    models = learn(policy, state, signals, now_s)
    usual_s, horizon_s = _horizon(observation)
    latencies = latencies_s(observation.samples)
    picture = draw(
        policy, observation, models, signals, state.tuning, horizon_s, members, state.mix
    )
    refusing = state.reject_after_s is not None
    tuning = _tuned(picture, signals, usual_s, latencies, before, refusing)
    mix = _followed(picture, signals, state.mix)
    strain = state.strain.after(
        now_s,
        now_s - (state.stepped_s if state.stepped_s is not None else now_s),
        observation.ready,
        not observation.starting_age_s and not picture.backlog,
        latencies,
        policy.target_s,
    )
    season, due = _season(picture, state, tuning is not state.tuning)
    reachable = all(load.capacity.reachable for load in picture.loads)
    picture = replace(picture, tuning=tuning, strain=strain.factor if reachable else 1.0, due=due)
    state = replace(
        state,
        stepped_s=now_s,
        ready=observation.ready,
        starting_age_s=observation.starting_age_s,
        fresh_s=now_s if signals.intervals else state.fresh_s,
        baselines=signals.baselines,
        models=models,
        tuning=tuning,
        strain=strain,
        season=season,
        mix=mix,
        arriving_s=now_s if picture.arriving else state.arriving_s,
        reject_after_s=_reject_after_s(picture, state.reject_after_s),
    )
    state, replicas, reason, message = _decide(picture, state, signals)
    known = bool(picture.loads)
    late_now, _ = late(policy, signals.intervals, latencies)
    return state, Decision(
        replicas=replicas,
        reason=reason,
        message=message,
        demand_rps=picture.rate if known else None,
        bound_rps=picture.bound_rps if known else None,
        capacity_rps=picture.capacity_rps,
        horizon_s=picture.horizon_s,
        latency_s=max(latencies, default=None),  # the worst replica's: the tail is made there
        not_answering=tuple(
            m for m in policy.models if models[m].health.not_answering(now_s, policy.target_s)
        ),
        failing=tuple(m for m in policy.models if models[m].health.failing() is not None),
        pods_without_metrics=signals.silent,
        reject_after_s=state.reject_after_s,
        ended=sum(i.succeeded + i.failed for i in signals.intervals.values()),
        late=late_now,
        group_rps=picture.group_rps if known else {},
    )


def _members(observation: ScalingObservation, mix: Mix) -> Members:
    return Members.of(
        [sample.group for sample in observation.samples],
        observation.ready,
        observation.starting_groups,
        len(observation.starting_age_s),
        observation.growing,
        observation.shrinking,
        mix.reference,
    )


def _referred(
    state: ScalerState, members: Members, throughput: Mapping[str, Mapping[str, float]]
) -> tuple[ScalerState, dict[str, float]]:
    """The state, with demand counted in replicas of the group that it is to be counted in now; and
    what one of those completes per model, as it was known at the last look."""
    old = state.mix.reference
    before = completes(throughput, old)
    rates = {m: model.demand.level() for m, model in state.models.items() if model.demand.points}
    own = {
        group: {m: known[group] for m, known in throughput.items() if group in known}
        for group in {*members.groups, old}
    }
    speeds = {group: faster(rates, before, found) for group, found in own.items() if found}
    reference = state.mix.refer(members.groups, speeds)
    if reference == old:
        return state, before
    now = completes(throughput, reference)
    factor = 1 / faster(rates, before, now)
    mix = replace(state.mix, reference=reference)
    tuning, season = state.tuning.converted(factor), state.season.scaled(factor)
    return replace(state, mix=mix, tuning=tuning, season=season), now


def _followed(picture: Picture, signals: Signals, mix: Mix) -> Mix:
    """With what this look tells of who is chosen, where replicas are not alike."""
    mixed = picture.mixed
    if mixed is None or picture.unknown:
        return mix
    work: dict[str, float] = {}
    pods: dict[str, int] = {}
    for load in picture.loads:
        taken = signals.intervals[load.model].groups if load.model in signals.intervals else {}
        for group, one in taken.items():
            work[group] = work.get(group, 0.0) + one.arrived / load.capacity.throughput
            pods[group] = max(pods.get(group, 0), one.pods)
    completed = sum(n * mixed.speeds[g] for g, n in mixed.members.ready.items())
    got = {group: (pods[group], found) for group, found in work.items() if group in mixed.speeds}
    return mix.after(got, mixed.speeds, picture.level / completed if completed else 0.0)


def _after_jumps(state: ScalerState, now_s: float) -> ScalerState:
    """The same state, or what remains of it when the clock has jumped."""
    if state.stepped_s is None or 0 <= now_s - state.stepped_s <= _LONGEST_GAP_S:
        return state
    return ScalerState(
        models={name: ModelState(speeds=model.speeds) for name, model in state.models.items()},
        cold_start_s=state.cold_start_s,
        tuning=state.tuning.detached(),
        mix=state.mix,
        reject_after_s=state.reject_after_s,
        season=state.season,
    )


def _cold_starts_s(state: ScalerState, observation: ScalingObservation) -> tuple[float, ...]:
    """The last cold starts, by what became ready since the last step: the oldest, most likely."""
    grown = observation.ready - state.ready
    if state.stepped_s is None or grown <= 0:
        return state.cold_start_s
    elapsed_s = observation.now_s - state.stepped_s
    took_s = sorted((age_s + elapsed_s for age_s in state.starting_age_s), reverse=True)
    return (*state.cold_start_s, *took_s[:grown])[-_STARTS:]


def _horizon(observation: ScalingObservation) -> tuple[float, float]:
    """The usual cold start, and how far ahead a decision of now reaches, in seconds."""
    slow_s = cold_start_s(observation.cold_start_s, observation.starting_age_s)
    measured = sorted(observation.cold_start_s[-20:])
    usual_s = min(slow_s, measured[len(measured) // 2]) if measured else slow_s
    seen_s = max((s.at_s for s in observation.samples if not s.error), default=observation.now_s)
    longest_s = max((s.fresh_s for s in observation.samples if not s.error), default=STALE_S)
    lag_s = min(longest_s, max(0.0, observation.now_s - seen_s))
    return usual_s, slow_s + lag_s + _LOOKS_S


def _tuned(
    picture: Picture,
    signals: Signals,
    usual_s: float,
    latencies: list[float],
    before: Mapping[str, float],
    refusing: bool,
) -> Tuning:
    """What this look teaches; nothing when a model is unknown or a pod is silent for long.
    ``before``: the throughputs as they were known at the last look; ``refusing``: whether late
    requests were refused since then. Before that, what waits makes late what the model of a replica
    knows nothing of."""
    policy, tuning = picture.policy, picture.tuning
    intervals = signals.intervals
    if not picture.loads or not intervals:
        return tuning
    known = {load.model: load for load in picture.loads}
    if picture.unknown or not intervals.keys() >= known.keys():
        return tuning
    late_now, seen = late(policy, intervals, latencies)
    uneven = [i.unevenness for i in intervals.values() if i.unevenness is not None]
    spent_s = max(load.spent_s(1.5) for load in picture.loads)
    at_s = max(s.at_s for s in signals.baselines.values())
    moment = Moment(
        at_s=at_s,
        level=picture.level,
        demand=sum(intervals[name].rate / load.capacity.throughput for name, load in known.items()),
        seconds=max(i.length_s for i in intervals.values()),
        arrived=sum(i.succeeded + i.failed for i in intervals.values()),
        late=late_now,
        late_seen=seen and refusing and all(load.capacity.reachable for load in picture.loads),
        reporting=signals.reporting,
        unevenness=sum(uneven) / len(uneven) if uneven else None,
        slack_s=max(0.1 * policy.target_s, policy.target_s - spent_s),
        cold_start_s=usual_s,
        horizon_s=picture.horizon_s,
        lag_s=max(0.0, picture.observation.now_s - at_s),
        heavier=picture.heavier(before),
        strength=picture.strength,
    )
    least = min(policy.min_replicas, policy.max_replicas)
    return tuning.after(
        moment,
        fleet(policy, picture.loads, tuning),
        picture.counted(max(1, least)),
        picture.counted(policy.max_replicas),
    )


def _season(picture: Picture, state: ScalerState, seeing: bool) -> tuple[Season, Due | None]:
    """With this look, if it could see; and the rise of other days that is due."""
    week_s = picture.observation.time_of_week_s
    if week_s is None or not math.isfinite(week_s):
        return state.season, None
    season = state.season
    if seeing:
        # What is queued comes on top only where replicas were missing: no part of the day's shape.
        arriving = sum(load.rate / load.capacity.throughput for load in picture.loads)
        season = season.after(week_s, arriving, picture.horizon_s)
    return season, season.due(week_s)


def _reject_after_s(picture: Picture, before: float | None) -> float | None:
    """The wait in a queue after which a request is late anyway; kept while it is about the same,
    since every change is a new configuration of the servers."""
    policy = picture.policy
    if not policy.late_reject:
        return None
    if not picture.loads or not all(load.capacity.reachable for load in picture.loads):
        return before
    wait_s = longest_wait_s(policy, picture.serving)
    # Too long a wait makes requests late that were let in; too short a one refuses a few.
    if before is not None and -_TOO_LONG * before <= wait_s - before <= _NEW_WAIT * before:
        return before
    return wait_s if before is None or wait_s > before else (1 - _TOO_LONG) * wait_s


_Verdict = tuple[ScalerState, int, Reason, str]


def _decide(picture: Picture, state: ScalerState, signals: Signals) -> _Verdict:
    observation, policy = picture.observation, picture.policy
    held = min(max(observation.replicas, policy.min_replicas), policy.max_replicas)
    if observation.ready == 0:
        return _blind(state), held, Reason.LEARNING, explain.nothing_ready(held)
    stale = state.fresh_s is None or observation.now_s - state.fresh_s > signals.fresh_s
    if 2 * signals.silent > observation.ready or (stale and not signals.reporting):
        return (
            _blind(state),
            held,
            Reason.NO_METRICS,
            explain.no_metrics(signals.silent, observation, held),
        )
    if stale:
        return _blind(state), held, Reason.LEARNING, explain.first_look(policy, observation, held)
    if state.watching_since_s is None:
        state = replace(state, watching_since_s=observation.now_s)
    if picture.unknown:
        held = min(max(held, picture.needed), policy.max_replicas)
        return state, held, Reason.LEARNING, explain.learning(picture.unknown, held)
    return _sized(picture, state)


def _blind(state: ScalerState) -> ScalerState:
    return replace(state, watching_since_s=None)


def _sized(picture: Picture, state: ScalerState) -> _Verdict:
    observation, policy = picture.observation, picture.policy
    current = observation.replicas
    wanted = picture.needed
    allowed = min(max(wanted, policy.min_replicas), policy.max_replicas)
    unreachable = [load for load in picture.loads if not load.capacity.reachable]
    latencies = latencies_s(observation.samples)
    if allowed > current:
        return _up(picture, state, wanted, allowed, bool(unreachable))
    held = picture.replicas(state.tuning.shadows.held(observation.now_s))
    floor = min(max(wanted, held), policy.max_replicas)
    replicas, why_not = _down(picture, state, max(floor, policy.min_replicas))
    if replicas < current:
        state = replace(state, stepped_down_s=observation.now_s)
    if unreachable:
        reason, why = Reason.TARGET_UNREACHABLE, explain.unreachable(policy, unreachable)
    elif wanted > policy.max_replicas:
        reason, why = Reason.AT_MAXIMUM, explain.at_maximum(wanted, policy.max_replicas)
    elif replicas < current:
        reason, why = Reason.SCALE_DOWN, explain.down(current, replicas)
    elif picture.arriving and state.strain.missed and not observation.starting_age_s:
        reason, why = (
            Reason.OBJECTIVE_MISSED,
            explain.missed(current, median_high(latencies), policy),
        )
    elif not picture.arriving and current <= policy.min_replicas:
        reason, why = Reason.NO_TRAFFIC, explain.no_traffic(current)
    elif wanted < policy.min_replicas and current == policy.min_replicas:
        reason, why = Reason.AT_MINIMUM, explain.at_minimum(wanted, current)
    elif wanted < current:
        reason, why = Reason.HOLDING_DOWN, explain.holding(wanted, current, why_not)
    else:
        reason, why = Reason.WITHIN_OBJECTIVE, explain.replicas(current)
    return state, replicas, reason, explain.sentence(picture, why)


def _up(
    picture: Picture, state: ScalerState, wanted: int, allowed: int, unreachable: bool
) -> _Verdict:
    observation, policy = picture.observation, picture.policy
    current = observation.replicas
    existing = observation.ready + len(observation.starting_age_s)
    room = max(current, existing + observation.room)
    bounded = min(allowed, 2 * current + 2)
    replicas = max(min(bounded, room), min(policy.min_replicas, policy.max_replicas))
    if unreachable:
        loads = [load for load in picture.loads if not load.capacity.reachable]
        reason, why = Reason.TARGET_UNREACHABLE, explain.unreachable(policy, loads)
    elif replicas < bounded:
        reason, why = Reason.NO_ROOM, explain.no_room(allowed, replicas)
    elif wanted > policy.max_replicas and replicas == policy.max_replicas:
        reason, why = Reason.AT_MAXIMUM, explain.at_maximum(wanted, policy.max_replicas)
    else:
        reason, why = Reason.SCALE_UP, explain.up(current, replicas, allowed)
    return state, replicas, reason, explain.sentence(picture, why)


def _down(picture: Picture, state: ScalerState, floor: int) -> tuple[int, str]:
    """How many to keep now, and what keeps them when fewer would do."""
    observation = picture.observation
    current = observation.replicas
    now_s = observation.now_s
    if current > picture.policy.max_replicas:
        return picture.policy.max_replicas, ""
    hold_s = state.tuning.shadows.hold_s
    if floor >= current:
        return current, explain.was_higher(floor, hold_s)
    if picture.silent:
        return current, explain.silent(picture.silent, observation.ready)
    if any(m.pending > 0 and m.demand.level() <= 0 for m in state.models.values()):
        # Servers that hang, or counters that stand still: either way that is no end of demand.
        return current, explain.unanswered()
    if not picture.arriving and state.arriving_s is not None:
        quiet_s = now_s - state.arriving_s
        if quiet_s < _QUIET_S:
            return current, explain.quiet(quiet_s, _QUIET_S)
    watched_s = now_s - (state.watching_since_s if state.watching_since_s is not None else now_s)
    if watched_s < hold_s:
        return current, explain.watching(watched_s, hold_s)
    if state.stepped_down_s is not None and now_s - state.stepped_down_s < _PACE_S - 0.5:
        return current, explain.pausing(_PACE_S)
    return max(floor, current - max(1, current // _PACE)), ""
