import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from aiohttp import web

from conch.api import names
from conch.triton import scrape as module
from conch.triton.configuration import ModelConfig
from conch.triton.sample import PodSample
from conch.triton.scrape import scrape

DATA = Path(__file__).parent / "data"
METRICS = (DATA / "24.10-busy.metrics.txt").read_bytes()
STATS = (DATA / "24.10-busy.stats.json").read_bytes()

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Triton:
    """A server on loopback that gives what the test wants, on both ports of a pod."""

    def __init__(self) -> None:
        self.metrics = METRICS
        self.stats = STATS
        self.configs: dict[str, bytes] = {}
        self.status = 200
        self.hang = asyncio.Event()
        self.hang.set()
        self.connection_headers: list[str | None] = []
        self.paths: list[str] = []

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        self.connection_headers.append(request.headers.get("Connection"))
        self.paths.append(request.path)
        if request.path == "/metrics":
            return web.Response(body=self.metrics, status=self.status)
        await self.hang.wait()
        if request.path.endswith("/config"):
            return web.Response(body=self.configs.get(request.path.split("/")[3], b"{}"))
        return web.Response(body=self.stats)


@pytest.fixture
async def triton(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Triton]:
    server = Triton()
    runner = web.ServerRunner(web.Server(server), shutdown_timeout=0.1)
    await runner.setup()
    ports = []
    for _ in range(2):
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        ports.append(runner.addresses[-1][1])
    monkeypatch.setattr(names, "PORT_METRICS", ports[0])
    monkeypatch.setattr(names, "PORT_HTTP", ports[1])
    yield server
    server.hang.set()
    await runner.cleanup()


async def look(ip: str = "127.0.0.1") -> PodSample:
    return await scrape("uid-1", ip, ["resnet"], 99, 0.5, lambda: 12.5)


async def test_a_good_pod(triton: Triton) -> None:
    sample = await look()
    assert (sample.pod, sample.at_s, sample.error) == ("uid-1", 12.5, "")
    assert sample.models["resnet"].pending == 32
    assert sample.models["resnet"].batches[4].count == 10


async def test_a_look_is_as_old_as_its_counters(triton: Triton) -> None:
    clock = iter([10.0, 11.0, 30.0])
    sample = await scrape("uid-1", "127.0.0.1", ["resnet"], 99, 0.5, lambda: next(clock))
    assert sample.at_s == 10.5
    assert next(clock) == 30.0, "not when the statistics were read"


async def test_meters_of_its_gpus(triton: Triton) -> None:
    assert (await look()).gpus == {}
    triton.metrics = METRICS + b'nv_gpu_power_usage{gpu_uuid="GPU-1"} 61.5\n'
    assert (await look()).gpus["GPU-1"].power_w == 61.5


async def test_memory_of_its_gpus_is_known_while_it_is_idle(triton: Triton) -> None:
    used = b'nv_gpu_memory_used_bytes{gpu_uuid="GPU-1"} 5000\n'
    triton.metrics = QUIET + used
    triton.stats = STATS.replace(
        b'"memory_usage":[]', b'"memory_usage":[{"type":"GPU","id":0,"byte_size":4000}]'
    )
    sample = await look()
    assert sample.gpu_bytes == {"GPU-1": 5000}
    assert sample.model_bytes == {"resnet": 4000}
    triton.paths.clear()
    sample = await again(sample, 14.0)
    assert triton.paths == ["/metrics"]
    assert (sample.gpu_bytes, sample.model_bytes) == ({"GPU-1": 5000}, {"resnet": 4000})


async def test_no_connection_is_kept(triton: Triton) -> None:
    await look()
    assert set(triton.connection_headers) == {"close"}


@pytest.mark.parametrize(
    ("attribute", "value", "error"),
    [
        ("status", 500, "answered HTTP 500"),
        ("metrics", b"", "no nv_inference_request_success of model resnet"),
        ("metrics", METRICS.replace(b"} 45", b"} Nan"), "is nan"),
        ("metrics", b"\xff\xfe\x00", "no nv_inference"),
        ("metrics", METRICS * 1000, "more than 4 MiB"),
        ("stats", b"{", "statistics cannot be read"),
    ],
)
async def test_a_bad_answer_is_an_error_in_the_sample(
    triton: Triton, attribute: str, value: object, error: str
) -> None:
    setattr(triton, attribute, value)
    sample = await look()
    assert error in sample.error
    assert not sample.models


async def again(before: PodSample, at_s: float) -> PodSample:
    return await scrape("uid-1", "127.0.0.1", ["resnet"], 99, 0.5, lambda: at_s, before)


QUIET = METRICS.replace(b"} 32", b"} 0")


async def test_a_pod_that_did_nothing_since_is_asked_for_its_metrics_only(triton: Triton) -> None:
    triton.metrics = QUIET
    before = await look()
    triton.paths.clear()
    sample = await again(before, 14.5)
    assert triton.paths == ["/metrics"]
    assert (sample.at_s, sample.models) == (14.5, before.models)


@pytest.mark.parametrize(
    ("metrics", "at_s"),
    [
        (METRICS, 14.5),  # requests are pending
        (
            QUIET.replace(
                b'success{model="resnet",version="1"} 45', b'success{model="resnet",version="1"} 46'
            ),
            14.5,
        ),
        (QUIET, 20.5),  # that its HTTP port answers was shown too long ago
    ],
)
async def test_statistics_are_read_when_they_may_be_new(
    triton: Triton, metrics: bytes, at_s: float
) -> None:
    triton.metrics = QUIET
    before = await look()
    triton.paths.clear()
    triton.metrics = metrics
    await again(before, at_s)
    assert triton.paths == ["/metrics", "/v2/models/stats"]


@pytest.mark.slow
async def test_a_hanging_http_port_is_an_error_although_metrics_answer(triton: Triton) -> None:
    triton.hang.clear()
    sample = await look()
    assert "did not answer within 0.5 s" in sample.error


async def test_nobody_listens(triton: Triton) -> None:
    sample = await look("127.0.0.2")
    assert "127.0.0.2" in sample.error
    assert len(sample.error) <= module.MAX_ERROR_CHARS


async def test_cancelling_ends_the_scrape(triton: Triton) -> None:
    triton.hang.clear()
    task = asyncio.create_task(look())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


MEMBERS = ["pipe", "pre", "net"]


async def look_at_ensemble(before: PodSample | None = None) -> PodSample:
    return await scrape("uid-1", "127.0.0.1", MEMBERS, 99, 0.5, lambda: 12.5, before)


@pytest.fixture
def ensemble(triton: Triton) -> Triton:
    triton.metrics = (DATA / "24.10-ensemble.metrics.txt").read_bytes()
    triton.stats = (DATA / "24.10-ensemble.stats.json").read_bytes()
    triton.configs["pipe"] = (DATA / "24.10-ensemble.config.json").read_bytes()
    return triton


async def test_members_stand_for_their_ensemble(ensemble: Triton) -> None:
    sample = await look_at_ensemble()
    assert sample.error == ""
    assert sample.models.keys() == {"pre", "net"}
    assert sample.models["net"].batches[3].count > 0
    assert sample.models["pre"].latency_s == sample.models["net"].latency_s
    assert sample.models["pre"].beside_s > 0.05


async def test_configurations_are_read_once_per_pod(ensemble: Triton) -> None:
    before = await look_at_ensemble()
    assert ensemble.paths.count("/v2/models/pipe/config") == 1
    ensemble.paths.clear()
    sample = await look_at_ensemble(before)
    assert ensemble.paths == ["/metrics"]  # nothing was done since
    assert sample == before


async def test_what_a_pod_runs_is_known_from_its_first_look(triton: Triton) -> None:
    triton.configs["resnet"] = (DATA / "24.10-batching.config.json").read_bytes()
    sample = await look()
    assert sample.configs == {"resnet": ModelConfig((), 4, 1, 0.002)}


async def test_among_several_models_a_configuration_that_cannot_be_read_is_an_error(
    ensemble: Triton,
) -> None:
    ensemble.configs["net"] = b"<html>"
    sample = await look_at_ensemble()
    assert "configuration cannot be read" in sample.error
    ensemble.configs.clear()
    sample = await look_at_ensemble(sample)
    assert sample.models.keys() == {"pipe", "pre", "net"}


async def test_a_model_alone_is_asked_for_its_configuration_again_in_time(triton: Triton) -> None:
    triton.metrics = QUIET
    triton.configs["resnet"] = b"<html>"
    before = await look()
    assert (before.error, before.configs) == ("", None)
    triton.paths.clear()
    before = await again(before, 14.5)
    assert triton.paths == ["/metrics"]
    triton.configs.clear()
    sample = await again(before, 20.5)
    assert triton.paths == ["/metrics", "/metrics", "/v2/models/stats", "/v2/models/resnet/config"]
    assert sample.configs == {"resnet": ModelConfig(max_batch=1)}


async def test_a_pod_out_of_reach_is_told_from_one_that_talks_nonsense(triton: Triton) -> None:
    triton.metrics = b""
    assert not (await look()).unreachable
    assert (await look("127.0.0.2")).unreachable
    triton.status = 503
    assert (await look()).unreachable
