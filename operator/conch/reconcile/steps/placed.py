"""Condition Placed: what the placement planner decided for this service."""

from __future__ import annotations

from conch.api.conditions import Condition, ConditionType, Reason
from conch.observe.state import Observation


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
        assignment.message,
    )
