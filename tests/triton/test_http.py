"""The client of pods: whole answers however they come in, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conch.errors import TritonError
from conch.triton import http
from conch.triton.http import Answer

OK = b"HTTP/1.1 200 OK\r\n"
PLAIN = OK + b"Content-Type: text/plain\r\ncontent-length: 5\r\n\r\nhello"
CHUNKED = OK + b"Transfer-Encoding: Chunked\r\n\r\n3;x=y\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n"
TILL_THE_END = b"HTTP/1.0 200 OK\r\nServer: old\r\n\r\nhello"


def read(parts: list[bytes]) -> bytes:
    """The body; IndexError when the parts are no whole answer."""
    answer = Answer()
    while not answer.feed(parts.pop(0)):
        pass
    return answer.body()


@given(
    st.sampled_from([PLAIN, CHUNKED, TILL_THE_END, PLAIN + b"more than was announced"]),
    st.lists(st.integers(0, 100)),
)
def test_an_answer_is_the_same_however_it_is_cut(whole: bytes, cuts: list[int]) -> None:
    places = sorted({0, len(whole), *(cut % len(whole) for cut in cuts)})
    parts = [whole[a:b] for a, b in pairwise(places)]
    assert read([*parts, b""]) == b"hello"


@pytest.mark.parametrize("whole", [PLAIN, CHUNKED])
def test_it_is_whole_before_the_connection_ends(whole: bytes) -> None:
    assert read([whole]) == b"hello"


def test_an_empty_body() -> None:
    assert read([OK + b"Content-Length: 0\r\n\r\n"]) == b""
    assert read([OK + b"\r\n", b""]) == b""


@pytest.mark.parametrize(
    ("sent", "error"),
    [
        (b"", "without an answer"),
        (b"HTTP/1.1 200 OK\r\nContent-", "without an answer"),
        (PLAIN[:-1], "in the middle"),
        (CHUNKED[:-5], "in the middle"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "not HTTP"),
        (b"HTTP/2 200\r\n\r\n", "not HTTP"),
        (b"HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\n\r\n", "HTTP 302"),
        (b"HTTP/1.1 100 Continue\r\n\r\n", "HTTP 100"),
        (OK + b"Content-Length: five\r\n\r\nhello", "length"),
        (OK + b"Content-Length: -5\r\n\r\nhello", "length"),
        (OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello", "length"),
        (OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "transfer encoding"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n", "chunk"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n-1\r\n", "chunk"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n" + b"0" * 300, "chunk"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\nhello\r\n", "does not end where"),
        (OK + b"Transfer-Encoding: chunked\r\n\r\nffffffff\r\n", "more than 4 MiB"),
        (OK + b"Content-Length: 4194305\r\n\r\n", "more than 4 MiB"),
        (OK + b"X: " + b"x" * 20_000, "16 KiB of headers"),
        (OK + b"X: " + b"x" * 20_000 + b"\r\n\r\n", "16 KiB of headers"),
    ],
)
def test_what_no_sane_server_sends(sent: bytes, error: str) -> None:
    with pytest.raises(TritonError, match=error):
        read([sent, b""])


def test_a_body_without_an_end_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "MAX_BODY_BYTES", 1 << 20)
    tiny = b"1" + b";" + b"x" * 99 + b"\r\n" + b"y\r\n"  # little body, and never more of it
    for head, part in ((b"\r\n", b"x" * 1000), (b"Transfer-Encoding: chunked\r\n\r\n", tiny)):
        with pytest.raises(TritonError, match="more than 1 MiB"):
            read([OK + head] + [part] * 20_000)


@asynccontextmanager
async def server(answer: bytes, pause_s: float = 0.0) -> AsyncIterator[tuple[int, list[bytes]]]:
    """Its port, and what it was asked; with a pause, the answer comes byte by byte."""
    asked: list[bytes] = []
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            asked.append(await reader.readuntil(b"\r\n\r\n"))
            if b"Content-Length: 2" in asked[-1]:
                asked.append(await reader.readexactly(2))
            for start in range(len(answer)) if pause_s else ():
                writer.write(answer[start : start + 1])
                await asyncio.sleep(pause_s)
            writer.write(b"" if pause_s else answer)
            await reader.read()  # it does not end the connection by itself
        except ConnectionError:
            pass
        finally:
            writer.close()
            ended.set()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as running:
        yield running.sockets[0].getsockname()[1], asked
        await ended.wait()


async def test_a_request_is_one_on_a_connection_of_its_own() -> None:
    async with server(PLAIN) as (port, asked):
        assert await http.get("127.0.0.1", port, "/metrics", 2.0) == b"hello"
        (request,) = asked
    assert request.startswith(f"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n".encode())
    assert b"\r\nConnection: close\r\n" in request


async def test_a_body_that_is_sent() -> None:
    async with server(CHUNKED) as (port, asked):
        assert await http.post("127.0.0.1", port, "/v2/repository/index", b"{}", 2.0) == b"hello"
        assert asked[1] == b"{}"


async def test_a_slow_drip_is_given_up_in_all() -> None:
    async with server(PLAIN, 0.005) as (port, _):
        with pytest.raises(TritonError, match=f"127.0.0.1:{port}/x: did not answer within 0.1 s"):
            await http.get("127.0.0.1", port, "/x", 0.1)


async def test_an_address_of_the_other_kind() -> None:
    with pytest.raises(TritonError, match=r"http://\[::1\]:9/x: "):
        await http.get("::1", 9, "/x", 0.5)
