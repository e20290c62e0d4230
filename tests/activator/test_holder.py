"""Holding, passing on and letting go, on real sockets."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace

import pytest

from conch.activator.connection import HOLD_BYTES
from conch.observe.types import Key
from tests.activator.conftest import KEY, Dial, Start, free_port, until

REQUEST = b"POST /v2/models/resnet/infer HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody"
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
LAST_ANSWER = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok"
TLS_HELLO = b"\x16\x03\x01\x00\x05hello"


@dataclass
class Echo:
    """A server that answers each request as a keep-alive one, and remembers what it was sent."""

    port: int = 0
    got: list[bytes] = field(default_factory=list)
    open: int = 0


@asynccontextmanager
async def echo(expected: int = len(REQUEST), answer: bytes = ANSWER) -> AsyncIterator[Echo]:
    seen = Echo()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.open += 1
        try:
            while True:
                seen.got.append(await reader.readexactly(expected))
                writer.write(answer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            seen.open -= 1
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    seen.port = server.sockets[0].getsockname()[1]
    async with server:
        yield seen
        server.close()


async def test_a_request_waits_for_the_models_and_is_answered(start: Start, dial: Dial) -> None:
    bed = await start()
    reader, writer = await dial(bed.http)
    writer.write(REQUEST)
    await until(lambda: bed.held == 1)
    async with echo() as server:
        await bed.add("10.0.0.1", http=server.port, ready=False)
        await until(lambda: len(bed.asked) >= 3)  # it is there, and loads
        assert server.got == []
        bed.loaded.add("10.0.0.1")
        assert await reader.readexactly(len(LAST_ANSWER)) == LAST_ANSWER
        assert server.got == [REQUEST]
        assert bed.held == 0
        writer.close()
        await until(lambda: server.open == 0)
    assert bed.count("passed") == 1


async def test_the_operator_hears_of_the_first_request_at_once(start: Start, dial: Dial) -> None:
    bed = await start()
    seen = bed.holder.version
    news = asyncio.create_task(bed.holder.news(seen, 60.0))
    _, writer = await dial(bed.http)
    await asyncio.sleep(0.05)
    assert not news.done()  # one that only connects (a health check) wakes nobody
    assert bed.held == 0
    writer.write(b"P")
    writer.write(REQUEST[1:])
    async with asyncio.timeout(1):
        await news
    assert bed.held == 1
    seen = bed.holder.version
    writer.close()
    async with asyncio.timeout(2):
        await bed.holder.news(seen, 60.0)
    assert bed.held == 0
    assert bed.count("left") == 1


async def test_connections_are_spread_over_the_servers(start: Start, dial: Dial) -> None:
    bed = await start()
    async with echo() as one, echo() as other:
        dialled = [await dial(bed.http) for _ in range(6)]
        for _, writer in dialled:
            writer.write(REQUEST)
        await until(lambda: bed.held == 6)
        bed.servers |= {("10.0.0.1", 8000): one.port, ("10.0.0.2", 8000): other.port}
        bed.loaded |= {"10.0.0.1", "10.0.0.2"}
        await bed.change(servers=("10.0.0.1", "10.0.0.2"))
        for reader, writer in dialled:
            assert await reader.readexactly(len(LAST_ANSWER)) == LAST_ANSWER
            writer.close()
        assert (len(one.got), len(other.got)) == (3, 3)


async def test_a_server_that_cannot_be_reached_costs_no_request(start: Start, dial: Dial) -> None:
    bed = await start()
    reader, writer = await dial(bed.http)
    writer.write(REQUEST)
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        await bed.add("10.0.0.1", http=nobody.getsockname()[1])
        await until(lambda: len(bed.asked) >= 2)
        async with echo() as server:
            bed.loaded.discard("10.0.0.1")
            await bed.add("10.0.0.2", http=server.port)
            assert await reader.readexactly(len(LAST_ANSWER)) == LAST_ANSWER
            writer.close()


async def test_a_large_request_is_kept_by_tcp_and_passes_whole(start: Start, dial: Dial) -> None:
    bed = await start()
    body = bytes(range(256)) * 40_000  # 10 MB
    head = f"POST / HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    reader, writer = await dial(bed.http)
    writer.write(head + body)
    await until(lambda: bed.held == 1)
    (client,) = bed.holder._services[KEY].waiting
    await asyncio.sleep(0.1)
    assert len(client._waiting) <= HOLD_BYTES
    async with echo(len(head) + len(body)) as server:
        await bed.add("10.0.0.1", http=server.port)
        assert await reader.readexactly(len(LAST_ANSWER)) == LAST_ANSWER
        assert server.got == [head + body]
        writer.close()


async def test_past_the_deadline_there_is_a_clear_no(start: Start, dial: Dial) -> None:
    bed = await start(hold_s=0.2)
    reader, writer = await dial(bed.http)
    writer.write(REQUEST)
    async with asyncio.timeout(5):
        answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert b"no replica of team/resnet became ready within" in answer
    assert bed.count("expired") == 1
    assert bed.held == 0
    writer.close()


async def test_past_the_deadline_tls_is_reset(start: Start, dial: Dial) -> None:
    bed = await start(hold_s=0.2)
    reader, writer = await dial(bed.http)
    writer.write(TLS_HELLO)
    async with asyncio.timeout(5):
        with pytest.raises(ConnectionResetError):
            await reader.read()
    assert bed.count("expired") == 1
    writer.close()


async def test_a_flood_is_refused_and_leaves_the_others_room(start: Start, dial: Dial) -> None:
    bed = await start(most=8)  # two for one service
    dialled = [await dial(bed.http) for _ in range(3)]
    for _, writer in dialled:
        writer.write(REQUEST)
    async with asyncio.timeout(5):
        answer = await dialled[2][0].read()
    assert answer.startswith(b"HTTP/1.1 503 ")
    assert bed.count("full") == 1
    assert bed.held == 2
    for _, writer in dialled:
        writer.close()


@pytest.mark.slow
async def test_who_hangs_up_unread_is_found(start: Start, dial: Dial) -> None:
    bed = await start()
    _, writer = await dial(bed.http)
    writer.write(REQUEST + b"x" * 4 * HOLD_BYTES)  # reading has stopped: no end is seen
    await until(lambda: bed.held == 1)
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
    await until(lambda: bed.held == 0)
    assert bed.count("left") == 1


@pytest.mark.slow
async def test_tls_passes_untouched_and_is_let_go_when_quiet(
    start: Start, dial: Dial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("conch.activator.holder._QUIET_S", 0.3)
    monkeypatch.setattr("conch.activator.holder._LEAVE_S", 0.0)
    monkeypatch.setattr("conch.activator.holder._TURN_S", 0.05)
    bed = await start()
    reader, writer = await dial(bed.http)
    writer.write(TLS_HELLO)
    async with echo(len(TLS_HELLO), b"\x16\x03\x03answer") as server:
        await bed.add("10.0.0.1", http=server.port)
        assert await reader.readexactly(9) == b"\x16\x03\x03answer"
        await asyncio.sleep(0.5)
        assert server.open == 1  # still in the path: nowhere else to go
        writer.write(TLS_HELLO)
        assert await reader.readexactly(9) == b"\x16\x03\x03answer"
        await bed.change(in_path=False)
        async with asyncio.timeout(5):
            assert await reader.read() == b""
        writer.close()
        await until(lambda: server.open == 0)


async def test_a_reset_by_the_server_stays_a_reset(start: Start, dial: Dial) -> None:
    bed = await start()
    reader, writer = await dial(bed.http)
    writer.write(REQUEST)

    async def reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(len(REQUEST))
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()

    server = await asyncio.start_server(reset, "127.0.0.1", 0)
    async with server:
        await bed.add("10.0.0.1", http=server.sockets[0].getsockname()[1])
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()


async def test_a_client_that_has_its_answer_takes_the_connection_along(
    start: Start, dial: Dial
) -> None:
    ended = asyncio.Event()

    async def stubborn(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(len(REQUEST))
        writer.write(ANSWER)
        with contextlib.suppress(ConnectionError):
            while not reader.at_eof():
                await reader.read(1)
            # It would keep the connection: it ends only when nobody is there to write to.
            while not writer.transport.is_closing():
                writer.write(b".")
                await asyncio.sleep(0.01)
        ended.set()

    bed = await start()
    reader, writer = await dial(bed.http)
    writer.write(REQUEST)
    server = await asyncio.start_server(stubborn, "127.0.0.1", 0)
    async with server:
        await bed.add("10.0.0.1", http=server.sockets[0].getsockname()[1])
        assert await reader.readexactly(len(LAST_ANSWER)) == LAST_ANSWER
        writer.write_eof()
        async with asyncio.timeout(5):
            assert await reader.read() == b""
            await ended.wait()


async def test_a_service_that_is_gone_refuses_what_waits(start: Start, dial: Dial) -> None:
    bed = await start()
    reader, writer = await dial(bed.http)
    writer.write(REQUEST)
    await until(lambda: bed.held == 1)
    await bed.holder.follow({})
    assert (await reader.read()).startswith(b"HTTP/1.1 503 ")
    assert bed.holder.report()["services"] == {}
    with pytest.raises(OSError):
        await dial(bed.http)
    writer.close()


async def test_refusing_one_that_has_hung_up_unseen_hurts_nobody(
    start: Start, dial: Dial, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("conch.activator.holder._left", lambda held: [])
    bed = await start()
    _, gone = await dial(bed.http)
    gone.write(REQUEST + b"x" * 4 * HOLD_BYTES)  # reading has stopped: no end is seen
    reader, writer = await dial(bed.http)
    writer.write(REQUEST)
    await until(lambda: bed.held == 2)
    sock = gone.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    gone.transport.abort()
    await asyncio.sleep(0.05)
    assert bed.held == 2
    await bed.holder.follow({})
    assert (await reader.read()).startswith(b"HTTP/1.1 503 ")


async def test_ports_in_use_are_not_reported(start: Start) -> None:
    bed = await start()
    taken = bed.entry
    other = Key("team", "zzz")
    await bed.holder.follow({KEY: taken, other: taken})
    assert list(bed.holder.report()["services"]) == [str(KEY)]


async def test_ports_change_hands(start: Start, dial: Dial) -> None:
    bed = await start()
    other = Key("team", "zzz")
    moved = replace(bed.entry, ports=((free_port(), "http"), (free_port(), "grpc")))
    await bed.holder.follow({KEY: bed.entry, other: moved})
    await bed.holder.follow({KEY: moved, other: bed.entry})
    assert {
        name: service["ports"] for name, service in bed.holder.report()["services"].items()
    } == {
        str(KEY): sorted(port for port, _ in moved.ports),
        str(other): sorted(port for port, _ in bed.entry.ports),
    }


@pytest.mark.slow
async def test_a_port_that_was_taken_is_tried_again(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("conch.activator.holder._RETRY_S", 0.0)
    bed = await start()
    with socket.socket() as squatter:
        squatter.bind(("127.0.0.1", 0))
        squatter.listen()
        taken = squatter.getsockname()[1]
        await bed.change(ports=((taken, "http"), bed.entry.ports[1]))
        assert bed.holder.report()["services"] == {}  # the operator must not send anybody here
    await until(lambda: str(KEY) in bed.holder.report()["services"])


async def test_a_stopping_activator_still_serves_what_it_holds(start: Start, dial: Dial) -> None:
    bed = await start()
    reader, writer = await dial(bed.http)
    writer.write(REQUEST)
    await until(lambda: bed.held == 1)
    draining = asyncio.create_task(bed.holder.drain(30.0))
    await until(lambda: not bed.holder.report()["services"][str(KEY)]["ports"])
    with pytest.raises(OSError):
        await dial(bed.http)
    async with echo() as server:
        await bed.add("10.0.0.1", http=server.port)
        assert await reader.readexactly(len(LAST_ANSWER)) == LAST_ANSWER
        assert not draining.done()
        writer.close()
        async with asyncio.timeout(5):
            await draining


async def test_one_that_ends_costs_what_it_held_and_its_successor_holds_anew(
    start: Start, dial: Dial
) -> None:
    """Two replicas: what waits at the other knows nothing of it."""
    ends, lives = await start(), await start()
    lost, held = await dial(ends.http), await dial(lives.http)
    for _, writer in (lost, held):
        writer.write(REQUEST)
    await until(lambda: ends.held == lives.held == 1)
    await ends.holder.close()
    assert (await lost[0].read()).startswith(b"HTTP/1.1 503 ")
    assert lives.held == 1
    successor = await start(ports=ends.entry.ports)
    again = await dial(ends.http)
    again[1].write(REQUEST)
    await until(lambda: successor.held == 1)
    async with echo() as server:
        for bed in (lives, successor):
            await bed.add("10.0.0.1", http=server.port)
        for reader, writer in (held, again):
            assert await reader.readexactly(len(LAST_ANSWER)) == LAST_ANSWER
            writer.close()
