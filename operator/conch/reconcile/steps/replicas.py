"""Condition Scaling, and the number of replicas that is wanted."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

from conch.api.conditions import Condition, ConditionType, Reason
from conch.api.v1alpha1 import Scaling
from conch.autoscale import carbon_ceiling, schedule
from conch.observe.state import Observation
from conch.reconcile.steps import foreign, sites, split

# What keeps the replicas from following the demand.
_NOT_FOLLOWING = {
    Reason.NO_METRICS,
    Reason.AT_MAXIMUM,
    Reason.NO_ROOM,
    Reason.TARGET_UNREACHABLE,
    Reason.STEP_ERROR,
    Reason.NO_ACTIVATOR,
}


def wanted(obs: Observation, scaling: Scaling) -> int:
    """Replicas wanted now.

    Before the autoscaler has anything to say (a start, no data) what runs stays as it is, so that
    a restart of the operator never changes a fleet. What somebody else scales stays, too.
    """
    if obs.deployment is not None and foreign.judge(obs):
        return split.live(obs)
    asked = _asked(obs, scaling)
    if sites.cut_off(obs):
        asked = max(asked, split.live(obs) - obs.substitutes)
    return asked


def _asked(obs: Observation, scaling: Scaling) -> int:
    if scaling.mode == "Fixed":
        return scaling.replicas or 0
    bounds = limits(obs, scaling)
    if scaling.mode == "External":
        asked = bounds.least if scaling.replicas is None else scaling.replicas
        return max(bounds.least, min(bounds.most, asked))
    if obs.decision is not None:
        held = obs.assignment.least if obs.assignment is not None else 0
        asked = max(obs.decision.replicas, held)
    elif obs.deployment is not None:
        asked = split.live(obs) - obs.substitutes
    else:
        # One that may go to zero begins with one: so it is seen to work, and its start is timed.
        asked = max(1, bounds.least)
    return max(bounds.least, min(bounds.most, asked))


def substitutes(obs: Observation, replicas: int) -> int:
    """Replicas to ask for beyond those wanted: in the stead of pods whose node is lost or going.

    Asked for before those pods end, so that others are ready by then. Once they have ended they
    are no longer counted, and the number goes back. Services bound to sites are let alone while a
    node is out of reach: their pods go on serving there, and nowhere else would do.
    """
    if obs.service is None or foreign.judge(obs):
        return 0
    return min(len(obs.leaving), replicas)


def limits(obs: Observation, scaling: Scaling) -> schedule.Limits:
    """What holds now: the spec's limits, its schedules' and ceilings', and the sites' minimum."""
    found = schedule.limits(scaling, datetime.fromisoformat(obs.now))
    found = carbon_ceiling.capped(found, scaling, obs.carbon)
    least = max(found.least, sites.floor(sites.of(obs)))
    return replace(found, least=least, most=max(least, found.most))


def judge(obs: Observation, scaling: Scaling, replicas: int) -> Condition:
    """Whether the number of replicas follows the demand, and from which numbers."""
    found = _judge(obs, scaling, replicas)
    if obs.assignment is None or obs.assignment.kind is None:
        return found
    if lacking := sites.without_room(sites.of(obs), obs.assignment.kind.name):
        told = f"{lacking[0].upper()}{lacking[1:]}. {found.message}"
        reason = found.reason if found.status == "False" else Reason.NO_ROOM
        return Condition(ConditionType.SCALING, "False", reason, told)
    return found


def _judge(obs: Observation, scaling: Scaling, replicas: int) -> Condition:
    if told := foreign.judge(obs):
        return Condition(ConditionType.SCALING, "False", Reason.FOREIGN_SCALER, told)
    if scaling.mode == "Fixed":
        note = sites.note(obs, replicas, replicas)
        return _yes(Reason.FIXED, f"scaling.mode is Fixed: {replicas} replicas.{note}")
    bounds = limits(obs, scaling)
    note = note_of(bounds) + sites.note(obs, replicas, scaling.min_replicas)
    if bounds.problems:
        # The others hold, and what runs is scaled: but somebody counts on this one.
        told = f"spec.{'; spec.'.join(bounds.problems)}. It is left out; correct it."
        return Condition(ConditionType.SCALING, "False", Reason.INVALID_SCHEDULE, told)
    if scaling.mode == "External":
        asked = scaling.replicas
        clamped = asked is not None and asked != replicas
        instead = f" (asked for {asked})" if clamped else ""
        return _yes(
            Reason.EXTERNAL,
            f"scaling.mode is External: {replicas} replicas{instead}, "
            f"within {bounds.least} to {bounds.most}.{note}",
        )
    if obs.decision is None:
        count = f"{replicas} replica{'' if replicas == 1 else 's'}"
        message = f"Holding {count} until there are measurements.{note}"
        return _yes(Reason.LEARNING, message)
    return Condition(
        ConditionType.SCALING,
        "False" if obs.decision.reason in _NOT_FOLLOWING else "True",
        obs.decision.reason,
        f"{obs.decision.message}{note}",
    )


def note_of(bounds: schedule.Limits) -> str:
    """Which schedules and which carbon ceiling hold, for the end of a message."""
    dirty = ""
    if bounds.dirty_above is not None:
        dirty = f" Carbon ceiling: the grid emits more than {bounds.dirty_above} g/kWh."
    if not bounds.active:
        return dirty
    until = f" until {bounds.until:%Y-%m-%dT%H:%M:%SZ}" if bounds.until else ""
    named = ", ".join(bounds.active)
    return f" Scheduled ({named}): {bounds.least} to {bounds.most} replicas{until}.{dirty}"


def _yes(reason: Reason, message: str) -> Condition:
    return Condition(ConditionType.SCALING, "True", reason, message)
