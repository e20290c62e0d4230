"""One look at one Triton pod: its metrics, and its per-batch statistics when it has worked.

Decides only whether the pod gave something usable; what it means is the autoscaler's. Never
raises (but for cancellation): what went wrong is the sample's ``error``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from typing import Final
from urllib.parse import quote

from conch.api import names
from conch.errors import TritonError
from conch.triton import configuration, gpu_memory, http, metrics, power, statistics, waiting
from conch.triton.configuration import ModelConfig
from conch.triton.sample import ModelCounters, PodSample

MAX_ERROR_CHARS: Final = 300
# A pod without requests is asked for its statistics this often: that its HTTP port answers.
IDLE_PROOF_S: Final = 10.0


async def scrape(
    pod_uid: str,
    ip: str,
    models: Collection[str],
    percentile: float,
    timeout_s: float,
    now: Callable[[], float],
    before: PodSample | None = None,
) -> PodSample:
    """What the pod at ``ip`` says about ``models``, at the time of its counters.

    ``before`` is the last good look: while nothing was executed since, its statistics still hold.
    They are asked for again in time, since a pod whose metrics port answers while its HTTP port
    hangs serves nobody, and its zero traffic must not be taken for no demand.
    """
    asked_s = now()
    try:
        text = await http.get(ip, names.PORT_METRICS, "/metrics", timeout_s)
    except TritonError as error:
        return PodSample(pod_uid, now(), {}, str(error)[:MAX_ERROR_CHARS], unreachable=True)
    # Rates are made of differences between looks: what we were slow to read is not to stretch or
    # squeeze them, and how long the statistics take even less.
    at_s = (asked_s + now()) / 2
    try:
        counters = metrics.parse(text.decode("utf-8", "replace"), models, percentile)
        proven = before is not None and before.at_s // IDLE_PROOF_S == at_s // IDLE_PROOF_S
        if before is not None and proven and _nothing_done(before, counters):
            found = {name: _known(c) for name, c in before.models.items()}
            model_bytes = before.model_bytes
        else:
            body = await http.get(ip, names.PORT_HTTP, "/v2/models/stats", timeout_s)
            found = dict(statistics.read(body, models))
            model_bytes = {name: f.gpu_bytes for name, f in found.items() if f.gpu_bytes}
        configs = before.configs if before is not None else None
        if configs is None and not (proven and len(models) == 1):
            configs = await _configs(ip, models, timeout_s)
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
        waiting.fold(waited, configuration.ensembles(configs)),
        configs=configs,
        gpus=power.read(text),
        gpu_bytes=gpu_memory.read(text),
        model_bytes=model_bytes,
    )


def _known(before: ModelCounters) -> statistics.ModelStatistics:
    return statistics.ModelStatistics(before.batches, max(0.0, -before.beside_s))


async def _configs(
    ip: str, models: Collection[str], timeout_s: float
) -> dict[str, ModelConfig] | None:
    """What the pod runs: asked once. None: it doesn't tell, and is asked again in time.

    Raises TritonError when that matters: among several models there may be an ensemble, whose
    counters are its members'.
    """
    try:
        found = {}
        for name in models:
            path = f"/v2/models/{quote(name, safe='')}/config"
            found[name] = configuration.parse(await http.get(ip, names.PORT_HTTP, path, timeout_s))
        return found
    except TritonError:
        if len(models) > 1:
            raise
        return None


def _nothing_done(before: PodSample, counters: Mapping[str, ModelCounters]) -> bool:
    """Whether no model has ended or holds a request since."""
    members = configuration.ensembles(before.configs)
    return counters.keys() == before.models.keys() | members.keys() and all(
        not c.pending
        and (c.executions, c.success, c.failure) == (old.executions, old.success, old.failure)
        for old, c in ((old, counters[name]) for name, old in before.models.items())
    )
