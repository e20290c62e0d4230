"""The operator's ear at the activators: who listens for what, and where requests wait.

One long question per activator, asked again and again: an answer comes as soon as something has
changed there, and a connection that breaks tells of an activator that has died. It keeps nothing
that a restart could lose, and writes nothing: what it hears goes into the state, and wakes those
whom it concerns.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

import aiohttp
import msgspec

from conch.api import names
from conch.kube.views import Pod
from conch.observe.activation import ActivationBook, Listening
from conch.observe.types import Key

logger = logging.getLogger(__name__)

_ANSWER_S: Final = 12.0  # an activator answers after 5 s at the latest
_AGAIN_S: Final = 0.5
_MOST_BYTES: Final = 4 * 1024 * 1024
# After a start, activators that start as well get this long to be found.
_SETTLE_S: Final = 30.0


_NO_ANSWER = (aiohttp.ClientError, TimeoutError, OSError, ValueError, msgspec.MsgspecError)


class _Told(msgspec.Struct):
    ports: list[int]
    held: int


class _Report(msgspec.Struct):
    version: str
    services: dict[str, _Told]


_decode: Final = msgspec.json.Decoder(_Report).decode


class ActivatorLoop:
    """Follows every activator's report."""

    def __init__(
        self,
        book: ActivationBook,
        wake: Callable[[Key], None],
        *,
        port: int = names.PORT_ACTIVATOR,
    ) -> None:
        self._book = book
        self._wake = wake
        self._port = port
        self._pods: dict[str, str] = {}  # uid → address
        self._told: dict[str, Mapping[str, Listening]] = {}
        self._changed = asyncio.Event()

    def set_pod(self, pod: Pod) -> None:
        """An activator's pod is there, or has changed."""
        uid, address = pod.metadata.uid, pod.status.pod_ip
        leaving = pod.metadata.deletion_timestamp is not None
        if pod.status.phase in ("Failed", "Succeeded"):
            self.remove_pod(uid)
            return
        self._book.seen(uid, address, leaving=leaving)
        self._pods[uid] = address
        self._news(uid)

    def remove_pod(self, uid: str) -> None:
        """An activator's pod is gone."""
        self._book.gone(uid)
        self._pods.pop(uid, None)
        self._news(uid)

    def _news(self, uid: str) -> None:
        self._changed.set()
        for name in self._told.get(uid, ()):
            self._wake(_key(name))

    async def run(self) -> None:
        """Follow until cancelled."""
        asking: dict[str, tuple[str, asyncio.Task[None]]] = {}
        settled = asyncio.get_running_loop().call_later(_SETTLE_S, self._settle)
        # Not kept: an idle connection would look like an activator that is still there.
        connector = aiohttp.TCPConnector(limit=0, force_close=True)
        jar = aiohttp.DummyCookieJar()
        async with aiohttp.ClientSession(connector=connector, cookie_jar=jar) as session:
            try:
                while True:
                    self._changed.clear()
                    for uid in [u for u, (at, _) in asking.items() if self._pods.get(u) != at]:
                        asking.pop(uid)[1].cancel()
                        self._told.pop(uid, None)
                    for uid, address in self._pods.items():
                        if address and uid not in asking:
                            task = asyncio.create_task(self._follow(session, uid, address))
                            asking[uid] = (address, task)
                    await self._changed.wait()
            finally:
                settled.cancel()
                for _, task in asking.values():
                    task.cancel()
                await asyncio.gather(*(task for _, task in asking.values()), return_exceptions=True)

    def _settle(self) -> None:
        self._book.looked = True

    async def _follow(self, session: aiohttp.ClientSession, uid: str, address: str) -> None:
        host = f"[{address}]" if ":" in address else address
        url = f"http://{host}:{self._port}/held"
        seen = ""
        while True:
            try:
                report = await self._ask(session, url, seen)
            except _NO_ANSWER as error:
                if seen:
                    logger.warning("the activator at %s does not answer: %s", address, error)
                seen = ""
                self._hear(uid, {})
                await asyncio.sleep(_AGAIN_S)
                continue
            seen = report.version
            self._hear(
                uid,
                {
                    name: Listening(tuple(told.ports), max(0, told.held))
                    for name, told in report.services.items()
                },
            )

    async def _ask(self, session: aiohttp.ClientSession, url: str, seen: str) -> _Report:
        """Raises ValueError for an answer that makes no sense."""
        params: dict[str, Any] = {"seen": seen}
        limit = aiohttp.ClientTimeout(total=_ANSWER_S, sock_connect=2.0)
        async with session.get(url, params=params, timeout=limit, allow_redirects=False) as answer:
            if answer.status != 200:
                raise ValueError(f"HTTP {answer.status}")
            body = bytearray()
            async for chunk in answer.content.iter_chunked(65536):
                body += chunk
                if len(body) > _MOST_BYTES:
                    raise ValueError("an answer without end")
            return _decode(bytes(body))

    def _hear(self, uid: str, services: Mapping[str, Listening]) -> None:
        before = self._told.get(uid)
        self._told[uid] = services
        self._book.told(uid, services)
        old: Mapping[str, Listening] = before or {}
        for name in old.keys() | services.keys():
            if old.get(name) != services.get(name):
                self._wake(_key(name))


def _key(name: str) -> Key:
    namespace, _, service = name.partition("/")
    return Key(namespace, service)
