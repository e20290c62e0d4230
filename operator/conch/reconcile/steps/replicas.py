"""Condition Scaling, and the number of replicas that is wanted."""

from __future__ import annotations

from conch.api.conditions import Condition, ConditionType, Reason
from conch.api.v1alpha1 import Scaling
from conch.observe.state import Observation

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
    a restart of the operator never changes a fleet.
    """
    if scaling.mode == "Fixed":
        return scaling.replicas or 0
    if scaling.mode == "External":
        asked = scaling.min_replicas if scaling.replicas is None else scaling.replicas
        return max(scaling.min_replicas, min(scaling.max_replicas, asked))
    if obs.decision is not None:
        asked = obs.decision.replicas
    else:
        deployment = obs.children.get(("Deployment", obs.key.name))
        # One that may go to zero begins with one: so it is seen to work, and its start is timed.
        first = max(1, scaling.min_replicas)
        asked = deployment["spec"].get("replicas", 1) if deployment else first
    return max(scaling.min_replicas, min(scaling.max_replicas, asked))


def judge(obs: Observation, scaling: Scaling, replicas: int) -> Condition:
    """Whether the number of replicas follows the demand, and from which numbers."""
    if scaling.mode == "Fixed":
        return _yes(Reason.FIXED, f"scaling.mode is Fixed: {replicas} replicas.")
    if scaling.mode == "External":
        asked = scaling.replicas
        clamped = asked is not None and asked != replicas
        note = f" (asked for {asked})" if clamped else ""
        return _yes(
            Reason.EXTERNAL,
            f"scaling.mode is External: {replicas} replicas{note}, "
            f"within {scaling.min_replicas} to {scaling.max_replicas}.",
        )
    if obs.decision is None:
        return _yes(Reason.LEARNING, f"Holding {replicas} replicas until there are measurements.")
    return Condition(
        ConditionType.SCALING,
        "False" if obs.decision.reason in _NOT_FOLLOWING else "True",
        obs.decision.reason,
        obs.decision.message,
    )


def _yes(reason: Reason, message: str) -> Condition:
    return Condition(ConditionType.SCALING, "True", reason, message)
