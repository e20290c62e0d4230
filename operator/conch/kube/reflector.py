"""A local copy of one kind, kept true by list + watch, with every difference told.

Decides when to list, when to resume and when to wait. It must not interpret objects (`decode` and
the caller do) and must never end or stall because of a server, a stream or one bad object: after
any outage the copy converges, and objects deleted meanwhile are told as deleted. kopf's index and
the `kubernetes` package lack exactly that (docs/design/001-control-loop.md).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Generic, Literal, TypeVar

import msgspec

from conch.errors import ApiError, ApiUnreachable, Forbidden, Gone, NotFound, api_error
from conch.kube.transport import Api

T = TypeVar("T")
ObjectKey = tuple[str, str]
"""Namespace ("" for cluster-scoped kinds) and name."""

_log = logging.getLogger(__name__)

# The server sends a bookmark after 60 s at the earliest, and none when nothing newer has happened
# anywhere; a stalled stream must not look the same as a quiet one.
INACTIVITY_S: Final = 130.0
WATCH_S: Final = 300.0
_FRESH_START_AFTER: Final = 5  # failures in a row after which the version itself is suspect


@dataclass(frozen=True, slots=True)
class Change(Generic[T]):
    """One difference. `old` is None for added, `new` is None for deleted."""

    kind: Literal["added", "modified", "deleted"]
    namespace: str
    name: str
    old: T | None
    new: T | None


class Reflector(Generic[T]):
    """Mirrors one collection. Create it, run `run()` as a task, wait for `synced`."""

    def __init__(
        self,
        api: Api,
        path: str,
        decode: Callable[[bytes], T],
        on_change: Callable[[Change[T]], None],
        label_selector: str = "",
        field_selector: str = "",
        chunk: int = 500,
        name: str = "",
        *,
        inactivity_s: float = INACTIVITY_S,
        watch_s: float = WATCH_S,
        backoff_first_s: float = 0.2,
        backoff_max_s: float = 10.0,
        optional: bool = False,
        absent_s: float = 60.0,
    ) -> None:
        """``optional``: a server that lacks the kind, or does not show it, has none of it; asked
        again after a while.
        """
        self.name = name or path.rsplit("/", 1)[-1]
        self.synced = asyncio.Event()
        self.last_contact_s = float("-inf")
        """`time.monotonic()` of the server's last good answer; `inactivity_s` old at most."""
        self.restarts = 0
        """How often the stream ended and was opened again, for whatever reason."""
        self._api = api
        self._path = path
        self._decode = decode
        self._on_change = on_change
        self._selectors: dict[str, str | int | bool] = {
            key: selector
            for key, selector in (
                ("labelSelector", label_selector),
                ("fieldSelector", field_selector),
            )
            if selector
        }
        self._chunk = chunk
        self._inactivity_s = inactivity_s
        self._watch_s = watch_s
        self._backoff_first_s = backoff_first_s
        self._backoff_max_s = backoff_max_s
        self._optional = optional
        self._absent_s = absent_s
        self._failures = 0
        self._complaint = ""
        self._version = ""  # where the watch goes on; "" = list first
        self._store: dict[ObjectKey, T] = {}
        self._heads: dict[ObjectKey, _Head] = {}
        self._unreadable: set[ObjectKey] = set()

    @property
    def store(self) -> Mapping[ObjectKey, T]:
        """What exists, by (namespace, name); a live read-only view."""
        return MappingProxyType(self._store)

    async def run(self) -> None:
        """Mirror until cancelled."""
        while True:
            retry_after_s: float | None = None
            try:
                if not self._version:
                    await self._list()
                if self._version:
                    await self._watch()
                else:
                    await asyncio.sleep(self._absent_s)
            except Gone as error:
                self._version = ""
                self._failed(error)
            except ApiError as error:
                retry_after_s = error.retry_after_s
                self._failed(error)
            except ApiUnreachable as error:
                self._failed(error)
            self.restarts += 1
            await asyncio.sleep(self._pause_s(retry_after_s))

    # --- list -------------------------------------------------------------------------------------

    async def _list(self) -> None:
        try:
            found, version = await self._all()
        except NotFound:
            if not self._optional:
                raise
            found, version = {}, ""
        except Forbidden as error:
            # A role older than this operator: what most clusters lack must not keep it waiting.
            if not self._optional or self._heads:
                raise
            if not self.synced.is_set():
                _log.warning("%s: taken for none: %s", self.name, error)
            found, version = {}, ""
        for key in [key for key in self._heads if key not in found]:
            self._remove(key)
        for key, (head, new) in found.items():
            if self._heads.get(key) != head:
                self._take(key, head, new)
        self._version = version
        self._progress()
        self.synced.set()

    async def _all(self) -> tuple[dict[ObjectKey, tuple[_Head, T | None]], str]:
        """Every object's head, and what is new of it; None: unchanged, or unreadable.

        Each page is read as it comes: all of them as text would be the most memory ever needed.
        """
        query = {**self._selectors, "limit": self._chunk}
        found: dict[ObjectKey, tuple[_Head, T | None]] = {}
        while True:
            try:
                page = _decode_page(await self._api.get_raw(self._path, **query))
            except Gone:
                if "continue" not in query:
                    raise
                # The token outlived its snapshot: the whole list in one answer is always possible.
                query, found = dict(self._selectors), {}
                continue
            except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                raise ApiUnreachable(f"list {self._path}: not a list: {error}") from error
            self.last_contact_s = time.monotonic()
            for raw in page.items or ():
                try:
                    head = _decode_object(raw).metadata
                except (msgspec.MsgspecError, UnicodeDecodeError) as error:
                    self._complain(f"an item of the list has no readable metadata: {error}")
                    continue
                key = (head.namespace, head.name)
                known = self._heads.get(key) == head
                found[key] = (head, None if known else self._read(key, raw))
            if not page.metadata.token:
                return found, page.metadata.resource_version
            query["continue"] = page.metadata.token

    # --- watch ------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Follow the stream until the server ends it. Raises Gone when a new list is needed."""
        query = {
            **self._selectors,
            "allowWatchBookmarks": True,
            # Spread, or all watches of all replicas would end together.
            "timeoutSeconds": max(1, round(self._watch_s * random.uniform(0.8, 1.2))),
        }
        began = time.monotonic()
        stream = self._api.watch(self._path, self._version, query, self._inactivity_s)
        async with contextlib.aclosing(stream):
            async for line in stream:
                self._event(line)
                self._progress()
        if time.monotonic() - began < 1.0:
            # Not worth a warning, but a server that ends every stream at once must not be hammered.
            self._failures += 1
        else:
            self._progress()

    def _event(self, line: bytes) -> None:
        try:
            event = _decode_event(line)
            head = _decode_object(event.object)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise ApiUnreachable(f"watch {self._path}: unreadable event: {error}") from error
        if event.type == "ERROR":
            raise api_error(head.code, head.reason, head.message)
        if event.type == "DELETED":
            self._remove((head.metadata.namespace, head.metadata.name))
        elif event.type in ("ADDED", "MODIFIED"):
            self._upsert(head.metadata, event.object)
        self._version = head.metadata.resource_version or self._version

    # --- the copy ---------------------------------------------------------------------------------

    def _upsert(self, head: _Head, body: msgspec.Raw) -> None:
        key = (head.namespace, head.name)
        if self._heads.get(key) != head:
            self._take(key, head, self._read(key, body))

    def _read(self, key: ObjectKey, body: msgspec.Raw) -> T | None:
        try:
            new = self._decode(bytes(body))
        except (msgspec.MsgspecError, ValueError, TypeError, LookupError) as error:
            if key not in self._unreadable:
                self._unreadable.add(key)
                _log.error("%s %s/%s is skipped, it cannot be read: %s", self.name, *key, error)
            return None
        self._unreadable.discard(key)
        return new

    def _take(self, key: ObjectKey, head: _Head, new: T | None) -> None:
        known = self._heads.get(key)
        if known is not None and known.uid != head.uid:
            self._remove(key)  # deleted and made again while we did not look
        self._heads[key] = head
        if new is None:
            return
        old = self._store.get(key)
        self._store[key] = new
        self._tell(Change("added" if old is None else "modified", *key, old, new))

    def _remove(self, key: ObjectKey) -> None:
        self._heads.pop(key, None)
        self._unreadable.discard(key)
        old = self._store.pop(key, None)
        if old is not None:
            self._tell(Change("deleted", *key, old, None))

    def _tell(self, change: Change[T]) -> None:
        try:
            self._on_change(change)
        except Exception:  # a listener's defect over one object must not blind us to all others
            _log.exception(
                "%s %s/%s: the listener failed", self.name, change.namespace, change.name
            )

    # --- failure and recovery ---------------------------------------------------------------------

    def _progress(self) -> None:
        self.last_contact_s = time.monotonic()
        self._failures = 0
        if self._complaint:
            _log.info("%s: the API server answers again", self.name)
            self._complaint = ""

    def _failed(self, error: Exception) -> None:
        self._failures += 1
        if self._failures >= _FRESH_START_AFTER:
            self._version = ""
        if not isinstance(error, Gone):
            self._complain(str(error))

    def _complain(self, text: str) -> None:
        level = logging.DEBUG if text == self._complaint else logging.WARNING
        self._complaint = text
        _log.log(level, "%s: %s (attempt %d)", self.name, text, self._failures)

    def _pause_s(self, retry_after_s: float | None) -> float:
        """Doubling, jittered, bounded; never shorter than the server asked for."""
        if self._failures == 0:
            return 0.0
        doubled = self._backoff_first_s * 2.0 ** min(self._failures - 1, 20)
        return max(
            min(doubled, self._backoff_max_s) * random.uniform(0.5, 1.0),
            min(retry_after_s or 0.0, 60.0),
        )


class _Head(msgspec.Struct, frozen=True, gc=False):
    namespace: str = ""
    name: str = ""
    uid: str = ""
    resource_version: str = msgspec.field(default="", name="resourceVersion")


class _Object(msgspec.Struct):
    metadata: _Head
    code: int = 0  # the rest is of a Status
    reason: str = ""
    message: str = ""


class _Event(msgspec.Struct):
    type: str
    object: msgspec.Raw


class _PageHead(msgspec.Struct):
    resource_version: str = msgspec.field(default="", name="resourceVersion")
    token: str = msgspec.field(default="", name="continue")


class _Page(msgspec.Struct):
    metadata: _PageHead
    items: list[msgspec.Raw] | None = None


_decode_object: Final = msgspec.json.Decoder(_Object).decode
_decode_event: Final = msgspec.json.Decoder(_Event).decode
_decode_page: Final = msgspec.json.Decoder(_Page).decode
