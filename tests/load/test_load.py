"""The load is what it says: open loop, bounded, and honest about lateness and failures."""

from __future__ import annotations

import asyncio
import json

import pytest
from aiohttp import web

from e2e.load.__main__ import percentile_ms, run
from e2e.load.arrivals import Phase, arrivals, parse
from e2e.load.clients import HttpClient


def test_arrivals_are_poisson_ordered_and_repeatable() -> None:
    phases = parse("100x50,0x5,10x50")
    events = list(arrivals(phases, seed=7))
    assert events == list(arrivals(phases, seed=7))
    assert events == sorted(events)
    first = [at for at, phase in events if phase == 0]
    assert len(first) == pytest.approx(5000, rel=0.06)
    assert not [1 for _, phase in events if phase == 1]
    assert all(55 <= at < 105 for at, phase in events if phase == 2)


@pytest.mark.parametrize("text", ["", "20", "x", "-1x5", "5x0", "1e9x3600", "1x9999"])
def test_absurd_loads_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"RATE|rate|more than"):
        parse(text)


def test_percentiles_by_nearest_rank() -> None:
    assert percentile_ms([i / 1000 for i in range(1, 101)], 99) == 99
    assert percentile_ms([0.001], 50) == 1
    assert percentile_ms([], 99) is None


@pytest.mark.slow
async def test_open_loop_counts_lateness_and_failures(capsys: pytest.CaptureFixture[str]) -> None:
    calls = 0

    async def infer(_: web.Request) -> web.Response:
        nonlocal calls
        calls += 1
        if calls % 10 == 0:
            return web.Response(status=500)
        await asyncio.sleep(0.05)
        return web.json_response({})

    app = web.Application()
    app.add_routes([web.post("/v2/models/m/infer", infer)])
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    client = HttpClient(f"http://127.0.0.1:{port}", "m", keep_s=0.2)
    result = await run(client, [Phase(100, 1.0)], target_s=0.04, every_s=0.3, seed=1)
    await runner.cleanup()
    summary = result["summary"]
    assert isinstance(summary, dict)
    assert summary["sent"] == calls
    assert summary["failed"] == calls // 10
    assert summary["answered"] + summary["failed"] == summary["sent"]
    assert summary["p50_ms"] >= 50
    assert summary["share"] == 0, "every answer took longer than the target"
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert sum(line["sent"] for line in lines) == calls
