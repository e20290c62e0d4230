"""Whether a service is well enough to be moved for a gain, and whether a class could take it.

Somebody's wish to save money is no reason to touch a service that has trouble: it must be Ready,
with every replica on its class and none on the way, with its objective held over the last hour.
Judges only; what is gained is the planner's business. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable

from conch.api.conditions import ConditionType, Reason
from conch.kube.views import Object
from conch.observe.family import class_of
from conch.observe.state import Observation
from conch.observe.types import AcceleratorKind, Decision, Inventory, Outlook, PlacementRequest
from conch.placement.fit import carries
from conch.placement.options import replicas_on
from conch.reconcile.steps import foreign

_CALM = {Reason.WITHIN_OBJECTIVE, Reason.HOLDING_DOWN, Reason.AT_MINIMUM, Reason.NO_TRAFFIC}


def may_move(
    obs: Observation, request: PlacementRequest, budget_left: float | None, target_s: float
) -> bool:
    """Whether nothing speaks against moving it now.

    ``budget_left``: of the late requests that the objective allows in an hour, what is left, 0 to
    1; None: nothing was counted, as in modes without an objective.
    """
    service = obs.service
    if service is None or service.spec.paused or "deletionTimestamp" in obs.raw["metadata"]:
        return False
    if not request.current or not request.bound or request.unbound:
        return False
    if obs.leaving or obs.substitutes or foreign.judge(obs):
        return False
    if service.spec.placement.site_minima:
        return False  # a class may be at some of its sites only
    alive = [pod for pod in obs.pods if pod.metadata.deletion_timestamp is None]
    return (
        _is_ready(obs.raw)
        and len(alive) == request.wanted
        and all(pod.ready and request.runs_on(class_of(pod)) for pod in alive)
        and all(_has_settled(d) for d in (obs.deployment, *obs.parts.values()) if d is not None)
        and (service.spec.scaling.mode != "Latency" or _is_calm(obs.decision, target_s))
        and (budget_left is None or budget_left > 0)
    )


def _is_ready(raw: Object) -> bool:
    conditions = (raw.get("status") or {}).get("conditions") or ()
    return any(c["type"] == ConditionType.READY and c["status"] == "True" for c in conditions)


def _has_settled(deployment: Object) -> bool:
    status = deployment.get("status", {})
    asked = deployment["spec"].get("replicas", 1)
    seen = status.get("observedGeneration", 0) >= deployment["metadata"].get("generation", 0)
    counts = ("replicas", "updatedReplicas", "readyReplicas")
    return bool(seen) and all(status.get(name, 0) == asked for name in counts)


def _is_calm(decision: Decision | None, target_s: float) -> bool:
    return (
        decision is not None
        and decision.reason in _CALM
        and not (decision.failing or decision.not_answering or decision.pods_without_metrics)
        and (decision.latency_s is None or decision.latency_s <= target_s)
    )


def shunned(request: PlacementRequest, outlook: Outlook | None, most: int) -> frozenset[str]:
    """Classes that a service must not be moved to: they hold no objective, or take too many."""
    if outlook is None:
        return frozenset()
    return frozenset(
        name
        for name, found in outlook.by_class.items()
        if not found.rps > 0 or replicas_on(request, name) > most
    )


def free_units(inventory: Inventory, kind: AcceleratorKind) -> int:
    """Units of a class that are free on nodes that could take a pod now."""
    return sum(
        node.free(kind.resource)
        for node in inventory.nodes
        if node.ready
        and not node.unschedulable
        and not node.reclaimed
        and carries(node.labels, kind.node_selector)
    )


def named(kinds: Iterable[AcceleratorKind], name: str) -> AcceleratorKind | None:
    """The class of that name."""
    return next((kind for kind in kinds if kind.name == name), None)
