"""The scaling part of `conch why`: the last decision in numbers, what binds it, those before it.

Values made from status, events and the Deployment's note; it computes nothing that the operator has
decided, and it must not print.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from conch.api import names
from conch.api.conditions import Reason

Object = dict[str, Any]

_LAST = 5
# What the number of replicas follows, by the decision's reason.
_BINDING: Final = {
    Reason.WITHIN_OBJECTIVE: "the demand",
    Reason.OBJECTIVE_MISSED: "the demand that is counted, and lasting lateness, slowly",
    Reason.SCALE_UP: "the demand",
    Reason.SCALE_DOWN: "the demand",
    Reason.HOLDING_DOWN: "the demand of a moment ago: going down waits",
    Reason.AT_MAXIMUM: "scaling.maxReplicas",
    Reason.AT_MINIMUM: "scaling.minReplicas",
    Reason.NO_TRAFFIC: "scaling.minReplicas: no requests arrive",
    Reason.NO_ROOM: "free accelerators: see Placement",
    Reason.TARGET_UNREACHABLE: "the servers' throughput: one request alone exceeds the target",
    Reason.NO_METRICS: "nothing: without metrics the number is held",
    Reason.LEARNING: "nothing yet: the number is held",
    Reason.STEP_ERROR: "nothing: a defect of Conch; the number is held",
    Reason.IDLE: "idleness: no requests for scaling.idle.toZeroAfter",
    Reason.FROM_ZERO: "requests that wait at the activator",
    Reason.NO_ACTIVATOR: "the activator: without one, one replica stays",
    Reason.FOREIGN_SCALER: "somebody else, who scales the Deployment",
}
_REASONS: Final = {reason.value for reason in _BINDING}
# Of a decision's sentence the demand and the conclusion: what is between is in the table above.
_SENTENCE: Final = re.compile(r"(\S+ req/s) now,.*?\bp[0-9.]+\)[^:]*: (.*)")
_CONTROL: Final = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x1f\x7f-\x9f]+")
_LIMIT: Final = re.compile(r"([0-9]{1,10})us of [0-9]{1,10}us (guessed|measured) .*")


@dataclass(frozen=True, slots=True)
class DecisionLine:
    """The last scaling decision and its numbers, as the status has them; "" for what is not."""

    replicas: int
    reason: str
    message: str
    demand: str
    bound: str
    capacity_per_replica: str
    horizon: str
    formula: str
    limits: str
    binding: str
    rejecting: str
    schedule: str


@dataclass(frozen=True, slots=True)
class PastDecision:
    """A change of the number of replicas, or what kept it from changing, as an event told it."""

    age_s: float | None
    reason: str
    message: str
    count: int


def line(service: Object, deployment: Object | None) -> DecisionLine | None:
    """The last decision; None in a mode without one, and before the first."""
    status = at(service, "status")
    decision = at(status, "decision")
    if not decision:
        return None
    scaling = at(service, "spec", "scaling")
    schedule = at(status, "schedule")
    low = schedule.get("minReplicas", scaling.get("minReplicas", 1))
    high = schedule.get("maxReplicas", scaling.get("maxReplicas", 10))
    idle = at(scaling, "idle").get("toZeroAfter", "")
    placement = at(service, "spec", "placement")
    minima = _site_minima(placement)
    per_site = f", {sum(minima)} at {len(minima)} site{'s'[: len(minima) > 1]}" if minima else ""
    if len(minima) > 1 and len(set(minima)) == 1:
        per_site = f", {minima[0]} at each of {len(minima)} sites"
    to_zero = f", to zero after {idle}" if idle else ""
    bound, capacity = decision.get("bound") or "", decision.get("capacityPerReplica") or ""
    return DecisionLine(
        replicas=int(decision.get("replicas", 0)),
        reason=decision.get("reason", ""),
        message=clean(decision.get("message", "")),
        demand=decision.get("demand") or "",
        bound=bound,
        capacity_per_replica=capacity,
        horizon=decision.get("horizon") or "",
        formula=_formula(bound, capacity),
        limits=f"minReplicas {low}, maxReplicas {high}{per_site}{to_zero}",
        binding=_binding(service, str(decision.get("reason", ""))),
        rejecting=_rejecting(service, deployment),
        schedule=_schedule(schedule),
    )


def past(
    events: Sequence[tuple[float | None, Object]],
) -> tuple[tuple[PastDecision, ...], tuple[tuple[float | None, Object], ...]]:
    """The last decisions among events about the service (with their ages), and the other events."""
    decisions, others = [], []
    for age_s, event in events:
        about = event.get("involvedObject", {}).get("kind")
        if about == names.INFERENCE_SERVICE and event.get("reason") in _REASONS:
            decisions.append(
                PastDecision(
                    age_s,
                    str(event["reason"]),
                    _conclusion(clean(str(event.get("message", "")))),
                    count(event),
                )
            )
        else:
            others.append((age_s, event))
    decisions.sort(key=lambda d: math.inf if d.age_s is None else d.age_s)
    return tuple(decisions[:_LAST]), tuple(others)


def count(event: Object) -> int:
    """How often it was told."""
    return (event.get("series") or {}).get("count") or event.get("count") or 1


def clean(text: str) -> str:
    """Text from the cluster on one line, without what would drive a terminal."""
    return " ".join(_CONTROL.sub(" ", text).split())


def _binding(service: Object, reason: str) -> str:
    if at(service, "spec").get("paused"):
        return "nothing: spec.paused is true"
    found = next((text for r, text in _BINDING.items() if r.value == reason), "")
    schedule = at(service, "status", "schedule")
    if schedule.get("active") and found.startswith("scaling.m"):
        which = "minReplicas" if "min" in found else "maxReplicas"
        if schedule.get(which) != at(service, "spec", "scaling").get(which):
            return found.replace(f"scaling.{which}", f"the schedule's {which}")
    placement, least = at(service, "spec", "placement"), "scaling.minReplicas"
    if sum(_site_minima(placement)) > at(service, "spec", "scaling").get("minReplicas", 1):
        return found.replace(least, "placement.minReplicasPerSite")
    return found


def _site_minima(placement: Mapping[str, Any]) -> list[int]:
    """Of the sites that have one."""
    each, own = placement.get("minReplicasPerSite", 0), placement.get("siteMinReplicas") or {}
    return [least for site in placement.get("sites") or () if (least := own.get(site, each))]


def _formula(bound: str, capacity: str) -> str:
    """`97/s / 34/s = 2.9`, empty when a number is missing."""
    try:
        share = float(bound.removesuffix("/s")) / float(capacity.removesuffix("/s"))
    except (ValueError, ZeroDivisionError):
        return ""
    return f"{bound} / {capacity} = {share:.1f}"


def _rejecting(service: Object, deployment: Object | None) -> str:
    """After how long in the queue a request is rejected, as the Deployment's note has it."""
    if not at(service, "spec", "objectives", "latency").get("rejectLate"):
        return ""
    note = str(at(deployment or {}, "metadata", "annotations").get(names.ANNOTATION_QUEUE_LIMIT))
    match = _LIMIT.fullmatch(note)
    if match is None:
        return "requests that cannot be in time"
    origin = "" if match[2] == "measured" else " (a guess, until the service time is known)"
    return f"after {int(match[1]) / 1e3:g} ms in the queue{origin}"


def _schedule(schedule: Mapping[str, Any]) -> str:
    parts = []
    if active := schedule.get("active"):
        until = f" until {schedule['until']}" if schedule.get("until") else ""
        parts.append(f"{', '.join(map(str, active))}{until}")
    elif schedule:
        parts.append("none active")
    if schedule.get("next"):
        parts.append(f"next {schedule['next']} at {schedule.get('nextStart', '?')}")
    return clean("; ".join(parts))


def _conclusion(message: str) -> str:
    match = _SENTENCE.fullmatch(message)
    return f"{match[1]}: {match[2]}" if match else message


def at(obj: Mapping[str, Any], *keys: str) -> Mapping[str, Any]:
    """The mapping at that place, empty when any part is missing."""
    node: Any = obj
    for key in keys:
        node = node.get(key) if isinstance(node, Mapping) else None
    return node if isinstance(node, Mapping) else {}
