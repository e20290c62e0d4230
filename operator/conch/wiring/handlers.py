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


def registry(
    state: ClusterState,
    queue: WorkQueue,
    replan: Callable[[], None],
    credentials: Credentials,
) -> kopf.OperatorRegistry:
    """The handlers, bound to the state they feed."""
    handlers = kopf.OperatorRegistry()

    connections = Connections(credentials)

    @kopf.on.login(registry=handlers)
    async def login(**_: Any) -> Any:
        return await connections.open()

    @kopf.on.event(names.GROUP, names.VERSION, "inferenceservices", registry=handlers)
    async def service(event: kopf.RawEvent, **_: Any) -> None:
        raw = _plain(event)
        key = Key(raw["metadata"].get("namespace", ""), raw["metadata"]["name"])
        if event["type"] == "DELETED":
            state.remove_service(key, raw["metadata"]["uid"])
            replan()
            queue.add(key, Priority.USER)
            return
        before = state.services.get(key)
        state.set_service(raw)
        if before is not None and not _news(before.raw, raw):
            return  # our own status write coming back
        replan()
        queue.add(key, Priority.USER)

    @kopf.on.event(names.GROUP, names.VERSION, "tritonruntimes", registry=handlers)
    async def runtime(event: kopf.RawEvent, name: str, **_: Any) -> None:
        gone = event["type"] == "DELETED"
        for key in state.set_runtime(name, None if gone else _plain(event)):
            queue.add(key, Priority.CHILD)
        replan()

    @kopf.on.event(names.GROUP, names.VERSION, "acceleratorclasses", registry=handlers)
    async def accelerator(event: kopf.RawEvent, name: str, **_: Any) -> None:
        gone = event["type"] == "DELETED"
        state.set_class(name, None if gone else _plain(event))
        replan()

    return handlers


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
