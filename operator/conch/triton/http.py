"""One HTTP/1.1 request to one server, as cheap as looking at thousands of them has to be.

Decides when an answer is whole, and refuses what no sane server sends. Only a 200 is an answer: a
redirect is not followed. A connection serves one request, since an idle one holds a terminating
Triton for its whole exit timeout (measured on 24.10). aiohttp takes three times the CPU.
"""

from __future__ import annotations

import asyncio
import re
import socket
from typing import Final

from conch.errors import TritonError

MAX_BODY_BYTES: Final = 4 * 1024 * 1024
_MAX_HEAD_BYTES: Final = 16 * 1024
_MAX_CHUNK_LINE_BYTES: Final = 256
_READ_BYTES: Final = 64 * 1024

_STATUS: Final = re.compile(rb"HTTP/1\.[01] ([1-5]\d\d)(?: [^\r\n]*)?\r\n")
_LENGTH: Final = re.compile(rb"\r\ncontent-length:[ \t]*([^\r\n]*?)[ \t]*(?=\r\n)", re.IGNORECASE)
_ENCODING: Final = re.compile(
    rb"\r\ntransfer-encoding:[ \t]*([^\r\n]*?)[ \t]*(?=\r\n)", re.IGNORECASE
)
_SIZE: Final = re.compile(rb"([0-9a-fA-F]{1,8})[ \t]*(?:;[^\r\n]*)?\r\n")


class Answer:
    """An answer as it comes in. Pure; its work is linear in what is fed, however small the bits."""

    __slots__ = ("_body", "_bytes", "_chunked", "_head", "_length", "_read")

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._head = 0  # bytes of the head, its empty line included; 0: not whole yet
        self._length: int | None = None  # None: until the connection ends
        self._chunked = False
        self._body = bytearray()  # what the chunks held
        self._read = 0  # of the bytes: up to where chunks are taken apart

    def feed(self, data: bytes) -> bool:
        """Whether the answer is whole. Empty ``data``: the server ended the connection.

        Raises TritonError when it is no HTTP, not a 200, too large, or ended too early.
        """
        self._bytes += data
        if not self._head and not self._open(len(data)):
            if not data:
                raise TritonError("ended the connection without an answer")
            return False
        there = len(self._bytes) - self._head
        self._limit(there)
        if self._chunked:
            whole = self._take()
        elif self._length is not None:
            whole = there >= self._length
        else:
            whole = not data
        if not data and not whole:
            raise TritonError("ended the connection in the middle of its answer")
        return whole

    def body(self) -> bytes:
        """The body of a whole answer."""
        if self._chunked:
            return bytes(self._body)
        end = None if self._length is None else self._head + self._length
        return bytes(memoryview(self._bytes)[self._head : end])

    def _open(self, new: int) -> bool:
        """Read the head; False: it is not all there."""
        end = self._bytes.find(b"\r\n\r\n", max(0, len(self._bytes) - new - 3))
        if max(end, len(self._bytes) if end < 0 else 0) > _MAX_HEAD_BYTES:
            raise TritonError(f"sent more than {_MAX_HEAD_BYTES >> 10} KiB of headers")
        if end < 0:
            return False
        head = bytes(self._bytes[: end + 2])
        status = _STATUS.match(head)
        if status is None:
            raise TritonError("answered something that is not HTTP")
        if status[1] != b"200":
            raise TritonError(f"answered HTTP {int(status[1])}")
        self._head = self._read = end + 4
        encodings = _ENCODING.findall(head)
        if encodings:
            if [e.lower() for e in encodings] != [b"chunked"]:
                raise TritonError("answered in a transfer encoding that nobody asked for")
            self._chunked = True
            return True
        lengths = set(_LENGTH.findall(head))
        if lengths:
            length = lengths.pop()
            if lengths or not length.isdigit() or len(length) > 20:
                raise TritonError("answered with a length that cannot be read")
            self._length = int(length)
            self._limit(self._length)
        return True

    def _take(self) -> bool:
        """Take apart the chunks that are there; whether the last one was among them."""
        while True:
            line = _SIZE.match(self._bytes, self._read)
            if line is None:
                waiting = len(self._bytes) - self._read
                if waiting > _MAX_CHUNK_LINE_BYTES or b"\n" in self._bytes[self._read :]:
                    raise TritonError("answered with a chunk that cannot be read")
                return False
            size = int(line[1], 16)
            self._limit(len(self._body) + size)
            if size == 0:
                return True  # trailers are of no use, and the connection is not used again
            end = line.end() + size
            if len(self._bytes) < end + 2:
                return False
            self._body += memoryview(self._bytes)[line.end() : end]
            self._read = end + 2
            if self._bytes[end : self._read] != b"\r\n":
                raise TritonError("answered with a chunk that does not end where it says")

    def _limit(self, length: int) -> None:
        if length > MAX_BODY_BYTES:
            raise TritonError(f"sent more than {MAX_BODY_BYTES >> 20} MiB")


async def get(ip: str, port: int, path: str, timeout_s: float) -> bytes:
    """The body of a 200 answer. Raises TritonError with the address and what went wrong."""
    return await _ask(ip, port, path, timeout_s, "GET", b"")


async def post(ip: str, port: int, path: str, body: bytes, timeout_s: float) -> bytes:
    """The same for JSON that is sent. Raises TritonError."""
    return await _ask(ip, port, path, timeout_s, "POST", body)


async def _ask(ip: str, port: int, path: str, timeout_s: float, method: str, body: bytes) -> bytes:
    host = f"[{ip}]" if ":" in ip else ip
    sent = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if body else ""
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n"
        f"Accept-Encoding: identity\r\n{sent}\r\n"
    )
    try:
        async with asyncio.timeout(timeout_s):
            return await _exchange(ip, port, head.encode("ascii") + body)
    except TimeoutError:
        why = f"did not answer within {timeout_s:g} s"
    except (TritonError, OSError) as error:
        why = str(error) or type(error).__name__
    raise TritonError(f"http://{host}:{port}{path}: {why}")


async def _exchange(ip: str, port: int, request: bytes) -> bytes:
    loop = asyncio.get_running_loop()
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as connection:
        await loop.sock_connect(connection, (ip, port))
        await loop.sock_sendall(connection, request)
        answer = Answer()
        while not answer.feed(await loop.sock_recv(connection, _READ_BYTES)):
            pass
        return answer.body()
