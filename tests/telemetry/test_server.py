"""Probes and metrics over HTTP."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator

import aiohttp
import pytest

from conch.errors import SettingsError
from conch.telemetry.catalog import Metrics
from conch.telemetry.server import serve


class World:
    def __init__(self) -> None:
        self.metrics = Metrics()
        self.wrong: dict[str, str | None] = {"alive": None, "ready": None}
        self.port = 0

    async def get(self, path: str) -> tuple[int, str]:
        url = f"http://127.0.0.1:{self.port}{path}"
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return response.status, await response.text()


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World()
    runner = await serve(
        made.metrics,
        host="127.0.0.1",
        probe_port=0,
        metrics_port=0,
        alive=[lambda: made.wrong["alive"]],
        ready=[lambda: None, lambda: made.wrong["ready"]],
        arrivals=lambda namespace, name: {"rates": {name: [1.5]}} if namespace == "demo" else None,
    )
    made.port = runner.addresses[0][1]
    yield made
    await runner.cleanup()


async def test_a_healthy_process_says_so(world: World) -> None:
    assert await world.get("/healthz") == (200, "ok")
    assert await world.get("/readyz") == (200, "ok")


async def test_a_probe_says_what_is_wrong(world: World) -> None:
    world.wrong["ready"] = "not synced yet: pods"
    assert await world.get("/readyz") == (503, "not synced yet: pods")
    assert await world.get("/healthz") == (200, "ok"), "one that is not ready is not dead"
    world.wrong["alive"] = "no reconcile has ended"
    assert await world.get("/healthz") == (503, "no reconcile has ended")


async def test_metrics_are_exposed(world: World) -> None:
    world.metrics.leader.set(1)
    code, text = await world.get("/metrics")
    assert code == 200
    assert "conch_leader 1.0" in text.splitlines()


async def test_nothing_waits_while_metrics_are_written_down(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop, answered = asyncio.get_running_loop(), threading.Event()

    def long() -> bytes:
        loop.call_soon_threadsafe(answered.set)  # by a loop that turns meanwhile
        return b"ok" if answered.wait(10) else b"the loop stood still"

    monkeypatch.setattr(world.metrics, "exposition", long)
    assert await world.get("/metrics") == (200, "ok")


async def test_what_arrived_at_a_service_is_told(world: World) -> None:
    assert await world.get("/debug/arrivals/demo/a") == (200, '{"rates": {"a": [1.5]}}')
    assert (await world.get("/debug/arrivals/other/a"))[0] == 404
    assert (await world.get("/debug/arrivals/demo/a/b"))[0] == 404


async def test_a_port_that_is_taken_is_a_mistake_in_the_settings() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(SettingsError, match="CONCH_PROBE_PORT"):
            await serve(
                Metrics(),
                host="127.0.0.1",
                probe_port=port,
                metrics_port=port,
                alive=[],
                ready=[],
            )
