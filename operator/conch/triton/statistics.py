"""``GET /v2/models/stats`` → executions per batch size.

``batch_stats`` counts every execution once, with the time of the whole batch: the service curve
can be learned from it exactly (the ``compute_*`` counters of the metrics add the batch's time once
per *request*). `response_stats` has, of models that stream, the time of each response by its place;
`memory_usage` what a backend saw a model take as it was loaded. Pure.
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


class _Memory(msgspec.Struct):
    type: str = ""
    id: int = 0
    byte_size: Annotated[int, msgspec.Meta(ge=0, le=1 << 42)] = 0


class _Model(msgspec.Struct):
    name: str
    inference_stats: _Requests = msgspec.field(default_factory=_Requests)
    response_stats: dict[str, _Response] = {}
    batch_stats: list[_Batch] = []
    memory_usage: msgspec.Raw = msgspec.Raw(b"[]")


class _Statistics(msgspec.Struct):
    model_stats: list[_Model]


_DECODER = msgspec.json.Decoder(_Statistics)
_MEMORY_DECODER = msgspec.json.Decoder(list[_Memory], strict=False)


@dataclass(frozen=True, slots=True)
class ModelStatistics:
    """Executions by batch size; ``tail_s``: a request's mean computing after its first response.

    ``gpu_bytes``: what it took of the GPU that holds most of it; 0: its backend doesn't tell.
    """

    batches: Mapping[int, BatchStat]
    tail_s: float = 0.0
    gpu_bytes: int = 0


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
    taken: dict[str, int] = defaultdict(int)
    sums: dict[tuple[str, int], list[int]] = defaultdict(lambda: [0, 0])
    for model in statistics.model_stats:
        if model.name not in batches:
            continue
        tails_s[model.name] = max(tails_s.get(model.name, 0.0), _tail_s(model))
        taken[model.name] += _gpu_bytes(model)
        for batch in model.batch_stats:
            total = sums[model.name, batch.batch_size]
            total[0] += batch.compute_infer.count
            total[1] += batch.compute_input.ns + batch.compute_infer.ns + batch.compute_output.ns
    for (name, size), (count, ns) in sums.items():
        batches[name][size] = BatchStat(count, ns / 1e9)
    return {
        name: ModelStatistics(stats, tails_s.get(name, 0.0), taken[name])
        for name, stats in batches.items()
    }


def _gpu_bytes(model: _Model) -> int:
    """Zero if it doesn't tell, or nonsense: nobody's latency depends on it."""
    by_gpu: dict[int, int] = defaultdict(int)
    try:
        parts = _MEMORY_DECODER.decode(model.memory_usage)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return 0
    for part in parts:
        if part.type.upper() == "GPU":
            by_gpu[part.id] += part.byte_size
    return max(by_gpu.values(), default=0)


def _tail_s(model: _Model) -> float:
    """Zero for a model that does not stream: it has no response statistics."""
    first, whole = model.response_stats.get("0"), model.inference_stats.compute_infer
    if first is None or not first.compute_infer.count or not whole.count:
        return 0.0
    mean_ns = whole.ns / whole.count - first.compute_infer.ns / first.compute_infer.count
    return max(0.0, mean_ns / 1e9)
