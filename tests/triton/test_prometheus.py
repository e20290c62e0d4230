"""Counters through Prometheus' API: which samples are one look, and what is refused."""

from __future__ import annotations

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from conch.errors import TritonError
from conch.triton import metrics, prometheus
from conch.triton.prometheus import Prometheus, batches, parse, query
from conch.triton.sample import BatchStat, ModelCounters, PodSample

TEXT = (Path(__file__).parent / "data" / "24.10-busy.metrics.txt").read_text()
LINE = re.compile(r"^(nv_inference_\w+)\{(.*)\} (\S+)$", re.MULTILINE)
SERVER_S = 1_000_000.0  # the server's clock; ours says something else
JOB = {"job": "triton", "instance": "10.0.0.1:8002"}


def series(
    pod: str = "web-1",
    times: tuple[float, ...] = (SERVER_S - 17, SERVER_S - 2),
    job: Mapping[str, str] = JOB,
    text: str = TEXT,
) -> list[dict[str, Any]]:
    """What a Prometheus that has scraped ``text`` gives for a range."""
    wanted = set(metrics.FAMILIES)
    return [
        {
            "metric": {
                "__name__": family,
                "namespace": "default",
                "pod": pod,
                **job,
                **dict(re.findall(r'(\w+)="([^"]*)"', labels)),
            },
            "values": [[at_s, value] for at_s in times],
        }
        for family, labels, value in LINE.findall(text)
        if family in wanted
    ]


def answer(result: Any, kind: str = "matrix") -> bytes:
    return json.dumps(
        {"status": "success", "data": {"resultType": kind, "result": result}}
    ).encode()


class Server:
    """Speaks the documented API: POST /api/v1/query with a form."""

    def __init__(self) -> None:
        self.body: bytes = answer(series())
        self.status = 200
        self.url = ""
        self.queries: list[str] = []
        self.authorization: list[str | None] = []
        self.hang = asyncio.Event()
        self.hang.set()

    async def __call__(self, request: web.BaseRequest) -> web.Response:
        assert request.path == "/prom/api/v1/query"
        form = await request.post()
        # A real one (2.42) refuses fractions of seconds: "cannot parse "1.5s" to a valid duration".
        assert re.fullmatch(r"[0-9]+ms", str(form["timeout"]))
        self.queries.append(str(form["query"]))
        self.authorization.append(request.headers.get("Authorization"))
        await self.hang.wait()
        if form["query"] == "time()":
            return web.Response(body=answer([SERVER_S, str(SERVER_S)], "scalar"))
        return web.Response(body=self.body, status=self.status)


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    served = Server()
    runner = web.ServerRunner(web.Server(served), shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    served.url = f"http://127.0.0.1:{runner.addresses[0][1]}/prom"
    yield served
    served.hang.set()
    await runner.cleanup()


@pytest.fixture
async def client(server: Server) -> AsyncIterator[Prometheus]:
    opened = Prometheus(server.url + "/", 0.5)
    yield opened
    await opened.aclose()


async def look(
    client: Prometheus, before: Mapping[str, PodSample] | None = None, pods: str = "web-1"
) -> PodSample:
    named = {pod: f"uid-{pod}" for pod in pods.split()}
    return (await client.look("default", named, ["resnet"], 99, lambda: 50.0, before or {}))[0]


async def test_the_counters_of_the_pod_at_the_time_of_the_scrape(
    server: Server, client: Prometheus
) -> None:
    sample = await look(client)
    assert sample.error == ""
    assert (sample.pod, sample.at_s) == ("uid-web-1", 48.0)  # scraped two seconds ago
    direct = metrics.parse(TEXT, ["resnet"], 99)["resnet"]
    assert replace(sample.models["resnet"], compute_s=None) == direct
    assert sample.models["resnet"].compute_s == pytest.approx(3.64611)
    assert sample.fresh_s == pytest.approx(1.5 * 15 + 5)


async def test_the_memory_of_its_gpus_comes_along(server: Server, client: Prometheus) -> None:
    family = "nv_gpu_memory_used_bytes"
    labels = {"__name__": family, "namespace": "default", "pod": "web-1", **JOB, "gpu_uuid": "G1"}
    values = [[SERVER_S - 17, "1"], [SERVER_S - 2, "9e9"]]
    server.body = answer([*series(), {"metric": labels, "values": values}])
    sample = await look(client)
    assert (sample.error, sample.gpu_bytes, sample.second_hand) == ("", {"G1": 9 * 10**9}, True)
    assert family in query("default", ["web-1"])


async def test_the_clock_is_asked_once_a_minute(server: Server, client: Prometheus) -> None:
    await look(client)
    await look(client)
    assert server.queries.count("time()") == 1


def test_the_query_names_the_pods_exactly() -> None:
    asked = query("default", ["web-1", "a.b"])
    assert 'namespace="default",pod=~"a\\\\.b|web-1"' in asked
    assert asked.endswith("[75s]")


async def test_two_jobs_that_scrape_a_pod_are_counted_once(
    server: Server, client: Prometheus
) -> None:
    other = {"job": "annotated", "instance": "web-1"}
    server.body = answer(series() + series(job=other, times=(SERVER_S - 20, SERVER_S - 5)))
    sample = await look(client)
    assert sample.models["resnet"].success == 45
    assert sample.at_s == 48.0


async def test_a_series_the_last_scrape_lacks_is_missing_and_not_zero(
    server: Server, client: Prometheus
) -> None:
    found = series()
    for one in found:
        if one["metric"]["__name__"] == "nv_inference_count":
            one["values"].pop()
    server.body = answer(found)
    sample = await look(client)
    assert "no nv_inference_count of model resnet" in sample.error
    assert not sample.models


async def test_a_pod_without_series_is_an_error_beside_a_good_one(
    server: Server, client: Prometheus
) -> None:
    pods = {"web-1": "uid-1", "web-2": "uid-2"}
    good, bad = await client.look("default", pods, ["resnet"], 99, lambda: 50.0, {})
    assert (good.error, bad.error) == (
        "",
        "Prometheus: no series of pod web-2 in the last 75 s",
    )


async def test_scrapes_too_far_apart_are_of_no_use(server: Server, client: Prometheus) -> None:
    server.body = answer(series(times=(SERVER_S - 62, SERVER_S - 2)))
    assert "reads the pod every 60 s" in (await look(client)).error


@pytest.mark.parametrize("value", ["NaN", "+Inf", "-1", "many"])
async def test_an_impossible_value_is_an_error(
    server: Server, client: Prometheus, value: str
) -> None:
    found = series()
    next(s for s in found if s["metric"]["__name__"] == "nv_inference_count")["values"][-1][1] = (
        value
    )
    server.body = answer(found)
    sample = await look(client)
    assert sample.error.startswith("Prometheus: ")
    assert not sample.models


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (502, b"", "answered HTTP 502"),
        (302, b"", "answered HTTP 302"),
        (401, b"", "answered HTTP 401"),
        (503, b'{"status":"error","error":"query timed out\\nin here"}', "query timed out in here"),
        (400, b"<html>", "cannot be read"),
        pytest.param(200, b'{"data":' + 100_000 * b"[", "cannot be read", id="deep"),
        (200, b"{}", "failed without a reason"),
        (200, answer([], "vector"), "is a vector, not a matrix"),
        (200, answer([{"metric": {}}]), "cannot be read"),
        (200, answer([]), "no series of pod web-1"),
    ],
)
async def test_a_bad_answer_is_an_error_in_the_sample(
    server: Server, client: Prometheus, status: int, body: bytes, error: str
) -> None:
    server.status, server.body = status, body
    sample = await look(client)
    assert error in sample.error
    assert not sample.models


async def test_an_endless_answer_is_cut_off(
    server: Server, client: Prometheus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prometheus, "_MAX_BODY_BYTES", 1 << 20)
    server.body = b" " * (2 << 20)
    assert "more than 1 MiB" in (await look(client)).error


@pytest.mark.slow
async def test_one_that_hangs_is_given_up(server: Server, client: Prometheus) -> None:
    server.hang.clear()
    assert "did not answer within 0.5 s" in (await look(client)).error


async def test_nobody_listens() -> None:
    client = Prometheus("http://127.0.0.2:1", 0.5)
    sample = await look(client)
    await client.aclose()
    assert "127.0.0.2" in sample.error


async def test_the_token_is_read_anew(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "token"
    client = Prometheus(server.url, 0.5, token_file=str(file))
    assert "token cannot be read" in (await look(client)).error
    file.write_text("first\n")
    await look(client)
    file.write_text("second\n")
    await look(client)
    await client.aclose()
    assert server.authorization == ["Bearer first", "Bearer first", "Bearer second"]


async def test_many_pods_are_asked_for_in_parts(
    server: Server, client: Prometheus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prometheus, "_SERIES_PER_QUERY", 48)
    server.body = answer(series("a") + series("b") + series("c"))
    pods = {name: name for name in "abc"}
    found = await client.look("default", pods, ["resnet"], 99, lambda: 50.0, {})
    assert [s.error for s in found] == ["", "", ""]
    assert [q for q in server.queries if 'pod=~"a|b"' in q]
    assert [q for q in server.queries if 'pod=~"c"' in q]


@given(st.integers(0, len(answer(series()))), st.binary(max_size=8))
def test_a_damaged_answer_never_escapes_as_another_error(at: int, noise: bytes) -> None:
    whole = answer(series())
    try:
        parse(whole[:at] + noise + whole[at + 1 :])
    except TritonError:
        pass


# --- the coarse curve -----------------------------------------------------------------------------


def counters(
    sizes: Mapping[int, int], base_s: float = 0.04, each_s: float = 0.01, request_batch: int = 1
) -> ModelCounters:
    """What Triton counts when so many batches of each size (in requests) have run."""
    requests = sum(size * count for size, count in sizes.items())
    compute_s = sum(
        size * count * (base_s + each_s * size * request_batch) for size, count in sizes.items()
    )
    return ModelCounters(
        success=requests,
        failure=0,
        inferences=requests * request_batch,
        executions=sum(sizes.values()),
        request_s=compute_s,
        queue_s=0,
        pending=0,
        compute_s=compute_s,
    )


NOTHING = counters({})


def test_full_batches_are_seen_as_they_are() -> None:
    assert batches(NOTHING, counters({4: 10})) == {4: BatchStat(10, pytest.approx(0.8))}


def test_single_requests_are_seen_as_they_are() -> None:
    assert batches(NOTHING, counters({1: 10})) == {1: BatchStat(10, pytest.approx(0.5))}


def test_mixed_batches_give_a_time_near_that_of_their_size() -> None:
    # one and Poisson company of mean 3
    mixed = {1: 50, 2: 149, 3: 224, 4: 224, 5: 168, 6: 101, 7: 50, 8: 34}
    ((size, stat),) = batches(NOTHING, counters(mixed)).items()
    assert size == 4
    assert stat.compute_s / stat.count == pytest.approx(0.04 + 0.01 * size, rel=0.1)


@given(st.dictionaries(st.integers(1, 16), st.integers(1, 100), min_size=1))
def test_never_larger_than_what_ran(sizes: dict[int, int]) -> None:
    ((size, stat),) = batches(NOTHING, counters(sizes)).items()
    assert min(sizes) <= size <= max(sizes)
    assert stat.count == sum(sizes.values())
    assert 0.05 - 1e-9 <= stat.compute_s / stat.count <= 0.04 + 0.01 * max(sizes) + 1e-9


def test_what_is_wrong_errs_on_the_slow_side() -> None:
    """As 24.10 ran them: nine batches of three, eight of four, one of one."""
    ((size, stat),) = batches(NOTHING, counters({1: 1, 3: 9, 4: 8})).items()
    assert size == 3
    assert 0.07 <= stat.compute_s / stat.count <= 1.1 * 0.07


def test_looks_add_up() -> None:
    first = counters({4: 10})
    first = replace(first, batches=batches(NOTHING, first))
    found = batches(first, counters({4: 10, 1: 10}))
    assert {size: stat.count for size, stat in found.items()} == {4: 10, 1: 10}
    assert batches(first, first) == first.batches


@pytest.mark.parametrize(
    "before", [None, replace(NOTHING, compute_s=None), counters({4: 99}), counters({1: 5, 8: 9})]
)
def test_nothing_is_made_of_a_first_look_or_a_restart(before: ModelCounters | None) -> None:
    assert batches(before, counters({4: 10})) == {}


def test_answers_from_the_cache_are_no_computing() -> None:
    cached = replace(counters({4: 10}), success=1000.0)
    assert batches(NOTHING, cached)[4].compute_s == pytest.approx(0.8)


def test_requests_that_are_batches_themselves() -> None:
    ((size, stat),) = batches(NOTHING, counters({2: 10}, request_batch=4)).items()
    assert size == 8
    assert stat.compute_s / stat.count == pytest.approx(0.12)


async def test_an_instant_query(server: Server, client: Prometheus) -> None:
    found = [{"metric": {"UUID": "GPU-1"}, "value": [SERVER_S, "61.5"]}]
    server.body = answer(found, "vector")
    assert await client.vector("DCGM_FI_DEV_POWER_USAGE") == [({"UUID": "GPU-1"}, 61.5)]
    assert server.queries == ["DCGM_FI_DEV_POWER_USAGE"]
    server.body = answer([{"metric": {}, "value": [SERVER_S, "watts"]}], "vector")
    with pytest.raises(TritonError, match="'watts' is not a number"):
        await client.vector("x")
    server.body = answer([], "matrix")
    with pytest.raises(TritonError, match="not a vector"):
        await client.vector("x")


def test_reading_a_large_answer_is_quick() -> None:
    body = answer([s for n in range(100) for s in series(f"web-{n}", tuple(range(38)))])
    started = time.perf_counter()
    assert len(parse(body)) == 100
    assert time.perf_counter() - started < 1
