"""``GET /v2/models/stats`` → executions per batch size.

``batch_stats`` counts every execution once, with the time of the whole batch: the service curve
can be learned from it exactly (the ``compute_*`` counters of the metrics add the batch's time once
per *request*). Pure.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
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


class _Model(msgspec.Struct):
    name: str
    batch_stats: list[_Batch] = []


class _Statistics(msgspec.Struct):
    model_stats: list[_Model]


_DECODER = msgspec.json.Decoder(_Statistics)


def parse(body: bytes, models: Collection[str]) -> Mapping[str, Mapping[int, BatchStat]]:
    """Executions by model and batch size, summed over versions; only ``models``.

    Raises TritonError when the answer is not what Triton 22.04 … 26.08 send.
    """
    try:
        statistics = _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise TritonError(f"the model statistics cannot be read: {error}") from error
    found: dict[str, dict[int, BatchStat]] = {model: {} for model in models}
    sums: dict[tuple[str, int], list[int]] = defaultdict(lambda: [0, 0])
    for model in statistics.model_stats:
        if model.name not in found:
            continue
        for batch in model.batch_stats:
            total = sums[model.name, batch.batch_size]
            total[0] += batch.compute_infer.count
            total[1] += batch.compute_input.ns + batch.compute_infer.ns + batch.compute_output.ns
    for (name, size), (count, ns) in sums.items():
        found[name][size] = BatchStat(count, ns / 1e9)
    return found
