"""Asking a web service: bounded, tried again, and nothing secret in what is told."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from conch.errors import GridError
from conch.grid.service import Refused, Service, secret
from tests.grid.servers import Server


@pytest.fixture
async def service(server: Server) -> AsyncIterator[Service]:
    made = Service(server.url, timeout_s=0.3, first_wait_s=0.001, rng=random.Random(1))
    yield made
    await made.aclose()


async def test_what_may_pass_is_tried_again(server: Server, service: Service) -> None:
    server.answers = [503, 429, {"ok": 1}]
    assert await service.get("/x", {"q": "a b"}) == {"ok": 1}
    assert server.queries == [{"q": "a b"}] * 3


async def test_three_tries_and_no_more(server: Server, service: Service) -> None:
    server.answers = [500]
    with pytest.raises(GridError, match="HTTP 500"):
        await service.get("/x", {})
    assert len(server.paths) == 3


@pytest.mark.parametrize(("status", "error"), [(401, Refused), (403, Refused), (404, GridError)])
async def test_what_will_not_pass_is_not_tried_again(
    server: Server, service: Service, status: int, error: type[GridError]
) -> None:
    server.answers = [status]
    with pytest.raises(error, match=f"HTTP {status}"):
        await service.get("/x", {})
    assert len(server.paths) == 1


async def test_it_waits_as_long_as_it_is_told(
    server: Server, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []

    async def sleep(wait_s: float) -> None:
        waits.append(wait_s)

    async def busy(_: web.Request) -> web.Response:
        return web.Response(status=429, headers={"Retry-After": "7"})

    async def forever(_: web.Request) -> web.Response:
        return web.Response(status=429, headers={"Retry-After": "86400"})

    monkeypatch.setattr("conch.grid.service.asyncio.sleep", sleep)
    server.answers = [busy, forever, {}]
    await service.get("/x", {})
    assert waits == [7.0, 30.0]


async def test_a_redirect_is_not_followed(server: Server, service: Service) -> None:
    async def elsewhere(_: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": f"{server.url}/other"})

    server.answers = [elsewhere]
    with pytest.raises(GridError, match="HTTP 302"):
        await service.get("/x", {}, {"auth-token": "s3cr3t"})
    assert server.paths == ["/x"]


async def test_a_server_that_hangs_costs_its_time_out(server: Server, service: Service) -> None:
    async def hang(_: web.Request) -> web.Response:
        await asyncio.sleep(5)
        return web.Response()

    service.timeout_s = 0.02
    server.answers = [hang]
    with pytest.raises(GridError, match="did not answer in time"):
        await service.get("/x", {})
    assert len(server.paths) == 3


async def test_too_much_is_refused(server: Server, service: Service) -> None:
    server.answers = [b" " * (1024 * 1024 + 1)]
    with pytest.raises(GridError, match="more than 1 MiB"):
        await service.get("/x", {})


@pytest.mark.parametrize(
    "body",
    [b"", b"<html>", b"\xff\xfe", b'{"a":', 100_000 * b"["],
    ids=["empty", "html", "text", "cut", "deep"],
)
async def test_no_json_is_an_error(server: Server, service: Service, body: bytes) -> None:
    server.answers = [body]
    with pytest.raises(GridError, match="no JSON"):
        await service.get("/x", {})


async def test_nobody_there() -> None:
    service = Service("http://127.0.0.1:1", first_wait_s=0.001)
    with pytest.raises(GridError, match=r"127\.0\.0\.1: Client"):
        await service.get("/x", {})
    await service.aclose()


async def test_no_token_is_told(
    server: Server, service: Service, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.answers = [403]
    with pytest.raises(GridError) as caught:
        await service.get("/x", {"lat": "52.5"}, {"auth-token": "s3cr3t"})
    assert "s3cr3t" not in str(caught.value) + caplog.text
    assert "52.5" not in str(caught.value)


def test_a_secret_is_read_each_time(token: str) -> None:
    assert secret(token) == "me:s3cr3t"
    Path(token).write_text("new\n")
    assert secret(token) == "new"


@pytest.mark.parametrize("text", ["", "\n", "a\nb"])
def test_a_file_without_a_token(token: str, text: str) -> None:
    Path(token).write_text(text)
    with pytest.raises(GridError, match="holds no token"):
        secret(token)
    with pytest.raises(GridError, match="cannot be read"):
        secret(token + "-not-there")
