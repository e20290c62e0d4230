"""Condition Accepted: is the spec complete, and does everything it refers to exist?"""

from __future__ import annotations

from collections.abc import Sequence

from conch.api.conditions import Condition, ConditionType, Reason
from conch.fetch.admission import why_refused
from conch.observe.state import Observation


def judge(obs: Observation, allowed_sources: Sequence[str]) -> Condition:
    """True when nothing in the spec itself keeps the service from being built."""
    if obs.service is None:
        return _no(Reason.INVALID_SPEC, f"spec.{obs.problem}; correct the field")
    if obs.runtime is None:
        missing = obs.runtime_problem.startswith("spec.runtime")
        return _no(
            Reason.RUNTIME_NOT_FOUND if missing else Reason.INVALID_RUNTIME, obs.runtime_problem
        )
    for model in obs.service.spec.models:
        refused = why_refused(model.source.uri, allowed_sources)
        if refused is not None:
            return _no(
                Reason.SOURCE_NOT_ALLOWED,
                f"spec.models[{model.name}].source.uri {refused}; move the model, or ask the "
                "administrator to allow its place.",
            )
    return Condition(ConditionType.ACCEPTED, "True", Reason.ACCEPTED, "The spec is complete.")


def _no(reason: Reason, message: str) -> Condition:
    return Condition(ConditionType.ACCEPTED, "False", reason, message)
