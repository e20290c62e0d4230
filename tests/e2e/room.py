"""One case's namespace: making services in it, changing them, and waiting for what they report.

Waiting looks at the world until it is as it should be; how long that took from the cause on is kept
for the table at the end, and limited where the user waits.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from conch.api import names
from conch.errors import NotFound
from conch.kube.transport import Api, path
from conch.kube.views import Object
from e2e.testbed import Cluster

LIMIT_S = 10.0
"""A condition with its reason within this time from the cause."""
POD_S = 20.0
"""The same where a pod has to start first; more on a machine that is slow to start one."""
START_S = 90.0
"""A pod is ready within this time, with others starting beside it on two cores."""
_LOOK_EVERY_S = 0.2

GOOD = "image:///opt/models/resnet"
KWOK = [{"key": "kwok.x-k8s.io/node", "operator": "Exists"}]
_PLURALS = {
    "Deployment": ("apps/v1", "deployments"),
    "Service": ("v1", "services"),
    "NetworkPolicy": ("networking.k8s.io/v1", "networkpolicies"),
    "PodDisruptionBudget": ("policy/v1", "poddisruptionbudgets"),
    "ResourceQuota": ("v1", "resourcequotas"),
    "Secret": ("v1", "secrets"),
    "ConfigMap": ("v1", "configmaps"),
    "Pod": ("v1", "pods"),
    "PersistentVolumeClaim": ("v1", "persistentvolumeclaims"),
    "HorizontalPodAutoscaler": ("autoscaling/v2", "horizontalpodautoscalers"),
    "InferenceService": (names.API_VERSION, "inferenceservices"),
}
CHILDREN = ("Deployment", "Service", "NetworkPolicy", "PodDisruptionBudget")


def spec(uri: str = GOOD, **more: Any) -> Object:
    """A small service on the real node; ``more`` replaces whole fields of the spec."""
    return {
        "models": [{"name": "m", "source": {"uri": uri}}],
        "objectives": {"latency": {"target": "400ms"}},
        "placement": {
            "accelerators": {"classes": ["l4"]},
            "nodeSelector": {"conch.test/kind": "real"},
        },
        "scaling": {"mode": "Fixed", "replicas": 1},
        "resources": {"cpu": "20m", "memory": "512Mi", "sharedMemory": "64Mi"},
    } | more


def fake(classes: Sequence[str] = (), count: int = 1, **more: Any) -> Object:
    """A service whose pods KWOK plays; without a class it takes no GPU from anybody."""
    accelerators: Object = {"classes": list(classes), "count": count}
    if not classes:
        accelerators = {"allowCPU": True, "count": 0}
    placement = {
        "accelerators": accelerators,
        "nodeSelector": {"conch.test/kind": "fake"},
        "tolerations": KWOK,
    }
    return spec(**{"placement": placement, **more})


def condition(service: Object, kind: str) -> Object | None:
    """One condition of a service, None before it was reported."""
    found = service.get("status", {}).get("conditions", [])
    return next((c for c in found if c["type"] == kind), None)


@dataclass(slots=True)
class Shared:
    """What all rooms have in common."""

    api: Api
    cluster: Cluster
    alive: Callable[[], None]
    """Raises when the operator has ended: then there is nothing to wait for."""
    pod_s: float = POD_S
    """How long a failure may take that shows only when a pod has started."""
    times: list[tuple[str, str, float]] = field(default_factory=list)
    """Room, what was waited for, and the seconds it took."""


class Room:
    """A namespace, and what happens in it."""

    def __init__(self, shared: Shared, name: str) -> None:
        self._shared = shared
        self.api = shared.api
        self.cluster = shared.cluster
        self.pod_s = shared.pod_s
        self.name = name
        self._since_s = time.monotonic()

    def next_door(self) -> Room:
        """A second namespace of the same case; the case makes and deletes it."""
        return Room(self._shared, f"{self.name}-2")

    async def enter(self) -> None:
        """Make the namespace."""
        body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": self.name}}
        await self.api.create(path("v1", "namespaces"), body)

    async def leave(self) -> None:
        """Delete it and everything in it, without waiting."""
        await self.api.delete(path("v1", "namespaces", None, self.name))

    # --- doing ------------------------------------------------------------------------------------

    async def create(self, name: str, body: Object | None = None) -> Object:
        """Make an InferenceService; from now on time counts."""
        return await self.add("InferenceService", name, {"spec": body or spec()})

    async def add(self, kind: str, name: str, content: Object) -> Object:
        """Make any object in the namespace."""
        version, plural = _PLURALS[kind]
        meta = {"name": name, "namespace": self.name, **content.get("metadata", {})}
        body = {"apiVersion": version, "kind": kind, **content, "metadata": meta}
        self._since_s = time.monotonic()
        made = await self.api.create(path(version, plural, self.name), body)
        return {**made, "apiVersion": version, "kind": kind}

    async def change(self, name: str, patch: Object, kind: str = "InferenceService") -> Object:
        """Merge ``patch`` into an object as a person would; from now on time counts."""
        version, plural = _PLURALS[kind]
        self._since_s = time.monotonic()
        return await self.api.merge_patch(path(version, plural, self.name, name), patch)

    async def point_at(self, name: str, uri: str) -> None:
        """Let the service's only model come from elsewhere."""
        await self.change(name, {"spec": {"models": [{"name": "m", "source": {"uri": uri}}]}})

    async def delete(
        self, name: str, kind: str = "InferenceService", propagation: str | None = None
    ) -> None:
        """Delete an object; from now on time counts."""
        version, plural = _PLURALS[kind]
        self._since_s = time.monotonic()
        await self.api.delete(path(version, plural, self.name, name), propagation=propagation)

    def now(self) -> None:
        """Time counts from here: something that this class does not know was done."""
        self._since_s = time.monotonic()

    # --- seeing -----------------------------------------------------------------------------------

    async def get(self, name: str, kind: str = "InferenceService") -> Object:
        """An object as it is. Raises NotFound."""
        version, plural = _PLURALS[kind]
        return await self.api.get(path(version, plural, self.name, name))

    async def all(self, kind: str) -> list[Object]:
        """All objects of a kind in the namespace."""
        version, plural = _PLURALS[kind]
        return await self.api.list(path(version, plural, self.name))

    async def pods(self) -> list[Object]:
        """Pods that are not on their way out."""
        return [p for p in await self.all("Pod") if "deletionTimestamp" not in p["metadata"]]

    async def reports(
        self, name: str, kind: str, status: str, reason: str, *says: str,
        within_s: float = LIMIT_S,
    ) -> Object:  # fmt: skip
        """Wait for a condition about the present spec whose message holds every one of ``says``.

        What only a message tells may come some seconds after the condition: nobody waits for it.
        """
        found: Object = {}

        async def seen() -> bool:
            service = await self.get(name)
            current = condition(service, kind)
            if current is None:
                return False
            found.update(current)
            return bool(
                current["status"] == status
                and current["reason"] == reason
                and current["observedGeneration"] == service["metadata"]["generation"]
                and all(words in current["message"] for words in says)
            )

        awaited = " ".join((f"{kind}={status} {reason}", *map(repr, says)))
        await self.until(seen, within_s, lambda: self._told(name), awaited)
        return found

    async def fails(self, name: str, reason: str, *says: str, within_s: float = LIMIT_S) -> Object:
        """Wait until it is not Ready, and why."""
        return await self.reports(name, "Ready", "False", reason, *says, within_s=within_s)

    async def ready(self, name: str, within_s: float = START_S) -> Object:
        """Wait until it is Ready with the present spec."""
        return await self.reports(name, "Ready", "True", "Ready", within_s=within_s)

    async def whole(self, name: str, within_s: float = START_S) -> None:
        """Wait until it is Ready with all its replicas: one that serves is enough for Ready."""
        await self.reports(name, "Available", "True", "Available", within_s=within_s)
        await self.ready(name, within_s)

    async def gone(self, name: str, kind: str, within_s: float = LIMIT_S) -> None:
        """Wait until there is no such object."""

        async def absent() -> bool:
            try:
                await self.get(name, kind)
            except NotFound:
                return True
            return False

        await self.until(absent, within_s, lambda: self._exists(kind), f"no {kind} {name}")

    async def empty(self, within_s: float = 60.0) -> None:
        """Wait until nothing that Conch makes is left, pods included."""

        async def nothing() -> bool:
            return not any([await self.all(kind) for kind in (*CHILDREN, "Pod")])

        await self.until(nothing, within_s, lambda: self._exists("Pod"), "nothing is left")

    async def until(
        self,
        done: Callable[[], Awaitable[bool]],
        within_s: float,
        otherwise: Callable[[], Awaitable[str]],
        what: str,
    ) -> float:
        """Wait until ``done``, at most ``within_s`` from the cause; the time goes on the table."""
        while True:
            self._shared.alive()
            seen = await done()
            took_s = time.monotonic() - self._since_s
            if seen:
                self._shared.times.append((self.name, what, took_s))
                return took_s
            assert took_s < within_s, f"not {what} in {took_s:.1f} s: {await otherwise()}"
            await asyncio.sleep(_LOOK_EVERY_S)

    async def nothing(self) -> str:
        """For waits whose description says it all."""
        return "that is how it stayed"

    async def _told(self, name: str) -> str:
        service = await self.get(name)
        lines = [
            f"{c['type']}={c['status']} {c['reason']}: {c['message']}"
            for c in service.get("status", {}).get("conditions", [])
        ]
        containers = [
            f"{p['metadata']['name']} {c['name']}: {json.dumps(c['state'])}"
            for p in await self.pods()
            for of in ("initContainerStatuses", "containerStatuses")
            for c in p["status"].get(of, [])
        ]
        return "\n".join(["", *lines, *containers])

    async def _exists(self, kind: str) -> str:
        return ", ".join(o["metadata"]["name"] for o in await self.all(kind))
