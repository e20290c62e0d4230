"""Looking at a service's pods: the ready ones for what the scaler learns from, the starting ones
for models they cannot load.

Decides only how many are looked at at once; where the signals come from is `sources`' to decide.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import replace

from conch.api import names
from conch.kube.views import Pod
from conch.observe.state import ClusterState
from conch.observe.types import Key, PodSample, ScalingPolicy
from conch.reconcile.memory import asked_class
from conch.reconcile.queue import Priority, WorkQueue
from conch.reconcile.sources import Samples, Sources
from conch.settings import Settings
from conch.telemetry.catalog import Metrics
from conch.triton.repository import load_problems
from conch.triton.scrape import scrape

logger = logging.getLogger(__name__)

# A place is waited for before a pod's time-out begins: pods that hang must not make others look
# silent.
_PLACES = 128


class Looks:
    """At the pods of all services."""

    def __init__(
        self, state: ClusterState, queue: WorkQueue, settings: Settings, metrics: Metrics
    ) -> None:
        self._state = state
        self._queue = queue
        self._timeout_s = settings.scrape_timeout_s
        self._good = metrics.scrapes.labels("ok")
        self._bad = metrics.scrapes.labels("error")
        self._places = asyncio.Semaphore(_PLACES)
        self.sources = Sources(settings)

    async def at(
        self, key: Key, uid: str, policy: ScalingPolicy, before: Mapping[str, PodSample]
    ) -> Samples:
        """One sample of each ready pod; ``before``: the last good ones, by the pod's uid."""
        ready = [p for p in self._state.pods(key) if p.ready and p.status.pod_ip]
        _, samples = await asyncio.gather(
            self._ask_starting(key),
            self.sources.look(
                key,
                uid,
                {p.metadata.name: p.metadata.uid for p in ready},
                policy,
                before,
                asyncio.get_running_loop().time,
                lambda: asyncio.gather(*(self._look(p, policy, before) for p in ready)),
            ),
        )
        for sample in samples:
            (self._bad if sample.error else self._good).inc()
        groups = groups_of(self._state, key)
        return tuple(replace(s, group=groups.get(s.pod, s.group)) for s in samples)

    async def _look(
        self, pod: Pod, policy: ScalingPolicy, before: Mapping[str, PodSample]
    ) -> PodSample:
        async with self._places:
            sample = await scrape(
                pod.metadata.uid,
                pod.status.pod_ip,
                policy.models,
                policy.percentile,
                self._timeout_s,
                asyncio.get_running_loop().time,
                before.get(pod.metadata.uid),
            )
        if sample.error:
            logger.debug("pod %s: %s", pod.metadata.name, sample.error)
        return sample

    async def _ask_starting(self, key: Key) -> None:
        """Ask servers that run without being ready which models they cannot load, and why."""
        pods = [p for p in self._state.pods(key) if _server_runs(p) and not p.ready]
        answers = await asyncio.gather(*(self._ask(p) for p in pods))
        for pod, problems in zip(pods, answers, strict=True):
            message = "; ".join(f"{name}: {why}" for name, why in sorted(problems.items()))
            if self._state.set_model_problem(pod.metadata.uid, message) is not None:
                self._queue.add(key, Priority.CHILD)

    async def _ask(self, pod: Pod) -> dict[str, str]:
        async with self._places:
            return await load_problems(pod.status.pod_ip, self._timeout_s)


def groups_of(state: ClusterState, key: Key) -> dict[str, str]:
    """By uid, the accelerator class that each of a service's pods is for: those of one are alike.
    A pod that does not say is of the class that its Deployment asks for."""
    deployment = state.child(key, "Deployment", key.name)
    asked = asked_class(deployment) if deployment is not None else ""
    return {
        pod.metadata.uid: pod.metadata.labels.get(names.LABEL_ACCELERATOR, asked)
        for pod in state.pods(key)
    }


def _server_runs(pod: Pod) -> bool:
    return (
        pod.metadata.deletion_timestamp is None
        and bool(pod.status.pod_ip)
        and any(
            status.name == names.CONTAINER_TRITON and status.state.running is not None
            for status in pod.status.container_statuses
        )
    )
