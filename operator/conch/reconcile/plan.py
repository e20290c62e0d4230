"""What to do about one InferenceService: a pure function of what was observed.

``make`` judges the spec and says which writes are needed; the controller performs them; then
``conclude`` turns the same observation plus what the API server refused into the status. Steps own
one condition each (``reconcile.steps``); nothing here reads a clock or a network.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from conch.api import conditions, names
from conch.api.conditions import Condition, ConditionType, Reason
from conch.kube.views import Object
from conch.observe.state import ChildId, Observation
from conch.reconcile.desired import Options as Options
from conch.reconcile.desired import desired, difference, identity
from conch.reconcile.steps import (
    accepted,
    available,
    cost,
    figures,
    foreign,
    holding,
    placed,
    replicas,
    serving,
    sites,
    split,
    summary,
    told,
)

_AWAITED = {
    ConditionType.READY,
    ConditionType.STALLED,
    ConditionType.PLACED,
    ConditionType.SCALING,
}

# A quota that is raised and a foreign object that goes away are told by nobody.
_AGAIN_S = 30.0


@dataclass(frozen=True, slots=True)
class Apply:
    """Create or change one child. ``why`` is the first difference."""

    obj: Object
    why: str
    create: bool


@dataclass(frozen=True, slots=True)
class Plan:
    """The writes one reconcile makes, in order: applies, replicas, deletions, then the status."""

    accepted: Condition
    placed: Condition
    applies: tuple[Apply, ...] = ()
    deletes: tuple[Object, ...] = ()
    replicas: int = 0
    substitutes: int = 0  # asked for beyond ``replicas``, in the stead of pods whose node goes
    spare: int = 0  # of those: because a site lacks its minimum
    scale_to: int | None = None  # written to the Deployment by the scaler's field manager
    parts_to: Mapping[str, int] = field(default_factory=dict)  # the same of further Deployments
    collision: str = ""  # a child of ours by name that belongs to somebody else
    terminating: bool = False  # an earlier owner's child is still being collected
    building: bool = False  # the spec can be built: children are wanted
    halted: bool = False  # paused or being deleted: write nothing but the status


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the writes came to: messages of those that were refused for good."""

    refused: tuple[str, ...] = ()
    collision: str = ""


@dataclass(frozen=True, slots=True)
class Status:
    """The status as it should be, and what is worth an event."""

    body: Mapping[str, Any]
    conditions: tuple[Condition, ...] = field(default=())
    requeue_after_s: float | None = None


def make(obs: Observation, options: Options) -> Plan:
    """The writes that bring the children of one service to what its spec asks for."""
    verdict = accepted.judge(obs, options.allowed_sources)
    place = placed.judge(obs)
    service = obs.service
    if service is None or obs.runtime is None or verdict.status != "True":
        return Plan(verdict, place)
    wanted = replicas.wanted(obs, service.spec.scaling)
    halted = service.spec.paused or service.metadata.deletion_timestamp is not None
    kind = obs.assignment.kind if obs.assignment else None
    if kind is None or halted:
        return Plan(verdict, place, replicas=wanted, halted=halted)
    held = holding.judge(obs, wanted)
    if wanted == 0 and service.spec.scaling.idle is not None and not (held and held.addresses):
        # Nobody would hold what arrives meanwhile.
        wanted = max(0 if foreign.judge(obs) else 1, split.live(obs))
    spare = 0 if foreign.judge(obs) else sites.spare(obs, wanted)
    substitutes = replicas.substitutes(obs, wanted) + spare
    parts = split.judge(obs, wanted, substitutes, sites.held_apart(obs))
    children = desired(obs, service, obs.runtime, kind, wanted, parts, held, options)
    stranger, dying = _strangers(obs, children)
    if stranger or dying:
        return Plan(
            verdict,
            place,
            replicas=wanted,
            collision=stranger,
            terminating=bool(dying),
            building=True,
        )
    applies = tuple(
        Apply(child, why, create=identity(child) not in obs.children)
        for child in children
        if (why := difference(obs, child)) is not None
    )
    kept = {identity(child) for child in children}
    # A pod that is not there yet, or starts again, needs the template it was made with.
    claimed = {c.resource_claim_template_name for pod in obs.pods for c in pod.spec.resource_claims}
    # Until others do their part.
    held_on = [part for part, count in parts.parts.items() if count]
    kept |= {("Deployment", names.part_name(obs.key.name, part)) for part in held_on}
    deletes = tuple(
        live
        for identity, live in obs.children.items()
        if identity not in kept
        and live["metadata"]["name"] not in claimed
        and _owner_uid(live) == service.metadata.uid
        and "deletionTimestamp" not in live["metadata"]
    )
    return Plan(
        verdict,
        place,
        applies=applies,
        deletes=deletes,
        replicas=wanted,
        substitutes=substitutes,
        spare=spare,
        scale_to=_scale_to(obs.deployment, parts.main),
        parts_to=_parts_to(obs, parts, kept),
        building=True,
    )


def conclude(obs: Observation, plan: Plan, outcome: Outcome) -> Status:
    """The status after the plan's writes: one condition per step, summed up in Ready."""
    service = obs.service
    generation = int(obs.raw["metadata"].get("generation", 0))
    paused = bool(service and service.spec.paused)
    applied = _applied(plan, outcome)
    steps = [plan.accepted, plan.placed, applied]
    body: dict[str, Any] = {"observedGeneration": generation}
    if service is None:
        verdict = summary.judge([plan.accepted], settled=True, stuck=True, paused=False)
        everything = [*verdict, plan.accepted]
    else:
        state = available.judge(obs, plan.replicas, paused, plan.substitutes)
        scaling = replicas.judge(obs, service.spec.scaling, plan.replicas)
        answers = serving.judge(obs)
        if obs.decision is None:  # an operator that has just started knows no better
            scaling, answers = told.kept(obs, scaling), told.kept(obs, answers)
        steps += [state.condition, scaling, answers]
        verdict = summary.judge(
            steps,
            settled=state.settled
            and not plan.applies
            and plan.scale_to is None
            and not plan.parts_to,
            stuck=state.stuck,
            paused=paused,
        )
        everything = [*verdict, *steps]
        body |= {
            "replicas": state.pods,
            "readyReplicas": state.ready,
            "desiredReplicas": plan.replicas,
            "selector": names.selector_string(obs.key.name),
            "address": {
                "http": f"http://{obs.key.name}.{obs.key.namespace}.svc:{names.PORT_HTTP}",
                "grpc": f"{obs.key.name}.{obs.key.namespace}.svc:{names.PORT_GRPC}",
            },
        }
        body |= figures.placement(obs.assignment) | figures.measured(
            service, obs.decision, sites.note(obs, plan.replicas, service.spec.scaling.min_replicas)
        )
        if obs.decision is None:
            body |= told.numbers(obs)
        body |= figures.parts(obs) | figures.nodes(obs) | figures.sites(obs) | figures.moves(obs)
        body |= figures.zones(obs)
        body |= cost.block(obs.raw.get("status", {}).get("cost", {}), obs.bill)
        body |= figures.memory(obs) | figures.capacities(obs)
        body |= figures.revision(obs) | figures.scheduled(obs, service.spec.scaling)
    old = obs.raw.get("status", {}).get("conditions", [])
    body["conditions"] = conditions.merge(old, everything, generation, obs.now)
    return Status(body, tuple(everything), _again_s(obs, plan, outcome))


def status_differs(obs: Observation, status: Status) -> bool:
    """Whether writing ``status`` would change anything."""
    return bool(obs.raw.get("status", {}) != status.body)


def urgent(obs: Observation, status: Status) -> bool:
    """Whether somebody waits for this change: anything but counts and measurements."""
    old = obs.raw.get("status", {})
    if old.get("observedGeneration") != status.body["observedGeneration"]:
        return True
    before = {c["type"]: (c["status"], c["reason"]) for c in old.get("conditions", [])}
    return any(
        before.get(c.type.value) != (c.status, c.reason.value)
        for c in status.conditions
        if c.type in _AWAITED
    )


def _again_s(obs: Observation, plan: Plan, outcome: Outcome) -> float | None:
    """When to look again at what no watch tells of, in seconds."""
    if plan.terminating:
        return 1.0
    if outcome.refused or outcome.collision or plan.collision:
        return _AGAIN_S
    changes_at = replicas.limits(obs, obs.service.spec.scaling).changes_at if obs.service else None
    if changes_at is None:
        return None
    return max(1.0, (changes_at - datetime.fromisoformat(obs.now)).total_seconds())


# --- parts ----------------------------------------------------------------------------------------


def _strangers(obs: Observation, children: Sequence[Object]) -> tuple[str, str]:
    """(child that is somebody else's, child that an earlier namesake of the service left)."""
    service = obs.raw["metadata"]
    for child in children:
        live = obs.children.get(identity(child))
        if live is None or _owner_uid(live) == service.get("uid"):
            continue
        if owner_kind(live) == names.INFERENCE_SERVICE:
            return "", live["metadata"]["name"]
        return describe(child), ""
    return "", ""


def owner_kind(live: Object) -> str:
    """Kind of the object's controller, "" when it has none."""
    owners = live["metadata"].get("ownerReferences", [])
    return next((str(o["kind"]) for o in owners if o.get("controller")), "")


def _owner_uid(live: Object) -> str | None:
    owners = live["metadata"].get("ownerReferences", [])
    return next((o.get("uid") for o in owners if o.get("controller")), None)


def owned_by(live: Object, uid: str) -> bool:
    """Whether the InferenceService with that uid controls the object."""
    return _owner_uid(live) == uid


def describe(child: Object) -> str:
    """ "Deployment resnet", for messages."""
    return f"{child['kind']} {child['metadata']['name']}"


def _scale_to(deployment: Object | None, wanted: int | None) -> int | None:
    """What to write; one that does not exist yet is made with one replica."""
    before = 1 if deployment is None else int(deployment["spec"].get("replicas", 1))
    return None if before == wanted else wanted


def _parts_to(obs: Observation, parts: split.Split, kept: Collection[ChildId]) -> dict[str, int]:
    """By part, what to write; none of those that are deleted."""
    live = obs.parts
    return {
        part: count
        for part, wanted in parts.parts.items()
        if ("Deployment", names.part_name(obs.key.name, part)) in kept
        and (count := _scale_to(live.get(part), wanted)) is not None
    }


def _applied(plan: Plan, outcome: Outcome) -> Condition:
    collision = plan.collision or outcome.collision
    if collision:
        return Condition(
            ConditionType.APPLIED,
            "False",
            Reason.NAME_COLLISION,
            f"{collision} exists and does not belong to this InferenceService; delete or rename "
            "it, or rename the InferenceService.",
        )
    if outcome.refused:
        return Condition(
            ConditionType.APPLIED, "False", Reason.APPLY_REFUSED, " ".join(outcome.refused)
        )
    if plan.terminating:
        return Condition(
            ConditionType.APPLIED,
            "Unknown",
            Reason.PROGRESSING,
            "Waiting until the children of an earlier InferenceService of this name are gone.",
        )
    if not plan.building:
        reason = Reason.PAUSED if plan.halted else Reason.PROGRESSING
        return Condition(ConditionType.APPLIED, "Unknown", reason, "Nothing is applied for now.")
    return Condition(
        ConditionType.APPLIED, "True", Reason.APPLIED, "Deployment and Service are as wanted."
    )
