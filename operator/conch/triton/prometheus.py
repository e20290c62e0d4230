"""The pods' counters from a Prometheus that scrapes them, for pods that cannot be looked at.

A service mesh with strict mTLS or a NetworkPolicy keeps the operator out, not the cluster's
Prometheus. Decides which of its samples are one look at one pod: all of one scrape, with the time
of that scrape, and never a series that is missing taken for zero. Prometheus has no statistics
per batch size: a coarse service curve is made from means.

Pods are told by the labels `namespace` and `pod`, as PodMonitors and the usual relabelling set
them. The API: https://prometheus.io/docs/prometheus/latest/querying/api/
"""

from __future__ import annotations

import asyncio
import math
import ssl
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, TypeVar

import aiohttp
import msgspec

from conch.errors import TritonError
from conch.triton import configuration, gpu_memory, metrics, waiting
from conch.triton.sample import FRESH_S, BatchStat, ModelCounters, PodSample

# Two scrapes of the longest period that is of use must fit.
_WINDOW_S: Final = 75
LONGEST_PERIOD_S: Final = 30.0
_LATE_S: Final = 5.0  # a scrape may be this late, and half a period
_SERIES_PER_QUERY: Final = 2000
_SERIES_PER_MODEL: Final = 24
_MAX_BODY_BYTES: Final = 16 * 1024 * 1024
_MAX_ERROR_CHARS: Final = 300
_CLOCK_S: Final = 60.0  # how long the difference between the clocks is believed
_ASKED_AT_ONCE: Final = 8
_FAMILIES: Final = (*metrics.FAMILIES, gpu_memory.FAMILY)
# What Triton itself puts on these series; every other label says who scraped them.
_TRITONS_OWN: Final = frozenset(
    {"__name__", "model", "version", "gpu_uuid", "reason", "quantile", "le"}
)


_T = TypeVar("_T")


class _Series(msgspec.Struct):
    metric: dict[str, str]
    values: list[tuple[float, str]]


class _Instant(msgspec.Struct):
    metric: dict[str, str]
    value: tuple[float, str]


class _Data(msgspec.Struct, rename="camel"):
    result_type: str
    result: msgspec.Raw


class _Answer(msgspec.Struct):
    status: str = ""
    data: _Data | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class Scrape:
    """The newest scrape of one pod: its time on Prometheus' clock, and how far apart they are."""

    at_s: float
    period_s: float | None  # None: only one was seen
    series: tuple[metrics.Series, ...]


def query(namespace: str, pods: Collection[str]) -> str:
    """Everything of these pods over the last moments, as PromQL.

    A range, not an instant: only that comes with the samples' own times.
    """
    names = "|".join(sorted(pods)).replace(".", r"\\.")
    return (
        f'{{__name__=~"{"|".join(_FAMILIES)}",namespace="{namespace}",pod=~"{names}"}}'
        f"[{_WINDOW_S}s]"
    )


def parse(body: bytes) -> dict[str, Scrape]:
    """The newest scrape by pod name. Raises TritonError when that is no answer of Prometheus.

    A pod that is scraped twice (two jobs, two Prometheus behind one address) is counted once: by
    the job that looked last. Series that this scrape lacks are gone, whatever older ones say.
    """
    found = _decoded(_result(body, "matrix"), list[_Series])
    by_job: dict[str, dict[tuple[tuple[str, str], ...], list[_Series]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for series in found:
        job = tuple(sorted((k, v) for k, v in series.metric.items() if k not in _TRITONS_OWN))
        if series.values:
            by_job[series.metric.get("pod", "")][job].append(series)
    return {pod: max(map(_newest, jobs.values()), key=_time) for pod, jobs in by_job.items()}


def _time(scrape: Scrape) -> float:
    return scrape.at_s


def _newest(job: list[_Series]) -> Scrape:
    times = sorted({at_s for series in job for at_s, _ in series.values})
    at_s = times[-1]
    return Scrape(
        at_s,
        at_s - times[-2] if len(times) > 1 else None,
        tuple(
            (series.metric.get("__name__", ""), series.metric, _number(series))
            for series in job
            if series.values[-1][0] == at_s
        ),
    )


def _number(series: _Series) -> float:
    return _float(series.values[-1][1])


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise TritonError(f"{text!r:.40} is not a number") from error


def _result(body: bytes, kind: str) -> msgspec.Raw:
    answer = _decoded(body, _Answer)
    if answer.status != "success" or answer.data is None:
        raise TritonError(" ".join(answer.error.split()) or "the query failed without a reason")
    if answer.data.result_type != kind:
        raise TritonError(f"the answer is a {answer.data.result_type:.20}, not a {kind}")
    return answer.data.result


def _decoded(body: bytes | msgspec.Raw, kind: type[_T]) -> _T:
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise TritonError(f"the answer cannot be read: {error}") from error


def sample(
    pod_uid: str,
    scrape: Scrape,
    clock_s: float,
    models: Collection[str],
    percentile: float,
    before: PodSample | None,
) -> PodSample:
    """One look at one pod. ``clock_s``: our clock's time when Prometheus' is zero.

    ``before`` is the last good look: batches since then are added to it.
    Raises TritonError when a counter is missing or cannot be right.
    """
    if scrape.period_s is not None and scrape.period_s > LONGEST_PERIOD_S:
        raise TritonError(
            f"it reads the pod every {scrape.period_s:.0f} s: more than {LONGEST_PERIOD_S:.0f} s "
            f"is of no use, set a shorter scrape interval for the Triton pods"
        )
    counters = metrics.from_series(scrape.series, models, percentile)
    old = before.models if before is not None else {}
    configs = before.configs if before is not None else None  # only the pod itself can tell
    at_s = clock_s + scrape.at_s
    elapsed_s = at_s - before.at_s if before is not None else 0.0
    waited = {
        name: waiting.streamed(
            old.get(name), replace(c, batches=batches(old.get(name), c)), elapsed_s, 0.0, percentile
        )
        for name, c in counters.items()
    }
    return PodSample(
        pod_uid,
        at_s,
        waiting.fold(waited, configuration.ensembles(configs)),
        configs=configs,
        fresh_s=max(FRESH_S, 1.5 * (scrape.period_s or 0.0) + _LATE_S),
        gpu_bytes=gpu_memory.from_series(scrape.series),
        second_hand=True,
    )


def batches(before: ModelCounters | None, after: ModelCounters) -> Mapping[int, BatchStat]:
    """``before``'s batches and those since, all taken as one size.

    Compute counters add a batch's whole time once per request: their mean over requests is the
    time of the batch that a request meets, which is larger than the mean batch m: by (m - 1) / m
    with Poisson company, by less when batches fill up. Half of that is taken, and rounded down: so
    full batches stay what they are, nothing is larger than what ran, and what is wrong errs on the
    slow side (24.10, batches of 1, 3 and 4: 9 % slow; with all of it 7 % fast).
    """
    if before is None or before.compute_s is None or after.compute_s is None:
        return {}  # looked at otherwise before: what is counted from here on is comparable
    executions = after.executions - before.executions
    inferences = after.inferences - before.inferences
    # Answers from the cache are requests without computing.
    requests = min(after.success - before.success, inferences)
    compute_s = after.compute_s - before.compute_s
    if min(executions, requests, compute_s) < 0:
        return {}  # the server restarted
    if min(executions, requests, compute_s) == 0:
        return before.batches
    mean = max(1.0, inferences / executions)
    size = math.floor(mean + (mean - 1) / (2 * mean))
    old = before.batches.get(size, BatchStat(0, 0.0))
    count = round(executions)
    new = BatchStat(old.count + count, old.compute_s + count * compute_s / requests)
    return {**before.batches, size: new}


class Prometheus:
    """A Prometheus API: bounded answers, no redirects, a token that is read anew when asked.

    ``url`` is the API's base, without `/api/v1`; it must hold no credentials, since it is named
    in errors.
    """

    def __init__(self, url: str, timeout_s: float, token_file: str = "", ca_file: str = "") -> None:
        self._url = f"{url.rstrip('/')}/api/v1/query"
        self._timeout_s = timeout_s
        self._token_file = token_file
        self._ssl = ssl.create_default_context(cafile=ca_file) if ca_file else True
        self._session: aiohttp.ClientSession | None = None
        self._places = asyncio.Semaphore(_ASKED_AT_ONCE)
        self._clock: tuple[float, float] | None = None  # our time minus its, and when measured

    async def look(
        self,
        namespace: str,
        pods: Mapping[str, str],
        models: Collection[str],
        percentile: float,
        now: Callable[[], float],
        before: Mapping[str, PodSample],
    ) -> tuple[PodSample, ...]:
        """One sample for each of ``pods`` (uid by name); never raises: see their ``error``."""
        names = sorted(pods)
        at_once = max(1, _SERIES_PER_QUERY // (_SERIES_PER_MODEL * max(1, len(models))))
        found: list[PodSample] = []
        for start in range(0, len(names), at_once):
            part = names[start : start + at_once]
            try:
                scrapes = parse(await self._ask(query(namespace, part)))
                clock_s = await self._difference_s(now)
            except TritonError as error:
                found += [_failed(pods[name], now(), str(error)) for name in part]
                continue
            for name in part:
                uid = pods[name]
                try:
                    if name not in scrapes:
                        raise TritonError(f"no series of pod {name} in the last {_WINDOW_S} s")
                    found.append(
                        sample(uid, scrapes[name], clock_s, models, percentile, before.get(uid))
                    )
                except TritonError as error:
                    found.append(_failed(uid, now(), str(error)))
        return tuple(found)

    async def vector(self, promql: str) -> list[tuple[dict[str, str], float]]:
        """Labels and value of each series that an instant query finds. Raises TritonError."""
        found = _decoded(_result(await self._ask(promql), "vector"), list[_Instant])
        return [(series.metric, _float(series.value[1])) for series in found]

    async def aclose(self) -> None:
        """End its connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _difference_s(self, now: Callable[[], float]) -> float:
        if self._clock is None or not 0 <= now() - self._clock[1] < _CLOCK_S:
            asked_s = now()
            body = await self._ask("time()")
            between_s = (asked_s + now()) / 2
            at_s, _ = _decoded(_result(body, "scalar"), tuple[float, str])
            self._clock = (between_s - at_s, now())
        return self._clock[0]

    async def _ask(self, promql: str) -> bytes:
        """The answer's body, which may be an error's. Raises TritonError when there is none."""
        limit = aiohttp.ClientTimeout(total=self._timeout_s)
        # POST: the names of many pods are longer than a URL may be.
        async with self._places:
            try:
                async with self._open().post(
                    self._url,
                    data={"query": promql, "timeout": f"{1e3 * self._timeout_s:.0f}ms"},  # no 1.5s
                    headers=self._headers(),
                    timeout=limit,
                    allow_redirects=False,
                    ssl=self._ssl,
                ) as response:
                    body = bytearray()
                    async for chunk in response.content.iter_chunked(65536):
                        body += chunk
                        if len(body) > _MAX_BODY_BYTES:
                            raise TritonError(f"it sent more than {_MAX_BODY_BYTES >> 20} MiB")
                    if response.status not in (200, 400, 422, 503):  # those carry a reason
                        raise TritonError(f"{self._url} answered HTTP {response.status}")
                    return bytes(body)
            except TimeoutError as error:
                raise TritonError(
                    f"{self._url} did not answer within {self._timeout_s:g} s"
                ) from error
            except (aiohttp.ClientError, OSError) as error:
                raise TritonError(f"{self._url}: {error or type(error).__name__}") from error

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar())
        return self._session

    def _headers(self) -> dict[str, str]:
        if not self._token_file:
            return {}
        try:  # each time: the kubelet renews it
            token = Path(self._token_file).read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise TritonError(f"its token cannot be read: {error}") from error
        if not token.isprintable():
            raise TritonError(f"{self._token_file} holds no token")
        return {"Authorization": f"Bearer {token}"}


def _failed(pod_uid: str, at_s: float, error: str) -> PodSample:
    return PodSample(pod_uid, at_s, {}, f"Prometheus: {error}"[:_MAX_ERROR_CHARS])
