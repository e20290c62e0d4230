"""What the status says beside its conditions: numbers, as people write them. Pure."""

from __future__ import annotations

from collections import Counter
from datetime import datetime
from typing import Any

from conch.api import names, v1alpha1
from conch.observe.family import class_of
from conch.observe.state import Observation
from conch.observe.types import Assignment, Decision
from conch.placement import footprint
from conch.reconcile.patience import holds_a_node
from conch.reconcile.steps import replicas
from conch.reconcile.steps import sites as minimum

MOST_CLASSES = 16
"""Classes whose capacity a status holds."""
MOST_ZONES = 32
"""Zones that a status holds."""
MOST_NODES = 16
"""Names of nodes that a status holds."""


def placement(assignment: Assignment | None) -> dict[str, Any]:
    """The class the service is on."""
    if assignment is None or assignment.kind is None:
        return {}
    return {"accelerator": assignment.kind.name}


def parts(obs: Observation) -> dict[str, Any]:
    """Its pods per class, where they are on several: the service's own class first."""
    alive = [p for p in obs.pods if p.metadata.deletion_timestamp is None]
    on = [class_of(pod) for pod in alive]
    if len(set(on)) < 2:
        return {}
    every, ready = Counter(on), Counter(n for n, p in zip(on, alive, strict=True) if p.ready)
    own = obs.assignment.kind.name if obs.assignment and obs.assignment.kind else ""
    ordered = sorted(every, key=lambda name: (name != own, name))[:MOST_CLASSES]
    shown = [{"accelerator": n, "replicas": every[n], "readyReplicas": ready[n]} for n in ordered]
    return {"parts": shown}


def nodes(obs: Observation) -> dict[str, Any]:
    """The nodes that its replicas are bound to, by name: the first of them, and how many."""
    found = sorted({pod.spec.node_name for pod in obs.pods if holds_a_node(pod)})
    return {"nodes": {"count": len(found), "names": found[:MOST_NODES]}} if found else {}


def memory(obs: Observation) -> dict[str, Any]:
    """What its servers were measured to take of one accelerator."""
    measured = footprint.shown(obs.footprint)
    return {"gpuMemory": measured} if measured else {}


def moves(obs: Observation) -> dict[str, Any]:
    """Its last move for a gain, and where one failed; as it stands while nothing is known yet."""
    if obs.moved is None:
        before = (obs.raw.get("status") or {}).get("moves")
        return {"moves": before} if before else {}
    told: dict[str, Any] = {"last": obs.moved.last} if obs.moved.last else {}
    if obs.moved.left_alone:
        told["leftAlone"] = [{"accelerator": n, "until": t} for n, t in obs.moved.left_alone]
    return {"moves": told}


def sites(obs: Observation) -> dict[str, Any]:
    """Its pods per site, where it is pinned to sites, and each site's own minimum."""
    if not obs.sites:
        return {}
    needs = {need.site: need for need in minimum.of(obs)}
    shown = [
        {"name": name, "replicas": site.replicas, "readyReplicas": site.ready}
        | ({} if site.connected is None else {"connected": site.connected})
        | ({"minReplicas": n.least, "held": n.here >= n.least} if (n := needs.get(name)) else {})
        for name, site in obs.sites.items()
    ]
    return {"sites": shown}


def zones(obs: Observation) -> dict[str, Any]:
    """Its pods per zone, as they are bound."""
    shown = [
        {"name": name, "replicas": zone.replicas, "readyReplicas": zone.ready}
        for name, zone in list(obs.zones.items())[:MOST_ZONES]
    ]
    return {"zones": shown} if shown else {}


def revision(obs: Observation) -> dict[str, Any]:
    """The pod template that the newest ready pod was made from.

    Of several Deployments the service's own: the others have the same servers.
    """
    ready = [p for p in obs.pods if p.ready]
    ready = [p for p in ready if names.LABEL_PART not in p.metadata.labels] or ready
    if not ready:
        return {}
    return {"revision": ready[-1].metadata.labels.get("pod-template-hash", "")}


def scheduled(obs: Observation, scaling: v1alpha1.Scaling) -> dict[str, Any]:
    """What holds now by the schedules, and what comes; nothing without any."""
    if not scaling.schedules:
        return {}
    bounds = replicas.limits(obs, scaling)
    shown: dict[str, Any] = {"minReplicas": bounds.least, "maxReplicas": bounds.most}
    if bounds.active:
        shown["active"] = list(bounds.active)
    if bounds.until is not None:
        shown["until"] = _time(bounds.until)
    if bounds.coming is not None:
        shown |= {"next": bounds.coming[0], "nextStart": _time(bounds.coming[1])}
    return {"schedule": shown}


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def measured(
    service: v1alpha1.InferenceService, decision: Decision | None, note: str = ""
) -> dict[str, Any]:
    """Latency as measured, and in mode Latency the decision with its numbers and what to add."""
    if decision is None:
        return {}
    body: dict[str, Any] = {}
    if decision.latency_s is not None:
        body["latency"] = {
            "observed": _seconds(decision.latency_s),
            "target": service.spec.objectives.latency.target,
        }
    if service.spec.scaling.mode == "Latency":
        numbers = {
            "demand": _rate(decision.demand_rps),
            "bound": _rate(decision.bound_rps),
            "capacityPerReplica": _rate(decision.capacity_rps),
            "horizon": None if decision.horizon_s is None else _seconds(decision.horizon_s),
        }
        body["decision"] = {
            "replicas": decision.replicas,
            "reason": decision.reason.value,
            "message": f"{decision.message}{note}",
        } | {k: v for k, v in numbers.items() if v is not None}
    return body


def capacities(obs: Observation) -> dict[str, Any]:
    """What a replica carries on each class, the present one first."""
    if obs.outlook is None or obs.decision is None:
        return {}
    on = obs.assignment.kind.name if obs.assignment and obs.assignment.kind else ""
    found = sorted(obs.outlook.by_class.items(), key=lambda item: (item[0] != on, item[0]))
    shown = [
        {"accelerator": name, "perReplica": _rate(one.rps)}
        | ({"estimated": True} if one.estimated else {})
        for name, one in found[:MOST_CLASSES]
    ]
    return {"capacities": shown}


def _rate(value: float | None) -> str | None:
    """Requests per second as people write them: 3 significant digits."""
    if value is None:
        return None
    return f"{value:.0f}/s" if value >= 100 else f"{value:.3g}/s"


def _seconds(value: float) -> str:
    """A duration as people write it: 85ms, 1.2s."""
    return f"{value * 1000:.0f}ms" if value < 1 else f"{value:.3g}s"
