"""Is a server asked for every model, and is anything but a clear yes a no?"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from conch.activator import probe
from conch.api import names
from tests.activator.conftest import free_port


@asynccontextmanager
async def triton(
    monkeypatch: pytest.MonkeyPatch, ready: set[str], status: int = 400
) -> AsyncIterator[list[str]]:
    """Answers as Triton does: 200 for models that are ready, 400 for others."""
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.Response(status=200 if request.path in ready else status)

    monkeypatch.setattr(names, "PORT_HTTP", free_port())
    app = web.Application()
    app.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", names.PORT_HTTP).start()
    try:
        yield asked
    finally:
        await runner.cleanup()


@pytest.mark.parametrize(
    ("ready", "expected"), [({"a", "b"}, True), ({"a"}, False), (set(), False)]
)
async def test_every_model_must_be_ready(
    monkeypatch: pytest.MonkeyPatch, ready: set[str], expected: bool
) -> None:
    paths = {f"/v2/models/{model}/ready" for model in ready}
    async with triton(monkeypatch, paths) as asked, probe.open_session() as session:
        assert await probe.has_models(session, "127.0.0.1", ["a", "b"]) is expected
        assert sorted(asked) == ["/v2/models/a/ready", "/v2/models/b/ready"]


async def test_a_redirect_is_no_yes(monkeypatch: pytest.MonkeyPatch) -> None:
    async with triton(monkeypatch, set(), 302), probe.open_session() as session:
        assert not await probe.has_models(session, "127.0.0.1", ["a"])


async def test_without_models_the_server_itself_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    async with triton(monkeypatch, {"/v2/health/ready"}), probe.open_session() as session:
        assert await probe.has_models(session, "127.0.0.1", [])


async def test_nobody_there_is_a_no(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(names, "PORT_HTTP", free_port())
    async with probe.open_session() as session:
        assert not await probe.has_models(session, "127.0.0.1", ["a"])
