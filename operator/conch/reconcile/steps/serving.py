"""Condition Serving: do the model servers answer what they are asked?"""

from __future__ import annotations

from conch.api.conditions import Condition, ConditionType, Reason
from conch.observe.state import Observation


def judge(obs: Observation) -> Condition:
    """False when requests wait unanswered or fail inside Triton; Unknown without measurements."""
    decision = obs.decision
    if decision is None or decision.reason is Reason.NO_METRICS:
        return Condition(
            ConditionType.SERVING, "Unknown", Reason.IDLE, "No measurements of requests yet."
        )
    if decision.not_answering:
        models = ", ".join(decision.not_answering)
        return Condition(
            ConditionType.SERVING,
            "False",
            Reason.NOT_ANSWERING,
            f"Requests wait for {models} and none is answered: the model hangs. "
            "Look at the pods' logs, or roll back to a model that answers.",
        )
    if decision.failing:
        models = ", ".join(decision.failing)
        return Condition(
            ConditionType.SERVING,
            "False",
            Reason.FAILING,
            f"Many requests to {models} fail inside Triton; its pods' logs say why.",
        )
    if not decision.demand_rps:
        return Condition(ConditionType.SERVING, "True", Reason.IDLE, "No requests arrive.")
    return Condition(ConditionType.SERVING, "True", Reason.SERVING, "Requests are answered.")
