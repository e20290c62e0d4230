"""Condition Available: do enough pods run the current spec with their models loaded?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from conch.api.conditions import Condition, ConditionType, Reason
from conch.kube.views import Object, Pod
from conch.observe.state import Observation
from conch.reconcile.steps import sites, split
from conch.reconcile.steps.pods import Problem, diagnose


@dataclass(frozen=True, slots=True)
class Availability:
    """The condition and the counts it was judged from."""

    condition: Condition
    pods: int
    ready: int
    settled: bool  # the Deployment's controller is done: nothing is in flight
    stuck: bool


def judge(obs: Observation, replicas: int, paused: bool, substitutes: int = 0) -> Availability:
    """Judge the pods against ``replicas`` wanted, and ``substitutes`` beyond them.

    Pods of an older revision count as serving, but a problem of the newest revision is what the
    user must hear about: what they applied last is not running.
    """
    parts = split.judge(obs, replicas, substitutes, sites.held_apart(obs))
    alive = [p for p in obs.pods if p.metadata.deletion_timestamp is None]
    current = _newest(alive)
    ready = sum(p.ready for p in alive)
    ready_now = sum(p.ready for p in current)
    live = obs.parts
    settled = _settled(obs.deployment, parts.main) and all(
        _settled(live.get(part), count) for part, count in parts.parts.items()
    )
    problem = _worst(current, obs) or _replica_failure(obs.deployment, *live.values())

    def result(
        status: Literal["True", "False"], reason: Reason, message: str, stuck: bool = False
    ) -> Availability:
        return Availability(
            Condition(ConditionType.AVAILABLE, status, reason, message),
            pods=len(alive),
            ready=ready,
            settled=settled and not stuck,
            stuck=stuck,
        )

    if replicas == 0 and _is_idle(obs):
        message = "No replica while nothing is asked; the activator holds the next request."
        return result("True", Reason.IDLE, message)
    if replicas == 0 and not paused:
        return result("False", Reason.SCALED_TO_ZERO, "Zero replicas were asked for.")
    if obs.deployment is None:
        return result("False", Reason.PODS_STARTING, "No pods yet.")
    if problem is not None:
        serving = ready - ready_now
        if ready_now:
            # What was applied does run; only further replicas cannot start.
            more = f" and {serving} of the previous revision" if serving else ""
            told = f"{ready_now} of {replicas} replicas{more} ready; the others: {problem.message}"
            return result("True", problem.reason, told)
        rest = f" {serving} pods of the previous revision keep serving." if serving else ""
        return result("False", problem.reason, problem.message + rest, stuck=problem.stuck)
    if obs.leaving and substitutes and ready:
        return result("True", Reason.NODE_LEAVING, _leaving(obs, replicas, ready))
    if settled and ready >= replicas:
        return result("True", Reason.AVAILABLE, f"All {replicas} replicas are ready.")
    if ready_now == 0 and ready:
        return result("True", Reason.ROLLING_OUT, "A new revision is starting.")
    if ready == 0 or (ready == replicas == len(alive) and not _was_ready(obs)):
        # The last pod is ready and the Deployment's controller will say so in a moment: one
        # report then, instead of two in a row.
        return result("False", Reason.PODS_STARTING, "Pods fetch and load their models.")
    reason = Reason.ROLLING_OUT if len(current) < len(alive) else Reason.PODS_STARTING
    return result("True", reason, f"Some of {replicas} replicas are still starting.")


def _leaving(obs: Observation, replicas: int, ready: int) -> str:
    nodes = sorted({pod.spec.node_name for pod in obs.leaving})
    others = f" and {len(nodes) - 1} others" if len(nodes) > 1 else ""
    stay = max(0, ready - sum(pod.ready for pod in obs.leaving))
    return (
        f"{len(obs.leaving)} of the pods are on {nodes[0]}{others}, which is lost or about to be; "
        f"{stay} of {replicas} replicas are ready elsewhere."
    )


def _is_idle(obs: Observation) -> bool:
    return obs.service is not None and obs.service.spec.scaling.idle is not None


def _was_ready(obs: Observation) -> bool:
    conditions = obs.raw.get("status", {}).get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def _settled(deployment: Object | None, replicas: int) -> bool:
    if deployment is None:
        return False
    status = deployment.get("status", {})
    return bool(
        status.get("observedGeneration", 0) >= deployment["metadata"].get("generation", 0)
        and deployment["spec"].get("replicas", 1) == replicas
        and status.get("updatedReplicas", 0) == replicas
        and status.get("replicas", 0) == replicas
        and status.get("readyReplicas", 0) == replicas
    )


def _newest(alive: list[Pod]) -> list[Pod]:
    """Those of the newest revision of their Deployment: its newest pod's template hash names it."""

    def template(pod: Pod) -> str:
        return pod.metadata.labels.get("pod-template-hash", "")

    # Oldest first: the last one stays.
    newest = {split.part_of(pod): template(pod) for pod in alive}
    return [pod for pod in alive if template(pod) == newest[split.part_of(pod)]]


def _worst(pods: list[Pod], obs: Observation) -> Problem | None:
    """The problem to tell: one that will not go away by itself before one that may.

    That kube-scheduler finds no node is as planned where a node autoscaler is to add one.
    """
    found = [
        problem
        for pod in pods
        if not pod.ready
        and (
            problem := diagnose(
                pod,
                obs.mount_problems.get(pod.metadata.uid, ""),
                obs.model_problems.get(pod.metadata.uid, ""),
            )
        )
        is not None
    ]
    worst = min(found, key=lambda p: (not p.stuck,), default=None)
    if worst is None or worst.reason is not Reason.UNSCHEDULABLE:
        return worst
    if obs.assignment is None or obs.assignment.reason is not Reason.WAITING_FOR_NODE:
        return worst
    return replace(
        worst, reason=Reason.WAITING_FOR_NODE, message=f"A node is to be added. {worst.message}"
    )


def _replica_failure(*deployments: Object | None) -> Problem | None:
    """Pods that could not even be created: quota, policy or admission."""
    for condition in (
        condition
        for deployment in deployments
        for condition in (deployment or {}).get("status", {}).get("conditions", [])
    ):
        if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
            message = f"Pods cannot be created: {condition.get('message', '')}"
            return Problem(Reason.APPLY_REFUSED, message, stuck=True)
    return None
