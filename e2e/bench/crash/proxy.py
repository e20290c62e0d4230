"""A reverse proxy between an operator and the API server that cuts the operator off at a write.

It forwards everything unchanged, watches included, and counts writes about one object. At the
chosen one it says so, and from then on lets no write through until it is told that a new operator
has come. Writes of the Lease are not counted: they come by the clock, not by the work.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, NoReturn, Self

import aiohttp
from aiohttp import web
from yarl import URL

_WRITES: Final = frozenset({"POST", "PUT", "PATCH", "DELETE"})
# Of one connection, not of the message; both sides make their own.
_HOP: Final = frozenset({"host", "connection", "content-length", "transfer-encoding", "keep-alive"})


class CutProxy:
    """One operator's way to the API server, on the loopback of the namespace it is started in."""

    def __init__(
        self, upstream: str, context: ssl.SSLContext | None, port: int, on_cut: Callable[[], None]
    ) -> None:
        """`context` says who we are; `on_cut` kills the operator in the moment of the cut."""
        self.address = f"http://127.0.0.1:{port}"
        self.writes: list[str] = []
        """`METHOD path` of the counted writes, in the order of their answers."""
        self.cut = asyncio.Event()
        self.wrote_at_s = 0.0
        """When the last write went through, counted or not; time.monotonic()."""
        self._upstream = upstream
        self._context = context
        self._port = port
        self._on_cut = on_cut
        self._about = b""
        self._at = 0
        self._lose_answer = False

    def arm(self, about: str, at: int = 0, *, lose_answer: bool = False) -> None:
        """Count writes about the object named `about`; cut at number `at` (0: never).

        The write itself is done in either case: its answer reaches the operator, or is lost.
        """
        self.writes = []
        self.cut.clear()
        self._about, self._at, self._lose_answer = about.encode(), at, lose_answer

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._context or True, limit=0),
            timeout=aiohttp.ClientTimeout(total=None),
            auto_decompress=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            read_bufsize=2**20,
        )
        app = web.Application(client_max_size=2**24)
        app.router.add_route("*", "/{path:.*}", self._forward)
        # A killed operator's watches must end with it.
        self._runner = web.AppRunner(
            app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._session.close()
        await self._runner.cleanup()

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        if request.method not in _WRITES or "/leases" in request.path:
            return await self._stream(request, body)
        if self.cut.is_set():
            _hang_up(request)
        # Once it is sent, it is done: the API server does not hear of the operator's death.
        return await asyncio.shield(asyncio.create_task(self._write(request, body)))

    async def _write(self, request: web.Request, body: bytes) -> web.StreamResponse:
        async with self._ask(request, body) as answer:
            told = await answer.read()
        self.wrote_at_s = time.monotonic()
        if self._about and (self._about in request.raw_path.encode() or self._about in body):
            self.writes.append(f"{request.method} {request.path}")
            if len(self.writes) == self._at:
                self.cut.set()  # first: not one more write goes through
                if self._lose_answer:
                    self._on_cut()
                    _hang_up(request)
                whole = web.Response(status=answer.status, body=told, headers=_headers(answer))
                await whole.prepare(request)
                await whole.write_eof()
                self._on_cut()
                return whole
        return web.Response(status=answer.status, body=told, headers=_headers(answer))

    async def _stream(self, request: web.Request, body: bytes) -> web.StreamResponse:
        async with self._ask(request, body) as answer:
            response = web.StreamResponse(status=answer.status, headers=_headers(answer))
            with contextlib.suppress(ConnectionResetError):  # the operator was killed
                await response.prepare(request)
                async for chunk in answer.content.iter_any():
                    await response.write(chunk)
                await response.write_eof()
            return response

    def _ask(self, request: web.Request, body: bytes) -> aiohttp.client._RequestContextManager:
        headers = {k: v for k, v in request.headers.items() if k.lower() not in _HOP}
        url = URL(self._upstream + request.raw_path, encoded=True)
        return self._session.request(request.method, url, headers=headers, data=body or None)


def _hang_up(request: web.Request) -> NoReturn:
    """Close the connection without an answer."""
    if request.transport is not None:
        request.transport.abort()
    # As when the client has gone: aiohttp writes nothing more, and logs nothing.
    raise asyncio.CancelledError


def _headers(answer: aiohttp.ClientResponse) -> dict[str, str]:
    return {k: v for k, v in answer.headers.items() if k.lower() not in _HOP}
