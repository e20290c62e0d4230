"""What a Triton says of models that it could not load."""

from __future__ import annotations

from collections.abc import AsyncIterator

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from conch.api import names
from conch.triton import http, repository

LOADED = {"name": "fine", "version": "1", "state": "READY"}
UNLOADED = {"name": "old", "state": "UNAVAILABLE", "reason": "unloaded"}
BROKEN = {"name": "bad", "state": "UNAVAILABLE", "reason": "no  such\nfile"}


class Server:
    """Answers the one question with ``body``."""

    body = b""
    status = 200

    async def answer(self, _: web.Request) -> web.Response:
        return web.Response(status=self.status, body=self.body)


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    made = Server()
    app = web.Application()
    app.add_routes([web.post("/v2/repository/index", made.answer)])
    async with TestServer(app) as running:
        monkeypatch.setattr(names, "PORT_HTTP", running.port)
        yield made


async def ask() -> dict[str, str]:
    return await repository.load_problems("127.0.0.1", 2.0)


async def test_only_models_that_failed_are_named(server: Server) -> None:
    server.body = msgspec.json.encode([LOADED, UNLOADED, BROKEN])
    assert await ask() == {"bad": "no such file"}


async def test_an_answer_in_many_pieces_is_read_whole(server: Server) -> None:
    server.body = msgspec.json.encode(5000 * [LOADED] + [BROKEN])
    assert await ask() == {"bad": "no such file"}


@pytest.mark.parametrize(
    ("status", "body"),
    [(500, b"[]"), (200, b""), (200, b"{}"), (200, b'[{"name":1}]'), (200, 100_000 * b'[{"a":')],
    ids=["failed", "empty", "object", "type", "deep"],
)
async def test_nonsense_says_nothing(server: Server, status: int, body: bytes) -> None:
    server.status, server.body = status, body
    assert await ask() == {}


async def test_an_endless_answer_says_nothing(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "MAX_BODY_BYTES", 100)
    server.body = msgspec.json.encode([BROKEN, BROKEN])
    assert await ask() == {}
