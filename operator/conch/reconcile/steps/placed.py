"""Condition Placed: what the placement planner decided for this service."""

from __future__ import annotations

from conch.api.conditions import Condition, ConditionType, Reason
from conch.observe.state import Observation
from conch.reconcile.patience import waits


def judge(obs: Observation) -> Condition:
    """True when a class was chosen; the planner's sentence is the message."""
    assignment = obs.assignment
    if assignment is None:
        return Condition(
            ConditionType.PLACED, "Unknown", Reason.PROGRESSING, "Waiting for the planner."
        )
    return Condition(
        ConditionType.PLACED,
        "True" if assignment.kind is not None else "False",
        assignment.reason,
        assignment.message + _since(obs),
    )


def _since(obs: Observation) -> str:
    """From when on a replica waits for a node that is to be added: a time, which does not change
    with every look.
    """
    assignment = obs.assignment
    if assignment is None or assignment.kind is None:
        return ""
    if assignment.reason is not Reason.WAITING_FOR_NODE:
        return ""
    name = assignment.kind.name
    waiting = [p.metadata.creation_timestamp for p in obs.pods if waits(p, name) is not None]
    return f"; since {min(waiting)}" if waiting else ""
