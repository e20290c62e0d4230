"""Just enough HTTP/1.1 to play thousands of servers on one address each.

Decides how requests are told apart and answers framed, as Triton does it; not what they say. Each
connection is served in order. A web framework takes five times the CPU, which the operator that is
measured beside it needs.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import cast

MAX_HEAD_BYTES = 16 * 1024
MAX_BODY_BYTES = 1024 * 1024

_REQUEST = re.compile(rb"([A-Z]+) ([^ \r\n]+) HTTP/1\.([01])\r\n")
_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d+)", re.IGNORECASE)
_CLOSE = re.compile(rb"\r\nconnection:[ \t]*close", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Request:
    """``address``: the one that the client dialled."""

    address: str
    method: str
    path: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Reply:
    """What is sent, `after_s` later."""

    status: int
    body: bytes
    kind: str = "application/json"
    after_s: float = 0.0


HANG = Reply(0, b"")
"""No answer, ever; the connection stays."""
RESET = Reply(0, b"")
"""No answer: the connection is reset."""

Serve = Callable[[Request], Reply]


class Connection(asyncio.Protocol):
    """One client's connection."""

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self._transport: asyncio.Transport | None = None
        self._address = ""
        self._bytes = bytearray()
        self._busy = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._address = str(transport.get_extra_info("sockname")[0])

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None

    def data_received(self, data: bytes) -> None:
        self._bytes += data
        if len(self._bytes) > MAX_HEAD_BYTES + MAX_BODY_BYTES:
            self._reset()
        self._next()

    def _next(self) -> None:
        """Serve the first request that is all there, unless one is being served."""
        end = -1 if self._busy or self._transport is None else self._bytes.find(b"\r\n\r\n")
        if end < 0:
            return
        head = bytes(self._bytes[: end + 2])
        line, length = _REQUEST.match(head), _LENGTH.search(head)
        size = int(length[1]) if length else 0
        if line is None or end > MAX_HEAD_BYTES or size > MAX_BODY_BYTES:
            self._reset()
            return
        if len(self._bytes) < end + 4 + size:
            return
        body = bytes(self._bytes[end + 4 : end + 4 + size])
        del self._bytes[: end + 4 + size]
        method, path = line[1].decode(), line[2].decode("latin-1")
        reply = self._serve(Request(self._address, method, path, body))
        if reply is RESET:
            self._reset()
            return
        self._busy = True
        last = bool(_CLOSE.search(head)) or line[3] == b"0"
        if reply is HANG:
            return
        if reply.after_s > 0:
            asyncio.get_running_loop().call_later(reply.after_s, self._send, reply, last)
        else:
            self._send(reply, last)

    def _send(self, reply: Reply, last: bool) -> None:
        self._busy = False
        if self._transport is None:
            return
        head = (
            f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}\r\n"
            f"Content-Type: {reply.kind}\r\nContent-Length: {len(reply.body)}\r\n\r\n"
        )
        self._transport.write(head.encode("ascii") + reply.body)
        if last:
            self._transport.close()
            self._transport = None
        elif self._bytes:
            asyncio.get_running_loop().call_soon(self._next)

    def _reset(self) -> None:
        if self._transport is not None:
            self._transport.abort()
            self._transport = None


async def listen(serve: Serve, host: str, port: int, backlog: int = 1024) -> asyncio.Server:
    """Serve until it is closed."""
    loop = asyncio.get_running_loop()
    return await loop.create_server(lambda: Connection(serve), host, port, backlog=backlog)
