"""A real gRPC client and server: requests outlive the wait, and the channel moves on by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from tests.activator.conftest import Start, until

METHOD = "/test.Echo/Say"


class _Echo(grpc.GenericRpcHandler):
    def __init__(self, name: bytes) -> None:
        self.name = name
        self.pause = asyncio.Event()
        self.pause.set()
        self.began = 0

    def service(self, handler_call_details: Any) -> Any:
        async def say(request: bytes, context: Any) -> bytes:
            self.began += 1
            await self.pause.wait()
            return self.name + request

        return grpc.unary_unary_rpc_method_handler(say)


@asynccontextmanager
async def server(name: bytes) -> AsyncIterator[tuple[int, _Echo]]:
    echo = _Echo(name)
    running = grpc.aio.server()
    running.add_generic_rpc_handlers((echo,))
    port = running.add_insecure_port("127.0.0.1:0")
    await running.start()
    try:
        yield port, echo
    finally:
        await running.stop(None)


async def test_requests_wait_and_the_channel_moves_on(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("conch.activator.holder._LEAVE_S", 0.0)
    monkeypatch.setattr("conch.activator.holder._TURN_S", 0.05)
    bed = await start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{bed.grpc}") as channel:
        say = channel.unary_unary(METHOD)
        calls = [asyncio.ensure_future(say(b"%d" % n, timeout=20)) for n in range(5)]
        await until(lambda: bed.held == 1)  # one connection
        async with server(b"a") as (port, echo):
            await bed.add("10.0.0.1", grpc=port)
            assert await asyncio.gather(*calls) == [b"a%d" % n for n in range(5)]
            echo.pause.clear()
            under_way = asyncio.ensure_future(say(b"x", timeout=20))
            await until(lambda: echo.began == 6)
            first = next(iter(bed.holder._services.values())).passed.copy()
            await bed.change(in_path=False)
            await until(lambda: all(c._answers.ended for c in first))
            # What was begun is finished here; what comes next takes a connection of its own.
            later = asyncio.ensure_future(say(b"y", timeout=20))
            await until(lambda: echo.began == 7)
            echo.pause.set()
            assert await under_way == b"ax"
            assert await later == b"ay"
            await until(lambda: all(c.closing for c in first))
            assert await say(b"z", timeout=20) == b"az"


async def test_a_client_that_only_connects_wakes_nobody(start: Start) -> None:
    bed = await start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{bed.grpc}") as channel:
        async with asyncio.timeout(10):
            await channel.channel_ready()  # the holder has shown that it is alive
        assert bed.held == 0


async def test_a_client_that_never_calls_is_dismissed(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("conch.activator.holder._SILENT_S", 0.3)
    bed = await start(hold_s=0.1)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{bed.grpc}") as channel:
        async with asyncio.timeout(10):
            await channel.channel_ready()
            while (state := channel.get_state()) is grpc.ChannelConnectivity.READY:
                await channel.wait_for_state_change(state)
    assert bed.count("expired") == 0


@pytest.mark.slow
async def test_past_the_deadline_there_is_a_clear_no(start: Start) -> None:
    bed = await start(hold_s=0.5)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{bed.grpc}") as channel:
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await channel.unary_unary(METHOD)(b"x", timeout=20)
    assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
    assert "no replica of team/resnet became ready" in str(refused.value.details())


@pytest.mark.slow
async def test_pings_are_answered_while_it_waits(start: Start) -> None:
    bed = await start()
    options = [
        ("grpc.keepalive_time_ms", 1000),
        ("grpc.keepalive_timeout_ms", 500),
        ("grpc.http2.max_pings_without_data", 0),
    ]
    async with grpc.aio.insecure_channel(f"127.0.0.1:{bed.grpc}", options) as channel:
        call = asyncio.ensure_future(channel.unary_unary(METHOD)(b"x", timeout=20))
        await until(lambda: bed.held == 1)
        await asyncio.sleep(3)  # two pings, and the time in which no answer means a dead server
        assert not call.done()
        async with server(b"a") as (port, _):
            await bed.add("10.0.0.1", grpc=port)
            assert await call == b"ax"


async def test_a_refused_port_says_so_to_grpc(start: Start) -> None:
    bed = await start(most=4)
    first = grpc.aio.insecure_channel(f"127.0.0.1:{bed.grpc}")
    second = grpc.aio.insecure_channel(
        f"127.0.0.1:{bed.grpc}", [("grpc.use_local_subchannel_pool", 1)]
    )
    async with first, second:
        waits = asyncio.ensure_future(first.unary_unary(METHOD)(b"x", timeout=20))
        await until(lambda: bed.held == 1)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await second.unary_unary(METHOD)(b"x", timeout=20)
        assert refused.value.code() is grpc.StatusCode.UNAVAILABLE
        assert bed.count("full") == 1  # and does not come back at once
        waits.cancel()
