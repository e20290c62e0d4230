"""The proxy against a server of our own: what gets through, what is counted, where it cuts."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from e2e.bench.crash.proxy import CutProxy


@dataclass
class World:
    """A server that remembers writes, the proxy before it, and a client that uses the proxy."""

    proxy: CutProxy
    client: aiohttp.ClientSession
    written: list[str] = field(default_factory=list)
    killed_after: list[int] = field(default_factory=list)
    """How many writes the server had seen when the operator was killed."""
    user_agents: set[str] = field(default_factory=set)

    async def write(self, name: str, collection: str = "services") -> int:
        async with self.client.patch(f"/api/v1/{collection}/{name}", data=b"{}") as answer:
            await answer.read()
            return answer.status


@asynccontextmanager
async def _world() -> AsyncIterator[World]:
    async def write(request: web.Request) -> web.Response:
        world.written.append(request.path.rpartition("/")[2])
        world.user_agents.add(request.headers["User-Agent"])
        return web.json_response({}, status=201)

    async def watch(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b'{"type":"ADDED"}\n')
        await asyncio.Event().wait()
        return response

    app = web.Application()
    app.router.add_patch("/{path:.*}", write)
    app.router.add_get("/{path:.*}", watch)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = TestServer(app, handler_cancellation=True)
    async with server:
        proxy = CutProxy(
            f"http://127.0.0.1:{server.port}",
            None,
            port,
            lambda: world.killed_after.append(len(world.written)),
        )
        async with proxy, aiohttp.ClientSession(proxy.address) as client:
            world = World(proxy, client)
            yield world


async def test_writes_go_through_and_those_about_one_object_are_counted() -> None:
    async with _world() as world:
        world.proxy.arm("c001")
        assert await world.write("c001") == 201
        await world.write("c002")
        await world.write("c001", "leases")
        assert world.written == ["c001", "c002", "c001"]
        assert world.proxy.writes == ["PATCH /api/v1/services/c001"]
        assert not any(agent.startswith("bench") for agent in world.user_agents)


async def test_a_watch_is_passed_on_as_it_comes() -> None:
    async with _world() as world, world.client.get("/api/v1/pods?watch=1") as stream:
        line = await asyncio.wait_for(stream.content.readline(), 5)
        assert line == b'{"type":"ADDED"}\n'


async def test_the_answer_to_the_last_write_still_arrives() -> None:
    async with _world() as world:
        world.proxy.arm("c001", 2)
        assert [await world.write("c001"), await world.write("c001")] == [201, 201]
        assert world.killed_after == [2]
        assert world.proxy.cut.is_set()


async def test_a_lost_answer_belongs_to_a_write_that_was_made() -> None:
    async with _world() as world:
        world.proxy.arm("c001", 1, lose_answer=True)
        with pytest.raises(aiohttp.ClientConnectionError):
            await world.write("c001")
        assert (world.written, world.killed_after) == (["c001"], [1])


async def test_after_the_cut_nothing_gets_through_until_it_is_armed_again() -> None:
    async with _world() as world:
        world.proxy.arm("c001", 1)
        await world.write("c001")
        with pytest.raises(aiohttp.ClientConnectionError):
            await world.write("c002")
        assert world.written == ["c001"]
        world.proxy.arm("c001")
        assert await world.write("c001") == 201
