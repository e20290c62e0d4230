"""What `conch status` and `conch why` say: values made from what was read, nothing else.

Everything comes from the cluster: the service's spec and status, its pods, its events. Nothing is
computed again that the operator has decided; it must not print.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from conch.api.conditions import ConditionType
from conch.cli import decision
from conch.cli.advice import UNSEEN, advice
from conch.cli.cluster import Gathered
from conch.cli.decision import DecisionLine, PastDecision, at, clean
from conch.kube.views import Pod
from conch.reconcile.steps.pods import diagnose

if TYPE_CHECKING:
    from conch.cli.place import ClassAnswer

Object = dict[str, Any]

# Bad when True; every other condition is bad unless True.
_BAD_WHEN_TRUE = {ConditionType.RECONCILING.value, ConditionType.STALLED.value}
_SUMMARY = {*_BAD_WHEN_TRUE, ConditionType.READY.value}
_EVENTS = 8

NOT_SEEN = "NotSeenYet"
"""In place of a reason while the status is empty."""


@dataclass(frozen=True, slots=True)
class Summary:
    """One line of `conch status`."""

    namespace: str
    name: str
    ready: str  # True, False, Unknown
    reason: str
    message: str
    replicas: int | None
    wanted: int | None
    latency: str
    target: str
    percentile: float
    accelerator: str
    decision: str  # reason of the last scaling decision
    age_s: float | None


@dataclass(frozen=True, slots=True)
class ConditionLine:
    """One condition, with whether it is as it should be."""

    type: str
    good: bool
    status: str
    reason: str
    message: str
    age_s: float | None


@dataclass(frozen=True, slots=True)
class PodLine:
    """One pod and what is wrong with it, if anything."""

    name: str
    state: str
    restarts: int
    node: str
    problem: str
    age_s: float | None


@dataclass(frozen=True, slots=True)
class EventLine:
    """One event about the service or one of its pods."""

    age_s: float | None
    type: str
    reason: str
    about: str
    message: str
    count: int


@dataclass(frozen=True, slots=True)
class Explanation:
    """The screen of `conch why`. What may not be read (pods, events, classes) is None."""

    summary: Summary
    notes: tuple[str, ...]
    conditions: tuple[ConditionLine, ...]
    holding_back: tuple[ConditionLine, ...]
    decision: DecisionLine | None
    past: tuple[PastDecision, ...]
    placement: tuple[str, ...]
    classes: tuple[ClassAnswer, ...] | None
    sites: tuple[str, ...]
    zones: tuple[str, ...]  # where its pods are, as far as nodes tell
    cost: str
    pods: tuple[PodLine, ...] | None
    events: tuple[EventLine, ...] | None
    next_steps: tuple[str, ...]


def summarise(service: Object, now: datetime) -> Summary:
    """The line of one service."""
    status = service.get("status") or {}
    latency = at(service, "spec", "objectives", "latency")
    ready: Mapping[str, Any] = _condition(service, ConditionType.READY) or {}
    unseen = not status.get("conditions")
    return Summary(
        namespace=service["metadata"].get("namespace", ""),
        name=service["metadata"]["name"],
        ready=str(ready.get("status", "Unknown")),
        reason=NOT_SEEN if unseen else str(ready.get("reason", "")),
        message=UNSEEN if unseen else clean(str(ready.get("message", ""))),
        replicas=status.get("readyReplicas"),
        wanted=status.get("desiredReplicas"),
        latency=at(status, "latency").get("observed", ""),
        target=latency.get("target", ""),
        percentile=latency.get("percentile", 99),
        accelerator=", ".join(p["accelerator"] for p in status.get("parts") or ())
        or status.get("accelerator", ""),
        decision=at(status, "decision").get("reason", ""),
        age_s=age(service["metadata"].get("creationTimestamp"), now),
    )


def explain(
    found: Gathered, now: datetime, classes: tuple[ClassAnswer, ...] | None = None
) -> Explanation:
    """Everything about one service; ``classes``: what the planner says of each."""
    service = found.service
    conditions = tuple(_conditions(service, now))
    past, events = None, None
    if found.events is not None:
        past, others = decision.past([(_event_age(e, now), e) for e in found.events])
        events = _events(others, _ready(found.pods or ()))
    holding_back = _causes([c for c in conditions if not c.good and c.type not in _SUMMARY])
    return Explanation(
        summary=summarise(service, now),
        notes=tuple(_notes(service)),
        conditions=conditions,
        holding_back=holding_back,
        decision=decision.line(service, found.deployment),
        past=past or (),
        placement=(
            *_verdicts(_condition(service, ConditionType.PLACED)),
            *_nodes(at(service, "status", "nodes")),
            *_memory(service),
        ),
        classes=classes,
        sites=tuple(map(_site, (service.get("status") or {}).get("sites") or ())),
        zones=tuple(map(_zone, (service.get("status") or {}).get("zones") or ())),
        cost=_cost(at(service, "status", "cost")),
        pods=None if found.pods is None else _pods(found.pods, now),
        events=events,
        next_steps=_next_steps(service, holding_back),
    )


def age(timestamp: str | None, now: datetime) -> float | None:
    """Seconds since an RFC 3339 time; None when there is none or it is no time."""
    try:
        then = datetime.fromisoformat(timestamp or "")
    except ValueError:
        return None
    return max(0.0, (now - (then if then.tzinfo else then.replace(tzinfo=UTC))).total_seconds())


def _condition(service: Object, kind: ConditionType) -> Object | None:
    listed = (service.get("status") or {}).get("conditions") or []
    return next((c for c in listed if c.get("type") == kind.value), None)


def _conditions(service: Object, now: datetime) -> Sequence[ConditionLine]:
    lines = []
    for condition in (service.get("status") or {}).get("conditions") or []:
        kind, status = str(condition.get("type", "")), str(condition.get("status", ""))
        lines.append(
            ConditionLine(
                type=kind,
                good=status == ("False" if kind in _BAD_WHEN_TRUE else "True"),
                status=status,
                reason=str(condition.get("reason", "")),
                message=clean(str(condition.get("message", ""))),
                age_s=age(condition.get("lastTransitionTime"), now),
            )
        )
    return lines


def _causes(held: Sequence[ConditionLine]) -> tuple[ConditionLine, ...]:
    """Those a person can do something about, if any: the others follow from them, or pass."""
    return tuple(c for c in held if advice(c.reason)) or tuple(held)


def _notes(service: Object) -> Sequence[str]:
    notes = []
    metadata, status = service["metadata"], service.get("status") or {}
    if metadata.get("deletionTimestamp"):
        notes.append("It is being deleted; Conch removes what it made first.")
    seen = status.get("observedGeneration")
    if seen is not None and seen < metadata.get("generation", seen):
        notes.append(
            f"The spec has changed (generation {metadata['generation']}); what follows is about "
            f"generation {seen}."
        )
    if at(service, "spec").get("paused"):
        notes.append("spec.paused is true: Conch changes nothing.")
    return notes


def _verdicts(placed: Object | None) -> tuple[str, ...]:
    """The planner's sentence, one class per line."""
    message = clean(str((placed or {}).get("message", "")))
    return tuple(part.strip() for part in message.split("; ") if part.strip())


def _nodes(nodes: Mapping[str, Any]) -> tuple[str, ...]:
    """ "nodes: a, b and 14 more", as far as the status names them."""
    names = [clean(str(name)) for name in nodes.get("names") or ()]
    if not names:
        return ()
    more = int(nodes.get("count") or 0) - len(names)
    return (f"nodes: {', '.join(names)}" + (f" and {more} more" if more > 0 else ""),)


def _memory(service: Object) -> tuple[str, ...]:
    """What was measured beside what is declared."""
    measured = at(service, "status").get("gpuMemory")
    if not measured:
        return ()
    declared = at(service, "spec", "placement", "accelerators").get("minMemory")
    beside = f", minMemory is {declared}" if declared else ""
    return (clean(f"memory of one accelerator: {measured} measured{beside}"),)


def _zone(zone: Mapping[str, Any]) -> str:
    ready, replicas = zone.get("readyReplicas", 0), zone.get("replicas", 0)
    return clean(f"{zone.get('name')}: {ready}/{replicas} replicas")


def _site(site: Mapping[str, Any]) -> str:
    away = "" if site.get("connected", True) else ", cut off: it serves on"
    ready, replicas = site.get("readyReplicas", 0), site.get("replicas", 0)
    lacks = "" if site.get("held", True) else f", needs {site.get('minReplicas')}"
    return clean(f"{site.get('name')}: {ready}/{replicas} replicas{lacks}{away}")


def _cost(cost: Mapping[str, Any]) -> str:
    """ "$2.4 an hour, 140W (modelled), 80g CO2e an hour (average)": what of it is known."""
    kind = str(cost.get("carbonKind", "")).lower()
    parts = (
        ("perHour", " an hour"),
        ("perMillionInferences", " per million inferences"),
        ("power", " (modelled)" if cost.get("estimated") else ""),
        ("energyPerInference", " per inference"),
        ("carbonPerHour", f" CO2e an hour ({kind})"),
    )
    return clean(", ".join(f"{cost[name]}{unit}" for name, unit in parts if cost.get(name)))


def _pods(pods: Sequence[Object], now: datetime) -> tuple[PodLine, ...]:
    lines = [_pod(msgspec.convert(pod, Pod), now) for pod in pods]
    return tuple(sorted(lines, key=lambda line: (line.problem == "", line.name)))


def _pod(pod: Pod, now: datetime) -> PodLine:
    statuses = (*pod.status.init_container_statuses, *pod.status.container_statuses)
    problem = diagnose(pod)
    if pod.metadata.deletion_timestamp:
        state = "Leaving"
    elif pod.ready:
        state = "Ready"
    elif problem is not None:
        state = problem.reason.value
    else:
        state = _starting(pod)
    return PodLine(
        name=pod.metadata.name,
        state=state,
        restarts=sum(status.restart_count for status in statuses),
        node=pod.spec.node_name,
        problem="" if problem is None else clean(problem.message),
        age_s=age(pod.metadata.creation_timestamp, now),
    )


def _starting(pod: Pod) -> str:
    if not pod.spec.node_name:
        return "Pending"
    if any(status.state.running for status in pod.status.init_container_statuses):
        return "FetchingModels"
    if any(status.state.running for status in pod.status.container_statuses):
        return "LoadingModels"
    return "Starting"


def _event_age(event: Object, now: datetime) -> float | None:
    series = event.get("series") or {}
    when = (
        series.get("lastObservedTime")
        or event.get("lastTimestamp")
        or event.get("eventTime")
        or event.get("firstTimestamp")
        or event["metadata"].get("creationTimestamp")
    )
    return age(when, now)


def _ready(pods: Sequence[Object]) -> frozenset[str]:
    return frozenset(p["metadata"]["name"] for p in pods if msgspec.convert(p, Pod).ready)


def _events(
    events: Sequence[tuple[float | None, Object]], ready: frozenset[str]
) -> tuple[EventLine, ...]:
    """The latest ones, newest first; of pods only the warnings.

    Not among them: that a probe failed while a pod started that is ready now.
    """
    lines = []
    for age_s, event in events:
        about = event.get("involvedObject", {})
        if event.get("type") == "Normal" and about.get("kind") == "Pod":
            continue
        started = about.get("name") in ready and event.get("reason") == "Unhealthy"
        if started and str(event.get("message", "")).startswith("Startup probe"):
            continue
        lines.append(
            EventLine(
                age_s=age_s,
                type=event.get("type", ""),
                reason=event.get("reason", ""),
                about=f"{about.get('kind', '')}/{about.get('name', '')}",
                message=clean(event.get("message", "")),
                count=decision.count(event),
            )
        )
    lines.sort(key=lambda line: float("inf") if line.age_s is None else line.age_s)
    return tuple(lines[:_EVENTS])


def _next_steps(service: Object, holding_back: Sequence[ConditionLine]) -> tuple[str, ...]:
    """What a person can do, most important first, each once."""
    if not (service.get("status") or {}).get("conditions"):
        return (UNSEEN,)
    reasons = [c.reason for c in holding_back]
    reasons += [c["reason"] for c in service["status"]["conditions"] if c.get("reason") == "Paused"]
    steps = (advice(reason) for reason in reasons)
    return tuple(dict.fromkeys(step for step in steps if step))
