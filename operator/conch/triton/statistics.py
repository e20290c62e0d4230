"""``GET /v2/models/stats`` → executions per batch size.

``batch_stats`` counts every execution once, with the time of the whole batch: the service curve
can be learned from it exactly (the ``compute_*`` counters of the metrics add the batch's time once
per *request*). `response_stats` has, of models that stream, the time of each response by its place.
Pure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Annotated

import msgspec

from conch.errors import TritonError
from conch.triton.sample import BatchStat

_Count = Annotated[int, msgspec.Meta(ge=0)]


class _Duration(msgspec.Struct):
    count: _Count = 0
    ns: _Count = 0


class _Batch(msgspec.Struct):
    batch_size: Annotated[int, msgspec.Meta(ge=1)]
    compute_input: _Duration = msgspec.field(default_factory=_Duration)
    compute_infer: _Duration = msgspec.field(default_factory=_Duration)
    compute_output: _Duration = msgspec.field(default_factory=_Duration)


class _Requests(msgspec.Struct):
    compute_infer: _Duration = msgspec.field(default_factory=_Duration)


class _Response(msgspec.Struct):
    compute_infer: _Duration = msgspec.field(default_factory=_Duration)


class _Model(msgspec.Struct):
    name: str
    inference_stats: _Requests = msgspec.field(default_factory=_Requests)
    response_stats: dict[str, _Response] = {}
    batch_stats: list[_Batch] = []


class _Statistics(msgspec.Struct):
    model_stats: list[_Model]


_DECODER = msgspec.json.Decoder(_Statistics)


@dataclass(frozen=True, slots=True)
class ModelStatistics:
    """Executions by batch size; ``tail_s``: a request's mean computing after its first response."""

    batches: Mapping[int, BatchStat]
    tail_s: float = 0.0


def parse(body: bytes, models: Collection[str]) -> Mapping[str, Mapping[int, BatchStat]]:
    """Executions by model and batch size alone: see `read`."""
    return {name: found.batches for name, found in read(body, models).items()}


def read(body: bytes, models: Collection[str]) -> Mapping[str, ModelStatistics]:
    """What was executed, by model, summed over versions; only ``models``.

    Raises TritonError when the answer is not what Triton 22.04 … 26.08 send.
    """
    try:
        statistics = _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise TritonError(f"the model statistics cannot be read: {error}") from error
    batches: dict[str, dict[int, BatchStat]] = {model: {} for model in models}
    tails_s: dict[str, float] = {}
    sums: dict[tuple[str, int], list[int]] = defaultdict(lambda: [0, 0])
    for model in statistics.model_stats:
        if model.name not in batches:
            continue
        tails_s[model.name] = max(tails_s.get(model.name, 0.0), _tail_s(model))
        for batch in model.batch_stats:
            total = sums[model.name, batch.batch_size]
            total[0] += batch.compute_infer.count
            total[1] += batch.compute_input.ns + batch.compute_infer.ns + batch.compute_output.ns
    for (name, size), (count, ns) in sums.items():
        batches[name][size] = BatchStat(count, ns / 1e9)
    return {name: ModelStatistics(stats, tails_s.get(name, 0.0)) for name, stats in batches.items()}


def _tail_s(model: _Model) -> float:
    """Zero for a model that does not stream: it has no response statistics."""
    first, whole = model.response_stats.get("0"), model.inference_stats.compute_infer
    if first is None or not first.compute_infer.count or not whole.count:
        return 0.0
    mean_ns = whole.ns / whole.count - first.compute_infer.ns / first.compute_infer.count
    return max(0.0, mean_ns / 1e9)
