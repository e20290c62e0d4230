"""Conditions Ready, Reconciling and Stalled: what kubectl wait, Flux and Argo CD look at."""

from __future__ import annotations

from collections.abc import Sequence

from conch.api.conditions import Condition, ConditionType, Reason

# What waiting alone will not mend.
_STUCK = {
    Reason.INVALID_SPEC,
    Reason.RUNTIME_NOT_FOUND,
    Reason.INVALID_RUNTIME,
    Reason.CLASS_NOT_FOUND,
    Reason.SOURCE_NOT_ALLOWED,
    Reason.NOTHING_FITS,
    Reason.NAME_COLLISION,
    Reason.APPLY_REFUSED,
}
_GATING = (
    ConditionType.ACCEPTED,
    ConditionType.PLACED,
    ConditionType.APPLIED,
    ConditionType.AVAILABLE,
    ConditionType.SERVING,
)


def judge(
    steps: Sequence[Condition], *, settled: bool, stuck: bool, paused: bool
) -> list[Condition]:
    """Ready, Reconciling and Stalled from the steps' conditions.

    ``settled``: Kubernetes has nothing in flight. ``stuck``: a pod has a problem that stays.
    """
    failing = next(
        (
            c
            for c in steps
            if c.type in _GATING
            and (c.status == "False" or (c.status == "Unknown" and c.reason is Reason.PROGRESSING))
        ),
        None,
    )
    stalled = failing is not None and (stuck or failing.reason in _STUCK)
    idle = next((c for c in steps if _is_idle(c)), None)
    if failing is None and idle is not None:
        ready = Condition(ConditionType.READY, "True", Reason.IDLE, idle.message)
    elif failing is None:
        ready = Condition(ConditionType.READY, "True", Reason.READY, "The service is ready.")
    else:
        ready = Condition(ConditionType.READY, "False", failing.reason, failing.message)
    if paused:
        reconciling = Condition(
            ConditionType.RECONCILING, "False", Reason.PAUSED, "spec.paused is true."
        )
    elif stalled or (failing is None and settled) or _at_rest(failing):
        reconciling = Condition(
            ConditionType.RECONCILING, "False", Reason.SETTLED, "Nothing is in progress."
        )
    else:
        reason = failing.reason if failing else Reason.PROGRESSING
        message = failing.message if failing else "Replicas are being started or replaced."
        reconciling = Condition(ConditionType.RECONCILING, "True", reason, message)
    if stalled and failing is not None:
        blocked = Condition(ConditionType.STALLED, "True", failing.reason, failing.message)
    else:
        blocked = Condition(
            ConditionType.STALLED, "False", Reason.OPERATIONAL, "Nothing needs a person."
        )
    return [ready, reconciling, blocked]


def _is_idle(condition: Condition) -> bool:
    """At zero replicas because nobody asks for anything."""
    return condition.type is ConditionType.AVAILABLE and condition.reason is Reason.IDLE


def _at_rest(failing: Condition | None) -> bool:
    """Asked for zero replicas: not ready, but exactly as wanted."""
    return failing is not None and failing.reason is Reason.SCALED_TO_ZERO
