"""A count of our own resources: whole before anything is decided, and again now and then.

kopf tells of objects one at a time. Judged on the first of them, a service's runtime or accelerator
class seems not to exist: at every start it would be told so, or be moved to another class. And kopf
never tells of an object that was deleted while its watch was broken. It writes nothing.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Sequence

from conch.api import names
from conch.errors import ApiError, ApiUnreachable
from conch.kube.transport import Api, path
from conch.kube.views import Object
from conch.observe.state import ClusterState
from conch.observe.types import Key
from conch.reconcile.queue import Priority, WorkQueue

logger = logging.getLogger(__name__)

_FIRST_RETRY_S = 0.5
_MAX_RETRY_S = 10.0


async def learn(api: Api, state: ClusterState, queue: WorkQueue, namespaces: Sequence[str]) -> None:
    """Take in all there is. Ends when that has succeeded, whatever the server says first."""
    delay_s = _FIRST_RETRY_S
    while True:
        try:
            classes = await _list(api, "acceleratorclasses")
            runtimes = await _list(api, "tritonruntimes")
            services = await _services(api, namespaces)
            break
        except (ApiError, ApiUnreachable) as error:
            logger.warning("Conch's resources cannot be listed (are its CRDs there?): %s", error)
        await asyncio.sleep(delay_s * random.uniform(0.5, 1.0))
        delay_s = min(_MAX_RETRY_S, delay_s * 2)
    for raw in classes:
        state.set_class(raw)
    for raw in runtimes:
        state.set_runtime(raw)
    for raw in services:
        queue.add(state.set_service(raw), Priority.CHILD)


async def keep(
    api: Api,
    state: ClusterState,
    queue: WorkQueue,
    replan: Callable[[], None],
    namespaces: Sequence[str],
    every_s: float,
) -> None:
    """Forget, every so often, what is gone without anybody having told. Runs until cancelled."""
    while True:
        await asyncio.sleep(every_s * random.uniform(0.8, 1.2))
        try:
            await forget_gone(api, state, queue, replan, namespaces)
        except (ApiError, ApiUnreachable) as error:
            logger.info("the census is put off: %s", error)


async def forget_gone(
    api: Api,
    state: ClusterState,
    queue: WorkQueue,
    replan: Callable[[], None],
    namespaces: Sequence[str],
) -> None:
    """One round of ``keep``. Raises ApiError, ApiUnreachable."""
    # Known before the list was asked for and not on it: gone. What changed meanwhile is told by
    # its watch and left alone.
    services = dict(state.services)
    runtimes = state.runtimes | state.broken_runtimes
    classes = dict(state.classes)
    living = {_key(raw): raw["metadata"]["uid"] for raw in await _services(api, namespaces)}
    named_runtimes = {raw["metadata"]["name"] for raw in await _list(api, "tritonruntimes")}
    named_classes = {raw["metadata"]["name"] for raw in await _list(api, "acceleratorclasses")}
    changed = False
    for key, record in services.items():
        uid = record.uid
        if living.get(key) != uid and state.remove_service(key, uid):
            logger.info("%s was deleted unnoticed", key)
            queue.add(key)
            changed = True
    for name in runtimes.keys() - named_runtimes:
        for known in (state.runtimes, state.broken_runtimes):
            if known.get(name) is runtimes[name]:
                del known[name]
                changed = True
    for name in classes.keys() - named_classes:
        if state.classes.get(name) is classes[name]:
            del state.classes[name]
            changed = True
    if changed:
        for key in state.services:
            queue.add(key, Priority.RESYNC)
        replan()


async def _services(api: Api, namespaces: Sequence[str]) -> list[Object]:
    if not namespaces:
        return await _list(api, "inferenceservices")
    return [raw for space in namespaces for raw in await _list(api, "inferenceservices", space)]


async def _list(api: Api, plural: str, namespace: str | None = None) -> list[Object]:
    return await api.list(path(names.API_VERSION, plural, namespace))


def _key(raw: Object) -> Key:
    return Key(raw["metadata"]["namespace"], raw["metadata"]["name"])
