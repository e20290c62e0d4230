"""Conditions and reasons: the one catalogue.

A decision carries a ``Reason`` and a message; the same constant is the condition's reason, the
event's reason and the metric label. ``docs/reference/conditions.md`` is generated from here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

Status = Literal["True", "False", "Unknown"]


class _Documented(StrEnum):
    """A string constant with one sentence of documentation."""

    doc: str

    def __new__(cls, value: str, doc: str) -> _Documented:
        member = str.__new__(cls, value)
        member._value_ = value
        member.doc = doc
        return member


class ConditionType(_Documented):
    """What an InferenceService reports; each is owned by one step of the reconciler."""

    READY = "Ready", "The service answers requests as specified: every condition below is met."
    RECONCILING = "Reconciling", "Conch or Kubernetes is still working towards the spec (kstatus)."
    STALLED = "Stalled", "Nothing will change until somebody acts; the message says what (kstatus)."
    ACCEPTED = "Accepted", "The spec is complete and every object it refers to exists."
    PLACED = "Placed", "An accelerator class was chosen that fits and has room."
    APPLIED = "Applied", "Deployment, Service and the other children are as Conch wants them."
    AVAILABLE = "Available", "Enough pods run and have their models loaded."
    SCALING = "Scaling", "The number of replicas follows the demand, or says why it cannot."
    SERVING = "Serving", "The model servers answer what they are asked."


class Reason(_Documented):
    """Why a condition is as it is. CamelCase; stable: alerts and scripts match on it."""

    # Ready / Reconciling / Stalled
    READY = "Ready", "Everything is as specified."
    PROGRESSING = "Progressing", "Work is under way; nothing is wrong."
    PAUSED = "Paused", "spec.paused is true: Conch changes nothing; what serves keeps serving."
    SETTLED = "Settled", "Nothing is left to do."
    OPERATIONAL = "Operational", "Nothing needs a person."
    STEP_ERROR = "InternalError", "Conch failed on this resource; it retries with back-off."
    # Accepted
    ACCEPTED = "Accepted", "The spec is complete."
    INVALID_SPEC = "InvalidSpec", "The stored spec does not fit this version of Conch."
    RUNTIME_NOT_FOUND = "RuntimeNotFound", "spec.runtime names a TritonRuntime that does not exist."
    INVALID_RUNTIME = "InvalidRuntime", "The TritonRuntime exists but cannot be used."
    CLASS_NOT_FOUND = "ClassNotFound", "No requested accelerator class is declared or discovered."
    SECRET_NOT_FOUND = "SecretNotFound", "A model source refers to a Secret that does not exist."
    SOURCE_NOT_ALLOWED = "SourceNotAllowed", "The administrator does not allow this model URI."
    # Placed
    PLACED = "Placed", "The class has enough free units for the next replica."
    WAITING_FOR_NODE = "WaitingForNode", "A node autoscaler is to add a node of the chosen class."
    MOVING = "Moving", "The service goes to a class that is better for it, replica by replica."
    MOVING_BACK = "MovingBack", "A move did not work out: the service returns to where it was."
    NO_CAPACITY = "NoCapacity", "Every class that fits is full; the message has the numbers."
    NOTHING_FITS = "NothingFits", "No class is large or new enough; the message says by how much."
    # Applied
    APPLIED = "Applied", "The children are as wanted."
    NAME_COLLISION = "NameCollision", "An object of that name exists and is not ours."
    APPLY_REFUSED = "ApplyRefused", "The API server refuses a child: quota, policy or admission."
    # Available
    AVAILABLE = "Available", "All wanted replicas are ready."
    PODS_STARTING = "PodsStarting", "Pods are being created, fetch their models or load them."
    ROLLING_OUT = "RollingOut", "A new revision replaces the old one."
    NODE_LEAVING = "NodeLeaving", "A pod's node is lost or about to be: others replace it."
    SCALED_TO_ZERO = "ScaledToZero", "Zero replicas were asked for."
    UNSCHEDULABLE = "Unschedulable", "kube-scheduler finds no node for a pod."
    IMAGE_PULL = "ImagePullFailed", "A container image cannot be pulled."
    FETCH_FAILED = "ModelFetchFailed", "A model cannot be downloaded: unreachable or refused."
    MODEL_NOT_FOUND = "ModelNotFound", "Nothing is stored at a model's URI."
    DIGEST_MISMATCH = "DigestMismatch", "What was downloaded is not what spec…digest promises."
    MODEL_INVALID = "ModelInvalid", "Triton cannot load a model; the message is Triton's."
    OUT_OF_MEMORY = "OutOfMemory", "A container was killed for exceeding its memory limit."
    CRASH_LOOP = "CrashLoop", "A container keeps ending; the message has its last words."
    CONFIG_ERROR = "ContainerConfigError", "A pod refers to something that does not exist."
    EVICTED = "Evicted", "A node evicted or lost a pod."
    # Scaling
    WITHIN_OBJECTIVE = "WithinObjective", "The replicas there are carry the demand."
    OBJECTIVE_MISSED = (
        "ObjectiveMissed",
        "Requests are late although the replicas carry the demand that is counted.",
    )
    SCALE_UP = "ScaleUp", "Demand over the start-up time needs more replicas."
    SCALE_DOWN = "ScaleDown", "One replica fewer still holds the objective."
    HOLDING_DOWN = "HoldingDown", "Fewer would do now, but demand was higher a moment ago."
    AT_MAXIMUM = "AtMaximum", "scaling.maxReplicas binds: more would be needed."
    AT_MINIMUM = "AtMinimum", "scaling.minReplicas binds: fewer would do."
    NO_METRICS = "NoMetrics", "The model servers' metrics are missing or absurd: holding."
    NO_TRAFFIC = "NoTraffic", "No requests arrive."
    LEARNING = "Learning", "Too few requests yet to know the service time: holding."
    TARGET_UNREACHABLE = "TargetUnreachable", "One request alone takes longer than the target."
    NO_ROOM = "NoRoom", "More replicas are needed and no free accelerator is left for them."
    FROM_ZERO = "FromZero", "Requests wait at the activator: the first replica starts."
    NO_ACTIVATOR = "NoActivator", "Nothing could hold requests at zero replicas: keeping one."
    FOREIGN_SCALER = "ForeignScaler", "Somebody else scales the Deployment: it is left alone."
    INVALID_SCHEDULE = "InvalidSchedule", "A schedule's cron or timezone cannot be understood."
    FIXED = "Fixed", "scaling.mode is Fixed."
    EXTERNAL = "External", "scaling.mode is External: /scale decides."
    # Serving
    SERVING = "Serving", "Requests are answered."
    NOT_ANSWERING = "NotAnswering", "Requests wait and none is answered."
    FAILING = "RequestsFailing", "A large share of requests fails inside Triton."
    IDLE = "Idle", "There is nothing to answer."


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition as we want it; the API's form has a transition time as well."""

    type: ConditionType
    status: Status
    reason: Reason
    message: str = ""


def merge(
    old: Sequence[dict[str, object]], new: Iterable[Condition], generation: int, now: str
) -> list[dict[str, object]]:
    """The API form of ``new``, keeping the transition time where the status did not change.

    ``old`` is ``status.conditions`` as read; ``now`` an RFC 3339 time. Types not in ``new`` are
    dropped: we own the whole list. Order follows ``new``.
    """
    before = {str(c.get("type")): c for c in old}
    merged: list[dict[str, object]] = []
    for condition in new:
        previous = before.get(condition.type.value, {})
        same = previous.get("status") == condition.status
        merged.append(
            {
                "type": condition.type.value,
                "status": condition.status,
                "reason": condition.reason.value,
                "message": condition.message[:1024],
                "observedGeneration": generation,
                "lastTransitionTime": previous.get("lastTransitionTime", now) if same else now,
            }
        )
    return merged
