"""A real Prometheus between the fleet of fake servers and us: it tells what they told it."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import aiohttp
import pytest

from conch.triton import metrics
from conch.triton.prometheus import Prometheus
from conch.triton.sample import FRESH_S, PodSample
from e2e.fleet import http, server
from e2e.fleet.load import Load
from e2e.fleet.pods import Pods
from tests.activator.conftest import free_port
from tests.prometheus import program

pytestmark = pytest.mark.cluster  # as slow as these: scrapes have to be waited for

ADDRESSES = {"web-1": "127.0.0.2", "web-2": "127.0.0.3"}
LIMIT_S = 60.0


@pytest.fixture(scope="session")
def prometheus() -> Path:
    return program("prometheus")


@pytest.fixture
async def pods() -> AsyncIterator[tuple[Pods, int]]:
    """The fleet's pods, and the port of their metrics."""
    made = Pods(Load(rate_per_s=20.0), asyncio.get_running_loop().time, time.time)
    listening = await http.listen(server.Triton(made).metrics, "0.0.0.0", 0)
    with contextlib.closing(listening):
        yield made, listening.sockets[0].getsockname()[1]


@pytest.fixture
def url(prometheus: Path, pods: tuple[Pods, int], tmp_path: Path) -> Iterator[str]:
    """A Prometheus that scrapes the pods each second, labelled as a PodMonitor labels them."""
    targets = "".join(
        f"  - targets: ['{address}:{pods[1]}']\n"
        f"    labels: {{namespace: team, pod: {name}, endpoint: metrics}}\n"
        for name, address in ADDRESSES.items()
    )
    config = tmp_path / "prometheus.yaml"
    config.write_text(
        "global: {scrape_interval: 1s, scrape_timeout: 1s}\n"
        f"scrape_configs:\n- job_name: triton\n  static_configs:\n{targets}"
    )
    port = free_port()
    process = subprocess.Popen(
        [
            prometheus,
            f"--config.file={config}",
            f"--storage.tsdb.path={tmp_path / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=error",
        ]
    )
    yield f"http://127.0.0.1:{port}"
    process.terminate()
    process.wait(20)


async def until(seen: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not await seen():  # noqa: ASYNC110 - Prometheus has no event for us
            await asyncio.sleep(0.2)


async def direct(port: int, pod: str) -> metrics.ModelCounters:
    async with aiohttp.ClientSession() as session:
        address = f"http://{ADDRESSES[pod]}:{port}/metrics"
        async with session.get(address) as answer:
            return metrics.parse(await answer.text(), ["resnet"], 99)["resnet"]


async def test_its_samples_are_what_the_pods_said_when_they_said_it(
    url: str, pods: tuple[Pods, int]
) -> None:
    fleet, port = pods
    client = Prometheus(url, 5.0)
    found: dict[str, PodSample] = {}

    async def look() -> bool:
        named = {name: f"uid-{name}" for name in (*ADDRESSES, "web-3")}
        clock = asyncio.get_running_loop().time
        got = await client.look("team", named, ["resnet"], 99, clock, found)
        found.update({sample.pod: sample for sample in got})
        return not found["uid-web-1"].error and not found["uid-web-2"].error

    async with contextlib.aclosing(client):
        await until(look)
        first = found["uid-web-1"]
        assert "web-3" in found["uid-web-3"].error
        assert first.fresh_s == FRESH_S

        async def later() -> bool:
            return await look() and found["uid-web-1"].at_s >= first.at_s + 3

        await until(later)
        second = found["uid-web-1"]
        passed_s = second.at_s - first.at_s
        grown = second.models["resnet"].success - first.models["resnet"].success
        assert grown == pytest.approx(20.0 * passed_s, abs=3)  # whole ones, scraped at odd moments

        # What stands still is told exactly.
        fleet.change({"*": {"rate_per_s": 0.0}})
        still = await direct(port, "web-2")

        async def same() -> bool:
            return await look() and found["uid-web-2"].models["resnet"].success == still.success

        await until(same)
        told = found["uid-web-2"].models["resnet"]
        assert (told.executions, told.request_s) == (still.executions, still.request_s)

        # A pod that answers no more is not one without requests.
        fleet.change({"127.0.0.2": {"fault": "error"}})

        async def silent() -> bool:
            await look()
            return (
                bool(found["uid-web-1"].error) or found["uid-web-1"].at_s < found["uid-web-2"].at_s
            )

        await until(silent)
        assert not found["uid-web-2"].error
