"""kopf's part: it watches our three custom resources and tells the state.

Only ``on.event``: no finalizer is needed, since everything Conch makes has an owner reference and
goes by garbage collection, with or without an operator running.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from typing import Any

import aiohttp
import kopf

from conch.api import names
from conch.kube.credentials import Credentials
from conch.kube.views import Object
from conch.observe.state import ClusterState
from conch.observe.types import Key
from conch.reconcile.queue import Priority, WorkQueue
from conch.wiring.storage import NoDiffBase, NoProgress


class EndlessBackoff:
    """Delays without an end: kopf gives up, and exits, when its list of delays is used up."""

    def __iter__(self) -> Iterator[float]:
        delay_s = 0.5
        while True:
            yield delay_s * random.uniform(0.5, 1.0)
            delay_s = min(30.0, delay_s * 2)


def settings(target: kopf.OperatorSettings) -> None:
    """Make kopf quiet, patient and free of side effects."""
    target.posting.enabled = False
    target.persistence.finalizer = f"{names.GROUP}/kopf"
    target.persistence.diffbase_storage = NoDiffBase()
    target.persistence.progress_storage = NoProgress()
    target.networking.error_backoffs = EndlessBackoff()
    target.peering.standalone = True


def registry(feed: Feed, credentials: Credentials) -> kopf.OperatorRegistry:
    """The handlers, bound to what they feed."""
    handlers = kopf.OperatorRegistry()
    connections = Connections(credentials)

    @kopf.on.login(registry=handlers)
    async def login(**_: Any) -> Any:
        return await connections.open()

    @kopf.on.event(names.GROUP, names.VERSION, "inferenceservices", registry=handlers)
    async def service(event: kopf.RawEvent, **_: Any) -> None:
        feed.service(_plain(event), gone=event["type"] == "DELETED")

    @kopf.on.event(names.GROUP, names.VERSION, "tritonruntimes", registry=handlers)
    async def runtime(event: kopf.RawEvent, **_: Any) -> None:
        feed.runtime(_plain(event), gone=event["type"] == "DELETED")

    @kopf.on.event(names.GROUP, names.VERSION, "acceleratorclasses", registry=handlers)
    async def accelerator(event: kopf.RawEvent, **_: Any) -> None:
        feed.accelerator(_plain(event), gone=event["type"] == "DELETED")

    return handlers


class Feed:
    """Tells the state what happened to our own resources, and wakes whom it concerns."""

    def __init__(self, state: ClusterState, queue: WorkQueue, replan: Callable[[], None]) -> None:
        self._state = state
        self._queue = queue
        self._replan = replan

    def service(self, raw: Object, *, gone: bool) -> None:
        """An InferenceService is there, has changed, or is gone."""
        key = Key(raw["metadata"].get("namespace", ""), raw["metadata"]["name"])
        before = self._state.services.get(key)
        if gone:
            self._state.remove_service(key, raw["metadata"]["uid"])
        else:
            self._state.set_service(raw)
            if before is not None and not _news(before.raw, raw):
                return  # our own status write coming back
        self._replan()
        self._queue.add(key, Priority.USER)

    def runtime(self, raw: Object, *, gone: bool) -> None:
        """A TritonRuntime is there, has changed, or is gone: any service may use it."""
        if (self._state.remove_runtime if gone else self._state.set_runtime)(raw):
            for key in self._state.services:
                self._queue.add(key, Priority.CHILD)
            self._replan()

    def accelerator(self, raw: Object, *, gone: bool) -> None:
        """An AcceleratorClass is there, has changed, or is gone: placement's matter."""
        if (self._state.remove_class if gone else self._state.set_class)(raw):
            self._replan()


def _news(before: Object, after: Object) -> bool:
    """Whether anything but what we wrote ourselves changed: generation counts spec changes."""
    one, other = before["metadata"], after["metadata"]
    if one.get("resourceVersion") == other.get("resourceVersion"):
        return False
    known = all(one.get(k) == other.get(k) for k in ("uid", "generation", "deletionTimestamp"))
    return not (known and before.get("status") == after.get("status"))


def _plain(event: kopf.RawEvent) -> Object:
    return dict(event["object"])


class Connections:
    """Our own credentials in kopf's terms, so that both always use the same ones."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials
        self._asked = False

    async def open(self) -> kopf.AiohttpSession:
        """A session for kopf; it asks for a new one when the server refuses the last (401)."""
        credentials = self._credentials
        if self._asked:
            await credentials.renew(credentials.generation)
        self._asked = True
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, ssl=credentials.ssl),
            headers=await credentials.headers(),
            proxy=credentials.proxy,
        )
        return kopf.AiohttpSession(server=credentials.host, aiohttp_session=session)
