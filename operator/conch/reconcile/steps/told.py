"""What an earlier operator told of a service, for as long as this one has not looked itself.

Without it every restart would tell of each service that nothing is known, and seconds later the
same as before: two writes each, and an alert that finds no numbers.
"""

from __future__ import annotations

from typing import Any, Final

from conch.api.conditions import Condition, ConditionType, Reason
from conch.observe.state import Observation

# What is said for want of a decision, by condition.
_BLANK: Final = {ConditionType.SCALING: Reason.LEARNING, ConditionType.SERVING: Reason.IDLE}
# Judged from the spec or from other objects at every reconcile: never from memory.
_NEVER: Final = {
    Reason.FOREIGN_SCALER,
    Reason.INVALID_SCHEDULE,
    Reason.FIXED,
    Reason.EXTERNAL,
    Reason.STEP_ERROR,
}
_REASONS: Final = {reason.value: reason for reason in Reason}


def kept(obs: Observation, condition: Condition) -> Condition:
    """``condition``, or what the status says in its place about the same spec."""
    if _BLANK.get(condition.type) is not condition.reason:
        return condition
    before: list[dict[str, Any]] = obs.raw.get("status", {}).get("conditions", [])
    old: dict[str, Any] = next((c for c in before if c.get("type") == condition.type.value), {})
    if old.get("observedGeneration") != obs.raw["metadata"].get("generation"):
        return condition
    reason = _REASONS.get(old.get("reason", ""))
    if reason is None or reason in _NEVER:
        return condition  # the first: another version of Conch wrote it
    return Condition(condition.type, old["status"], reason, old.get("message", ""))


def numbers(obs: Observation) -> dict[str, Any]:
    """The measurements and the decision in the status, if they are about the same spec."""
    status = obs.raw.get("status", {})
    if status.get("observedGeneration") != obs.raw["metadata"].get("generation"):
        return {}
    kept_fields = ("latency", "decision", "capacities")
    return {field: status[field] for field in kept_fields if field in status}
