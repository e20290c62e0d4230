"""The whole process against an API server: it follows slices, tells, and ends when told."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator

import aiohttp
import pytest

from conch.activator import run
from conch.api import names
from conch.kube.credentials import Credentials
from conch.settings import Settings
from tests.activator.conftest import free_port
from tests.kube.fake_api import FakeApi, until

SLICES = "/apis/discovery.k8s.io/v1/namespaces/team/endpointslices"


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[FakeApi]:
    async with FakeApi() as made:

        async def find(*_: object) -> Credentials:
            return Credentials.anonymous(made.url)

        monkeypatch.setattr(Credentials, "find", find)
        monkeypatch.setattr(names, "PORT_ACTIVATOR", free_port())
        yield made


def put_slice(server: FakeApi, port: int) -> None:
    made = server.put(
        SLICES,
        "resnet",
        "team",
        ports=[{"name": "http", "port": port}, {"name": "grpc", "port": port + 1}],
        endpoints=[],
    )
    made["metadata"]["labels"] = {
        names.LABEL_TO_ZERO: "true",
        names.LABEL_SLICE_SERVICE: "resnet",
        names.LABEL_SLICE_MANAGER: names.SLICE_MANAGER,
    }


async def test_it_listens_tells_and_ends_on_sigterm(server: FakeApi) -> None:
    first = free_port()
    put_slice(server, first)
    settings = Settings(
        namespaces=("team",),
        bind_address="127.0.0.1",
        activator_first_port=first,
        activator_ports=2,
    )
    running = asyncio.create_task(run._run(settings, None, None))
    base = f"http://127.0.0.1:{names.PORT_ACTIVATOR}"
    told: dict[str, object] = {}
    async with aiohttp.ClientSession() as session:

        async def listening() -> None:
            while "team/resnet" not in told:
                try:
                    async with session.get(f"{base}/held") as answer:
                        told.update((await answer.json())["services"])
                except aiohttp.ClientConnectionError:
                    pass
                await asyncio.sleep(0.02)

        async with asyncio.timeout(10):
            await listening()
        assert told == {"team/resnet": {"ports": [first, first + 1], "held": 0}}
        async with session.get(f"{base}/readyz") as answer:
            assert answer.status == 200
        async with session.get(f"{base}/metrics") as answer:
            assert "conch_activator_held_connections" in await answer.text()
    os.kill(os.getpid(), signal.SIGTERM)
    async with asyncio.timeout(10):
        assert await running == 0
    with pytest.raises(OSError):
        await asyncio.open_connection("127.0.0.1", first)


async def test_it_is_unready_until_it_has_seen_what_there_is(server: FakeApi) -> None:
    settings = Settings(namespaces=("team",), bind_address="127.0.0.1", activator_first_port=30000)
    running = asyncio.create_task(run._run(settings, None, None))
    base = f"http://127.0.0.1:{names.PORT_ACTIVATOR}"
    async with aiohttp.ClientSession() as session:

        async def answers(wanted: int) -> None:
            while True:
                try:
                    async with session.get(f"{base}/readyz") as answer:
                        if answer.status == wanted:
                            return
                except aiohttp.ClientConnectionError:
                    pass
                await asyncio.sleep(0.02)

        async with asyncio.timeout(10):
            await answers(503)  # the server does not know the collection
            put_slice(server, 20000)
            await answers(200)
    os.kill(os.getpid(), signal.SIGTERM)
    await until(running.done, 10)
