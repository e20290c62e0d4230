"""The only writer: every change Conch makes to the cluster goes through here.

It keeps the rate, refuses to write without the Lease, and never takes an object that is not ours.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable
from typing import Any

from conch.api import names
from conch.api.conditions import Condition
from conch.errors import Conflict, LeaseLost, NotFound, NotOurs
from conch.kube.transport import Api, path
from conch.kube.views import Object
from conch.observe.types import Key

logger = logging.getLogger(__name__)

_PLURALS = {
    "Deployment": "deployments",
    "Service": "services",
    "EndpointSlice": "endpointslices",
    "ResourceClaimTemplate": "resourceclaimtemplates",
    "NetworkPolicy": "networkpolicies",
    "PodDisruptionBudget": "poddisruptionbudgets",
}

_OWN_LABELS = {
    names.LABEL_PART_OF: names.MANAGED_BY,
    names.LABEL_MANAGED_BY: names.MANAGED_BY,
}


class RateLimit:
    """A token bucket: ``per_s`` on average, ``burst`` at once."""

    def __init__(self, per_s: float, burst: int) -> None:
        self._per_s = per_s
        self._burst = burst
        self._tokens = float(burst)
        self._at: float | None = None

    async def take(self) -> None:
        """Wait for a token."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        if self._at is not None:
            self._tokens = min(self._burst, self._tokens + (now - self._at) * self._per_s)
        self._at = now
        self._tokens -= 1
        if self._tokens < 0:
            await asyncio.sleep(-self._tokens / self._per_s)


class Writer:
    """Writes children, replicas, status and events."""

    def __init__(self, api: Api, limit: RateLimit, may_write: Callable[[], bool]) -> None:
        self._api = api
        self._limit = limit
        self._may_write = may_write

    async def _turn(self) -> None:
        await self._limit.take()
        # Asked last, after every wait: a process that was frozen must notice before it writes.
        if not self._may_write():
            raise LeaseLost("the Lease is lost")

    async def service_exists(self, key: Key, uid: str) -> bool:
        """Whether that very InferenceService is still there and is not being deleted."""
        try:
            live = await self._api.get(_service_path(key))
        except NotFound:
            return False
        meta = live["metadata"]
        return bool(meta["uid"] == uid and "deletionTimestamp" not in meta)

    async def read_child(self, child: Object) -> Object | None:
        """A child as it is on the server, None when there is none."""
        try:
            live = await self._api.get(_child_path(child))
        except NotFound:
            return None
        return {"apiVersion": child["apiVersion"], "kind": child["kind"], **live}

    async def apply(self, child: Object, why: str, *, create: bool) -> Object:
        """Apply a child; returns it as the server has it now.

        Raises NotOurs when something that is not ours already has fields we want: only what is
        known to be ours is forced.
        """
        await self._turn()
        logger.debug("apply %s %s: %s", child["kind"], child["metadata"]["name"], why)
        try:
            return await self._api.apply(
                _child_path(child), child, names.MANAGER_WORKLOAD, force=not create
            )
        except Conflict as error:
            if create:
                raise NotOurs(f"{child['kind']} {child['metadata']['name']}") from error
            raise

    async def scale(self, key: Key, replicas: int) -> Object:
        """Write a Deployment's replicas, as the one owner of that field."""
        await self._turn()
        deployment: Object = {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": key.name, "namespace": key.namespace},
            "spec": {"replicas": replicas},
        }
        return await self._api.apply(_child_path(deployment), deployment, names.MANAGER_SCALER)

    async def remember(self, namespace: str, name: str, data: dict[str, str]) -> None:
        """Write a ConfigMap of our own, in our own namespace."""
        await self._turn()
        meta = {"name": name, "namespace": namespace, "labels": _OWN_LABELS}
        obj: Object = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": data}
        await self._api.apply(path("v1", "configmaps", namespace, name), obj, names.MANAGER_MEMORY)

    async def delete(self, live: Object) -> None:
        """Delete that very child; that it is gone already is fine."""
        await self._turn()
        try:
            await self._api.delete(_child_path(live), uid=live["metadata"]["uid"])
        except (NotFound, Conflict):
            logger.debug("%s %s is gone already", live["kind"], live["metadata"]["name"])

    async def status(self, key: Key, uid: str, body: Any) -> Object:
        """Write the status of that very InferenceService. Raises NotFound, Conflict."""
        await self._turn()
        obj = {
            "apiVersion": names.API_VERSION,
            "kind": names.INFERENCE_SERVICE,
            "metadata": {"name": key.name, "namespace": key.namespace, "uid": uid},
            "status": body,
        }
        return await self._api.apply_status(_service_path(key), obj, names.MANAGER_STATUS)

    async def event(
        self, service: Object, condition: Condition, *, warning: bool, since: str, now: str
    ) -> None:
        """Tell about a transition, once.

        The name is made from what the event is about, so that telling it again after a crash is a
        conflict and not a second event.
        """
        await self._turn()
        meta = service["metadata"]
        told = f"{meta['uid']}/{condition.type}/{condition.status}/{condition.reason}/{since}"
        name = f"{meta['name']}.{hashlib.sha256(told.encode()).hexdigest()[:16]}"
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": meta["namespace"]},
            "involvedObject": {
                "apiVersion": names.API_VERSION,
                "kind": names.INFERENCE_SERVICE,
                "name": meta["name"],
                "namespace": meta["namespace"],
                "uid": meta["uid"],
                "resourceVersion": meta.get("resourceVersion", ""),
            },
            "reason": condition.reason.value,
            "message": condition.message[:1000],
            "type": "Warning" if warning else "Normal",
            "source": {"component": "conch"},
            "reportingComponent": names.GROUP,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
        }
        try:
            await self._api.create(path("v1", "events", meta["namespace"]), event)
        except Conflict:
            logger.debug("event %s was told already", name)


def _service_path(key: Key) -> str:
    return path(names.API_VERSION, "inferenceservices", key.namespace, key.name)


def _child_path(child: Object) -> str:
    meta = child["metadata"]
    return path(child["apiVersion"], _PLURALS[child["kind"]], meta["namespace"], meta["name"])
