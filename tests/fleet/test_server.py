"""The fleet over real sockets, on two loopback addresses that stand for two pods."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from conch.triton import metrics
from e2e.fleet import http, server
from e2e.fleet.load import Load
from e2e.fleet.pods import Pods

ONE, OTHER = "127.0.0.2", "127.0.0.3"


@dataclass
class Fleet:
    session: aiohttp.ClientSession
    http: int
    metrics: int
    control: int

    async def change(self, **changes: Any) -> int:
        url = f"http://127.0.0.1:{self.control}/pods"
        named = {ONE if key == "one" else key: value for key, value in changes.items()}
        async with self.session.patch(url, data=json.dumps(named)) as response:
            return response.status

    async def get(self, address: str, path: str) -> tuple[int, bytes]:
        port = self.metrics if path == "/metrics" else self.http
        async with self.session.get(f"http://{address}:{port}{path}") as response:
            return response.status, await response.read()


@pytest.fixture
async def fleet() -> AsyncIterator[Fleet]:
    loop = asyncio.get_running_loop()
    pods = Pods(Load(base_ms=1, per_item_ms=0), loop.time, lambda: 1_000.0)
    triton = server.Triton(pods)
    async with contextlib.AsyncExitStack() as stack:
        ports = []
        for answers in (triton.http, triton.metrics):
            running = await http.listen(answers, "0.0.0.0", 0)
            stack.callback(running.close)
            ports.append(running.sockets[0].getsockname()[1])
        runner = web.AppRunner(server.control(pods), shutdown_timeout=1)
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        session = await stack.enter_async_context(aiohttp.ClientSession())
        yield Fleet(session, ports[0], ports[1], runner.addresses[0][1])


async def test_an_inference_counts_on_the_pod_that_was_asked(fleet: Fleet) -> None:
    tensor = {"name": "X", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}
    url = f"http://{ONE}:{fleet.http}/v2/models/resnet/infer"
    async with fleet.session.post(url, json={"inputs": [tensor]}) as response:
        answer = await response.json()
    assert answer["outputs"][0]["data"] == [2, 4, 6, 8]
    counts = []
    for address in (ONE, OTHER):
        _, text = await fleet.get(address, "/metrics")
        counts.append(metrics.parse(text.decode(), ["resnet"], 99)["resnet"].success)
    assert counts == [1, 0]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v2/health/live", 200),
        ("/v2/health/ready", 200),
        ("/v2/models/resnet/ready", 200),
        ("/v2/models/other/ready", 400),
        ("/v2/models/resnet/stats", 200),
        ("/v2/models/other/stats", 400),
        ("/v2/models/stats", 200),
        ("/v2/models/resnet/config", 200),
        ("/v2/models/other/config", 404),
        ("/v2/elsewhere", 404),
    ],
)
async def test_answers_as_the_real_one(fleet: Fleet, path: str, status: int) -> None:
    assert (await fleet.get(ONE, path))[0] == status


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("empty", lambda status, body: status == 200 and body == b""),
        ("missing", lambda status, body: b'model="resnet"' not in body),
        ("nan", lambda status, body: b'version="1"} Nan' in body),
        ("infinite", lambda status, body: b'version="1"} +Inf' in body),
        ("truncated", lambda status, body: not body.endswith(b"\n")),
        ("error", lambda status, body: status == 500),
    ],
)
async def test_a_fault_spoils_one_pod_only(fleet: Fleet, fault: str, expected: Any) -> None:
    whole = (await fleet.get(OTHER, "/metrics"))[1]
    assert await fleet.change(one={"fault": fault}) == 204
    assert expected(*await fleet.get(ONE, "/metrics"))
    assert (await fleet.get(OTHER, "/metrics"))[1] == whole


async def test_counters_stand_still_below_zero_or_tenfold(fleet: Fleet) -> None:
    tensor = {"name": "X", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}

    async def counted(times: int) -> float:
        for _ in range(times):
            url = f"http://{ONE}:{fleet.http}/v2/models/resnet/infer"
            async with fleet.session.post(url, json={"inputs": [tensor]}) as response:
                assert response.status == 200
        text = (await fleet.get(ONE, "/metrics"))[1].decode()
        (line,) = (x for x in text.splitlines() if x.startswith("nv_inference_request_success{"))
        return float(line.split()[-1])

    assert await counted(2) == 2
    await fleet.change(one={"fault": "frozen"})
    assert [await counted(1), await counted(1)] == [2, 2]
    await fleet.change(one={"fault": "negative"})
    assert await counted(0) == -4
    await fleet.change(one={"fault": "lies"})
    assert await counted(0) == 40
    await fleet.change(one={"fault": "none"})
    assert await counted(1) == 5


async def test_a_hanging_pod_never_answers(fleet: Fleet) -> None:
    await fleet.change(one={"fault": "hang"})
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await fleet.get(ONE, "/metrics")
    assert (await fleet.get(ONE, "/v2/health/live"))[0] == 200


async def test_a_disconnecting_pod_resets(fleet: Fleet) -> None:
    await fleet.change(one={"fault": "disconnect", "fault_on": ["stats"]})
    with pytest.raises(aiohttp.ClientConnectionError):
        await fleet.get(ONE, "/v2/models/stats")
    assert (await fleet.get(ONE, "/metrics"))[0] == 200


async def test_a_wrong_change_is_refused_and_named(fleet: Fleet) -> None:
    url = f"http://127.0.0.1:{fleet.control}/pods"
    async with fleet.session.patch(url, data='{"*": {"fault": "fire"}}') as response:
        assert response.status == 400
        assert "fire" in (await response.json())["error"]
