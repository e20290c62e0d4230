"""One look at one Triton pod: its metrics, and its per-batch statistics when it has worked.

Decides only whether the pod gave something usable; what it means is the autoscaler's. Never
raises (but for cancellation): what went wrong is the sample's ``error``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Final
from urllib.parse import quote

import aiohttp

from conch.api import names
from conch.errors import TritonError
from conch.triton import metrics, power, statistics, waiting
from conch.triton.sample import ModelCounters, PodSample

MAX_BODY_BYTES: Final = 4 * 1024 * 1024
MAX_ERROR_CHARS: Final = 300
# A pod without requests is asked for its statistics this often: that its HTTP port answers.
IDLE_PROOF_S: Final = 10.0


def open_session(connections: int = 64) -> aiohttp.ClientSession:
    """The one session for all pods; the caller closes it.

    Connections are not kept: an idle keep-alive connection holds a terminating Triton for its
    whole exit timeout (measured on 24.10). No proxy and no cookies: pods are addressed directly.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=connections, force_close=True),
        cookie_jar=aiohttp.DummyCookieJar(),
    )


async def scrape(
    session: aiohttp.ClientSession,
    pod_uid: str,
    ip: str,
    models: Collection[str],
    percentile: float,
    timeout_s: float,
    now: Callable[[], float],
    before: PodSample | None = None,
) -> PodSample:
    """What the pod at ``ip`` says about ``models``; ``now`` is read when its answers are in.

    ``before`` is the last good look: while nothing was executed since, its statistics still hold.
    They are asked for again in time, since a pod whose metrics port answers while its HTTP port
    hangs serves nobody, and its zero traffic must not be taken for no demand.
    """
    host = f"[{ip}]" if ":" in ip else ip
    text = await _get(session, f"http://{host}:{names.PORT_METRICS}/metrics", timeout_s)
    if isinstance(text, TritonError):
        return PodSample(pod_uid, now(), {}, str(text)[:MAX_ERROR_CHARS], unreachable=True)
    at_s = now()
    try:
        counters = metrics.parse(text.decode("utf-8", "replace"), models, percentile)
        ensembles = before.ensembles if before is not None else None
        if ensembles is None:
            ensembles = await _ensembles(session, host, models, timeout_s)
        if before is not None and _nothing_done(before, counters, at_s):
            found = {name: _known(c) for name, c in before.models.items()}
        else:
            url = f"http://{host}:{names.PORT_HTTP}/v2/models/stats"
            found = dict(statistics.read(_body(await _get(session, url, timeout_s)), models))
            at_s = now()
    except TritonError as error:
        return PodSample(pod_uid, now(), {}, str(error)[:MAX_ERROR_CHARS])
    old = before.models if before is not None else {}
    elapsed_s = at_s - before.at_s if before is not None else 0.0
    nothing = statistics.ModelStatistics({})  # of an ensemble, which is folded away
    waited = {
        name: waiting.streamed(
            old.get(name),
            replace(c, batches=found.get(name, nothing).batches),
            elapsed_s,
            found.get(name, nothing).tail_s,
            percentile,
        )
        for name, c in counters.items()
    }
    return PodSample(
        pod_uid,
        at_s,
        waiting.fold(waited, ensembles or {}),
        ensembles=ensembles,
        gpus=power.read(text),
    )


def _known(before: ModelCounters) -> statistics.ModelStatistics:
    return statistics.ModelStatistics(before.batches, max(0.0, -before.beside_s))


async def _ensembles(
    session: aiohttp.ClientSession, host: str, models: Collection[str], timeout_s: float
) -> dict[str, tuple[str, ...]] | None:
    """Which of the models are ensembles, and of which; None: ask again at the next look.

    Asked once per pod, and only where there can be one: a model alone calls no other.
    """
    if len(models) < 2:
        return {}
    found = {}
    for name in models:
        url = f"http://{host}:{names.PORT_HTTP}/v2/models/{quote(name, safe='')}/config"
        answer = await _get(session, url, timeout_s)
        if isinstance(answer, TritonError):
            return None
        if called := waiting.members(answer):
            found[name] = called
    return found


def _nothing_done(before: PodSample, counters: Mapping[str, ModelCounters], at_s: float) -> bool:
    """Whether no model has ended or holds a request since, and the last proof is young enough."""
    return (
        before.at_s // IDLE_PROOF_S == at_s // IDLE_PROOF_S
        and before.ensembles is not None
        and counters.keys() == before.models.keys() | before.ensembles.keys()
        and all(
            not c.pending
            and (c.executions, c.success, c.failure) == (old.executions, old.success, old.failure)
            for old, c in ((old, counters[name]) for name, old in before.models.items())
        )
    )


async def _get(session: aiohttp.ClientSession, url: str, timeout_s: float) -> bytes | TritonError:
    """The body of a 200 answer, or why there is none."""
    limit = aiohttp.ClientTimeout(total=timeout_s)
    try:
        async with session.get(url, timeout=limit, allow_redirects=False) as response:
            if response.status != 200:
                return TritonError(f"{url} answered HTTP {response.status}")
            body = bytearray()
            async for chunk in response.content.iter_chunked(65536):
                body += chunk
                if len(body) > MAX_BODY_BYTES:
                    return TritonError(f"{url} sent more than {MAX_BODY_BYTES >> 20} MiB")
            return bytes(body)
    except TimeoutError:
        return TritonError(f"{url} did not answer within {timeout_s:g} s")
    except (aiohttp.ClientError, OSError) as error:
        return TritonError(f"{url}: {error or type(error).__name__}")


def _body(answer: bytes | TritonError) -> bytes:
    if isinstance(answer, TritonError):
        raise answer
    return answer
