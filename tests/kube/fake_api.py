"""A small API server in memory, with faults on request.

It keeps collections of objects, speaks list (chunked), watch (bookmarks, history, compaction), get,
create, put and delete with resource versions, and echoes patches. What it does wrong is scripted by
the test. Behaviour that matters is checked against a real API server, too (test_cluster.py).
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

from aiohttp import web
from aiohttp.test_utils import TestServer

Object = dict[str, Any]
Answer = Callable[[web.Request], web.StreamResponse]


@dataclass
class Seen:
    """One request that arrived."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def verb(self) -> str:
        if self.method != "GET":
            return self.method
        return "WATCH" if self.query.get("watch") == "true" else "GET"


@dataclass(eq=False)
class _Stream:
    collection: str
    lines: asyncio.Queue[bytes | None] = field(default_factory=asyncio.Queue)


def status(code: int, reason: str = "", message: str = "", **headers: str) -> Answer:
    """An answer with a Status object; keyword `retry_after="1"` becomes the header Retry-After."""
    body = {"kind": "Status", "code": code, "reason": reason, "message": message, "metadata": {}}
    names = {name.replace("_", "-"): text for name, text in headers.items()}
    return lambda _: web.json_response(body, status=code, headers=names)


class FakeApi:
    """Use as an async context manager; `url` is where it listens."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.mute = False
        """While set, streams carry nothing, not even bookmarks, and stay open."""
        self._answers: dict[str, deque[Answer]] = {}
        self._objects: dict[str, dict[tuple[str, str], Object]] = {}
        self._history: list[tuple[int, str, bytes]] = []
        self._streams: list[_Stream] = []
        self._version = 100
        self._oldest = 0
        self._gates: dict[str, asyncio.Event] = {}
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._serve)
        self._server = TestServer(app, host="127.0.0.1")

    async def __aenter__(self) -> Self:
        await self._server.start_server()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.cut()
        for gate in self._gates.values():
            gate.set()
        await self._server.close()

    @property
    def url(self) -> str:
        return str(self._server.make_url("")).rstrip("/")

    # --- the world --------------------------------------------------------------------------------

    def put(self, collection: str, name: str, namespace: str = "ns", **fields: Any) -> Object:
        """Create or replace; a new one gets a new uid."""
        known = self._objects.setdefault(collection, {}).get((namespace, name))
        version = self._next_version()
        metadata = {
            "namespace": namespace,
            "name": name,
            "uid": known["metadata"]["uid"] if known else f"uid-{version}",
            "resourceVersion": str(version),
        }
        obj = {**fields, "metadata": metadata}
        self._objects[collection][namespace, name] = obj
        self._tell(collection, "MODIFIED" if known else "ADDED", obj)
        return obj

    def remove(self, collection: str, name: str, namespace: str = "ns") -> None:
        obj = self._objects[collection].pop((namespace, name))
        version = self._next_version()
        metadata = {**obj["metadata"], "resourceVersion": str(version)}
        self._tell(collection, "DELETED", {**obj, "metadata": metadata})

    def bookmark(self, collection: str) -> None:
        version = {"metadata": {"resourceVersion": str(self._next_version())}}
        self._tell(collection, "BOOKMARK", version)

    def compact(self) -> None:
        """Forget history: watches from older versions are Gone."""
        self._oldest = self._version
        self._history.clear()

    # --- what goes wrong --------------------------------------------------------------------------

    def answer(self, verb: str, *answers: Answer) -> None:
        """The next requests of that verb (GET, WATCH, PUT …) get these answers."""
        self._answers.setdefault(verb, deque()).extend(answers)

    def put_then(self, answer: Answer) -> Answer:
        """Do what a PUT asks for, and answer something else."""

        def serve(request: web.Request) -> web.StreamResponse:
            self._put(request, self.seen[-1])
            return answer(request)

        return serve

    def hold(self, verb: str) -> asyncio.Event:
        """Requests of that verb wait until the returned event is set."""
        self._gates[verb] = asyncio.Event()
        return self._gates[verb]

    def cut(self) -> None:
        """End every stream, as the server's time-out does."""
        for stream in self._streams:
            stream.lines.put_nowait(None)

    def send(self, data: bytes) -> None:
        """Raw bytes into every stream."""
        for stream in self._streams:
            stream.lines.put_nowait(data)

    def error(self, code: int, reason: str) -> None:
        """An ERROR event into every stream, which then ends."""
        body = {"kind": "Status", "metadata": {}, "code": code, "reason": reason}
        self.send(json.dumps({"type": "ERROR", "object": body}).encode() + b"\n")
        self.cut()

    # --- looking ----------------------------------------------------------------------------------

    def count(self, verb: str) -> int:
        return sum(1 for request in self.seen if request.verb == verb)

    @property
    def streams(self) -> int:
        return len(self._streams)

    # --- serving ----------------------------------------------------------------------------------

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        seen = Seen(
            request.method,
            request.raw_path.partition("?")[0],
            dict(request.query),
            dict(request.headers),
            await request.read(),
        )
        self.seen.append(seen)
        if gate := self._gates.get(seen.verb):
            await gate.wait()
        if scripted := self._answers.get(seen.verb):
            return scripted.popleft()(request)
        if seen.verb == "WATCH":
            return await self._watch(request, seen)
        serve = {"GET": self._get, "POST": self._post, "PUT": self._put, "PATCH": self._patch}
        return serve.get(seen.method, self._delete)(request, seen)

    async def _watch(self, request: web.Request, seen: Seen) -> web.StreamResponse:
        since = int(seen.query["resourceVersion"])
        if since < self._oldest:
            return status(410, "Expired", "too old resource version")(request)
        stream = _Stream(seen.path)
        for version, collection, line in self._history:
            if version > since and collection == seen.path:
                stream.lines.put_nowait(line)
        self._streams.append(stream)
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        try:
            await response.prepare(request)
            while (data := await stream.lines.get()) is not None:
                await response.write(data)
        finally:
            self._streams.remove(stream)
        return response

    def _get(self, request: web.Request, seen: Seen) -> web.StreamResponse:
        obj = self.find(seen.path)
        if obj is not None:
            return web.json_response(obj)
        if seen.path not in self._objects:
            return status(404, "NotFound", f"{seen.path} not found")(request)
        items = list(self._objects[seen.path].values())
        start, version = map(int, seen.query.get("continue", f"0:{self._version}").split(":"))
        if version < self._oldest:
            return status(410, "Expired", "the provided continue parameter is too old")(request)
        end = start + int(seen.query.get("limit", len(items) or 1))
        metadata = {"resourceVersion": str(version)}
        if end < len(items):
            metadata["continue"] = f"{end}:{version}"
        return web.json_response({"metadata": metadata, "items": items[start:end]})

    def _post(self, request: web.Request, seen: Seen) -> web.StreamResponse:
        obj = seen.json
        name, namespace = obj["metadata"]["name"], obj["metadata"].get("namespace", "")
        if (namespace, name) in self._objects.setdefault(seen.path, {}):
            return status(409, "AlreadyExists", f"{name} already exists")(request)
        fields = {key: part for key, part in obj.items() if key != "metadata"}
        return web.json_response(self.put(seen.path, name, namespace, **fields), status=201)

    def _put(self, request: web.Request, seen: Seen) -> web.StreamResponse:
        known, obj = self.find(seen.path), seen.json
        if known is None:
            return status(404, "NotFound", f"{seen.path} not found")(request)
        wanted = obj["metadata"].get("resourceVersion")
        if wanted and wanted != known["metadata"]["resourceVersion"]:
            return status(409, "Conflict", "the object has been modified")(request)
        collection, _, name = seen.path.rpartition("/")
        fields = {key: part for key, part in obj.items() if key != "metadata"}
        namespace = known["metadata"]["namespace"]
        return web.json_response(self.put(collection, name, namespace, **fields))

    def _patch(self, request: web.Request, seen: Seen) -> web.StreamResponse:
        return web.json_response({"patched": seen.json})

    def _delete(self, request: web.Request, seen: Seen) -> web.StreamResponse:
        known = self.find(seen.path)
        if known is None:
            return status(404, "NotFound", f"{seen.path} not found")(request)
        collection, _, name = seen.path.rpartition("/")
        self.remove(collection, name, known["metadata"]["namespace"])
        return web.json_response({"kind": "Status", "status": "Success"})

    def find(self, path: str) -> Object | None:
        collection, _, name = path.rpartition("/")
        for (_, candidate), obj in self._objects.get(collection, {}).items():
            if candidate == name:
                return obj
        return None

    def _next_version(self) -> int:
        self._version += 1
        return self._version

    def _tell(self, collection: str, kind: str, obj: Object) -> None:
        line = json.dumps({"type": kind, "object": obj}).encode() + b"\n"
        if kind != "BOOKMARK":
            self._history.append((self._version, collection, line))
        if self.mute:
            return
        for stream in self._streams:
            if stream.collection == collection:
                stream.lines.put_nowait(line)


async def until(condition: Callable[[], object], within_s: float = 5.0) -> None:
    """Return as soon as the condition holds; fail after `within_s`."""
    async with asyncio.timeout(within_s):
        while True:
            if condition():
                return
            await asyncio.sleep(0.002)
