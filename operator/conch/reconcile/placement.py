"""The placement loop: one planner for the whole cluster, behind a short batch window.

It turns what is known into requests, runs the pure planner over all of them at once, and publishes
assignments; reconciles only read them. It writes nothing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from conch.api import names, v1alpha1
from conch.kube import quantity
from conch.kube.views import Pod
from conch.observe.state import ClusterState, Record
from conch.observe.types import Assignment, Key, PlacementRequest, Toleration
from conch.placement import plan
from conch.reconcile.controller import builtin_runtime
from conch.reconcile.queue import Priority, WorkQueue
from conch.reconcile.steps import replicas
from conch.settings import Settings
from conch.telemetry.catalog import Metrics
from conch.triton.capability import support

logger = logging.getLogger(__name__)

# After a plan that took t, the next waits at least this many t: planning never eats the loop.
_REST = 4


class PlacementLoop:
    """Re-plans when something that matters changed."""

    def __init__(
        self, state: ClusterState, queue: WorkQueue, settings: Settings, metrics: Metrics
    ) -> None:
        self._state = state
        self._queue = queue
        self._metrics = metrics
        self._window_s = settings.placement_window_s
        self._builtin = builtin_runtime(settings)
        self._dirty = asyncio.Event()

    def trigger(self) -> None:
        """Something that placement looks at has changed."""
        self._dirty.set()

    async def run(self) -> None:
        """Plan until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self._dirty.wait()
            await asyncio.sleep(self._window_s)
            self._dirty.clear()
            started = loop.time()
            self.replan()
            took_s = loop.time() - started
            self._metrics.placement_seconds.observe(took_s)
            await asyncio.sleep(took_s * _REST)

    def replan(self) -> None:
        """One plan over all services; wakes those whose assignment changed."""
        requests = [
            request
            for key, record in self._state.services.items()
            if (request := self._request(key, record)) is not None
        ]
        assignments = plan(self._state.inventory(), requests)
        for key, assignment in assignments.items():
            before = self._state.assignments.get(key)
            self._state.assignments[key] = assignment
            if before is None or _changed(before, assignment):
                self._queue.add(key, Priority.USER if before is None else Priority.CHILD)
        for key in set(self._state.assignments) - set(assignments):
            del self._state.assignments[key]

    def _request(self, key: Key, record: Record) -> PlacementRequest | None:
        service = record.service
        if service is None or service.metadata.deletion_timestamp is not None:
            return None
        runtime, _ = self._state.runtime_of(record, self._builtin)
        obs = self._state.observe(key, self._builtin, "")
        if runtime is None or obs is None:
            return None
        wanted = replicas.wanted(obs, service.spec.scaling)
        deployment = obs.children.get(("Deployment", key.name))
        current = (
            ""
            if deployment is None
            else deployment["metadata"].get("labels", {}).get(names.LABEL_ACCELERATOR, "")
        )
        # Pods of a class the service has left do not hold a place on the one it is on.
        bound = sum(
            holds_a_node(pod) and pod.metadata.labels.get(names.LABEL_ACCELERATOR, "") == current
            for pod in obs.pods
        )
        accelerators = service.spec.placement.accelerators
        resources = service.spec.resources
        defaults = runtime.resources
        memory = quantity.value(resources.memory or defaults.memory)
        shared = quantity.value(resources.shared_memory or defaults.shared_memory)
        return PlacementRequest(
            key=key,
            classes=tuple(accelerators.classes or ()),
            count=accelerators.count,
            min_memory_bytes=quantity.value(accelerators.min_memory or 0),
            min_compute_capability=support(
                runtime.release, runtime.min_compute_capability
            ).min_compute_capability,
            allow_cpu=accelerators.allow_cpu,
            node_selector=service.spec.placement.node_selector or {},
            tolerations=tuple(_tolerations(service.spec.placement.tolerations or ())),
            cpu_milli=quantity.milli(resources.cpu or defaults.cpu),
            memory_bytes=memory + shared,
            unbound=max(0, wanted - bound),
            bound=bound,
            current=current,
            age_rank=record.raw["metadata"].get("creationTimestamp", "") + service.metadata.uid,
        )


def _changed(before: Assignment, after: Assignment) -> bool:
    """Whether a reconcile would do or say anything else; room and verdicts alone are neither."""
    return (before.kind, before.reason, before.message) != (
        after.kind,
        after.reason,
        after.message,
    )


def holds_a_node(pod: Pod) -> bool:
    """Whether the pod takes room on a node: bound and not over."""
    return bool(pod.spec.node_name) and pod.status.phase not in ("Succeeded", "Failed")


def _tolerations(tolerations: Iterable[v1alpha1.Toleration]) -> Iterable[Toleration]:
    for toleration in tolerations:
        yield Toleration(
            toleration.key or "",
            toleration.operator,
            toleration.value or "",
            toleration.effect or "",
        )
