"""The step: from the last state and what is seen now to how many replicas, and why.

Decides up at once, down late and little, and nothing at all without data. It reads no clock and
writes nowhere: the caller passes the time and applies the Decision. Pure.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Final

from conch.api.conditions import Reason
from conch.autoscale import explain
from conch.autoscale.picture import Picture, draw, latencies_s, learn, throughputs
from conch.autoscale.signals import STALE_S, Signals, gather
from conch.autoscale.state import Need, ScalerState
from conch.observe.types import Decision, ScalingObservation, ScalingPolicy

_DOWN_MARGIN: Final = 0.95  # N-1 must carry the bound with this much room to spare
_NEED_SPAN_S: Final = 5.0


def step(
    policy: ScalingPolicy, state: ScalerState, observation: ScalingObservation
) -> tuple[ScalerState, Decision]:
    """The next state and what to do. Never raises for odd data: it holds and says so."""
    now_s = observation.now_s
    signals = gather(
        state.baselines,
        observation.samples,
        policy.models,
        observation.ready,
        now_s,
        state.stepped_s,
        throughputs(policy, state.models),
    )
    models = learn(policy, state, signals, now_s)
    picture = draw(policy, observation, models, signals)
    latencies = latencies_s(observation.samples)
    strain = state.strain.after(
        now_s,
        now_s - (state.stepped_s if state.stepped_s is not None else now_s),
        observation.ready,
        not observation.starting_age_s and not picture.backlog,
        latencies,
        policy.target_s,
    )
    if all(load.capacity.reachable for load in picture.loads):
        picture = replace(picture, strain=strain.factor)
    state = replace(
        state,
        stepped_s=now_s,
        fresh_s=now_s if signals.intervals else state.fresh_s,
        baselines=signals.baselines,
        models=models,
        strain=strain,
    )
    state, replicas, reason, message = _decide(picture, state, signals)
    estimates = [load.estimate for load in picture.loads]
    return state, Decision(
        replicas=replicas,
        reason=reason,
        message=message,
        demand_rps=sum(e.level for e in estimates) if estimates else None,
        bound_rps=picture.bound_rps if estimates else None,
        capacity_rps=picture.capacity_rps,
        horizon_s=picture.horizon_s,
        latency_s=max(latencies, default=None),  # the worst replica's: the tail is made there
        not_answering=tuple(
            m for m in policy.models if models[m].health.not_answering(now_s, policy.target_s)
        ),
        failing=tuple(m for m in policy.models if models[m].health.failing() is not None),
        pods_without_metrics=signals.silent,
    )


_Verdict = tuple[ScalerState, int, Reason, str]


def _decide(picture: Picture, state: ScalerState, signals: Signals) -> _Verdict:
    observation, policy = picture.observation, picture.policy
    held = min(max(observation.replicas, policy.min_replicas), policy.max_replicas)
    if observation.ready == 0:
        return _blind(state), held, Reason.LEARNING, explain.nothing_ready(held)
    stale = state.fresh_s is None or observation.now_s - state.fresh_s > STALE_S
    if 2 * signals.silent > observation.ready or (stale and not signals.reporting):
        return (
            _blind(state),
            held,
            Reason.NO_METRICS,
            explain.no_metrics(signals.silent, observation, held),
        )
    if stale:
        return _blind(state), held, Reason.LEARNING, explain.first_look(held)
    state = _remembered(state, picture)
    if picture.unknown:
        held = min(max(held, math.ceil(picture.needed)), policy.max_replicas)
        return state, held, Reason.LEARNING, explain.learning(picture.unknown, held)
    return _sized(picture, state)


def _blind(state: ScalerState) -> ScalerState:
    return replace(state, watching_since_s=None, needs=())


def _remembered(state: ScalerState, picture: Picture) -> ScalerState:
    now_s = picture.observation.now_s
    need = Need(now_s, picture.needed, picture.bound_rps)
    needs = state.needs
    if needs and now_s // _NEED_SPAN_S == needs[-1].at_s // _NEED_SPAN_S:
        need = max(needs[-1], need, key=lambda n: n.replicas)
        needs = needs[:-1]
    return replace(
        state,
        watching_since_s=now_s if state.watching_since_s is None else state.watching_since_s,
        needs=(*(n for n in needs if now_s - n.at_s <= picture.hold_s), need),
    )


def _sized(picture: Picture, state: ScalerState) -> _Verdict:
    observation, policy = picture.observation, picture.policy
    current = observation.replicas
    wanted = max(1, math.ceil(picture.needed - 1e-9))
    allowed = min(max(wanted, policy.min_replicas), policy.max_replicas)
    unreachable = [load for load in picture.loads if not load.capacity.reachable]
    if allowed > current:
        return _up(picture, state, wanted, allowed, bool(unreachable))
    floor = min(max(_floor(state), policy.min_replicas), policy.max_replicas)
    replicas, why_not = _down(picture, state, floor)
    if replicas < current:
        state = replace(state, stepped_down_s=observation.now_s)
    if unreachable:
        reason, why = Reason.TARGET_UNREACHABLE, explain.unreachable(policy, unreachable)
    elif wanted > policy.max_replicas:
        reason, why = Reason.AT_MAXIMUM, explain.at_maximum(wanted, policy.max_replicas)
    elif replicas < current:
        reason, why = Reason.SCALE_DOWN, explain.down(current, replicas)
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


def _floor(state: ScalerState) -> int:
    """Replicas that carry, with room to spare, the highest bound of the hold window."""
    highest = max(need.replicas for need in state.needs)
    return max(1, math.ceil(highest / _DOWN_MARGIN - 1e-9))


def _down(picture: Picture, state: ScalerState, floor: int) -> tuple[int, str]:
    """How many to keep now, and what keeps them when fewer would do."""
    observation = picture.observation
    current = observation.replicas
    now_s = observation.now_s
    if current > picture.policy.max_replicas:
        return picture.policy.max_replicas, ""
    if floor >= current:
        highest = max(state.needs, key=lambda need: need.replicas)
        return current, explain.was_higher(highest.bound_rps, now_s - highest.at_s)
    if picture.silent:
        return current, explain.silent(picture.silent, observation.ready)
    watched_s = now_s - (state.watching_since_s if state.watching_since_s is not None else now_s)
    if watched_s < picture.hold_s:
        return current, explain.watching(watched_s, picture.hold_s)
    pause_s = picture.hold_s / 4
    if state.stepped_down_s is not None and now_s - state.stepped_down_s < pause_s:
        return current, explain.pausing(pause_s)
    return max(floor, current - max(1, current // 5)), ""
