"""The fleet's HTTP: framing, order and ends of connections."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from e2e.fleet import http
from e2e.fleet.http import Reply, Request

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def serve(request: Request) -> Reply:
    """What was asked; of /slow a little later."""
    asked = f"{request.method} {request.path} {request.body.decode()}"
    return Reply(200, asked.encode(), "text/plain", after_s=0.02 if "slow" in request.path else 0.0)


@pytest.fixture
async def client() -> AsyncIterator[Streams]:
    running = await http.listen(serve, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*running.sockets[0].getsockname())
    yield reader, writer
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    running.close()


async def answer(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n")
    return await reader.readexactly(int(head.split(b"Content-Length: ")[1]))


POST = b"POST /a HTTP/1.1\r\nHost: x\r\ncontent-length: 2\r\n\r\n{}"


async def test_a_request_in_pieces(client: Streams) -> None:
    reader, writer = client
    for place in range(len(POST)):
        writer.write(POST[place : place + 1])
        await asyncio.sleep(0)
    assert await answer(reader) == b"POST /a {}"


async def test_requests_on_one_connection_are_answered_in_order(client: Streams) -> None:
    reader, writer = client
    writer.write(b"GET /slow HTTP/1.1\r\n\r\n" + POST + b"GET /b HTTP/1.1\r\n\r\n")
    assert [await answer(reader) for _ in range(3)] == [b"GET /slow ", b"POST /a {}", b"GET /b "]


@pytest.mark.parametrize(
    "request_bytes",
    [b"GET /slow HTTP/1.1\r\nConnection: close\r\n\r\n", b"GET /b HTTP/1.0\r\n\r\n"],
)
async def test_the_last_request_ends_the_connection(client: Streams, request_bytes: bytes) -> None:
    reader, writer = client
    writer.write(request_bytes)
    await answer(reader)
    assert await reader.read() == b""


@pytest.mark.parametrize(
    "nonsense",
    [
        b"hello\r\n\r\n",
        b"POST /a HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n",
        b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n\r\n",
        b"x" * 2_000_000,
    ],
    ids=["nonsense", "body", "head", "endless"],
)
async def test_nonsense_ends_the_connection(client: Streams, nonsense: bytes) -> None:
    reader, writer = client
    writer.write(nonsense)
    answered = b""
    with contextlib.suppress(ConnectionError):
        answered = await reader.read()
    assert answered == b""
