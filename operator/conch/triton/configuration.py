"""``GET /v2/models/M/config`` → what has to be known before it was seen. Pure.

Triton answers with what it runs: auto-completed, with overrides, defaults filled in. Of a model
whose executions its configuration does not bound (streams, sequences, batches that clients make)
nothing is said, and the scaler goes by what it sees.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

from conch.errors import TritonError

_Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 40)]
_MOST_INSTANCES: Final = 1024
_DEVICE_KINDS: Final = ("KIND_GPU", "KIND_AUTO")
# Take of a GPU what there is, for their caches, whatever the model needs.
_FILLING: Final = frozenset({"vllm", "tensorrtllm", "tensorflow"})
# One copy of the weights serves all instances on a GPU (server#3096); others load one each.
_SHARING: Final = frozenset({"tensorrt"})
_ITEM_BYTES: Final = {
    "TYPE_BOOL": 1,
    "TYPE_UINT8": 1,
    "TYPE_UINT16": 2,
    "TYPE_UINT32": 4,
    "TYPE_UINT64": 8,
    "TYPE_INT8": 1,
    "TYPE_INT16": 2,
    "TYPE_INT32": 4,
    "TYPE_INT64": 8,
    "TYPE_FP16": 2,
    "TYPE_BF16": 2,
    "TYPE_FP32": 4,
    "TYPE_FP64": 8,
}
_MOST_BYTES: Final = 1 << 40  # more is no tensor of a GPU


@dataclass(frozen=True, slots=True)
class OnGpu:
    """What a model has on a GPU: ``copies`` of its weights on the one that holds most of them.

    ``spread``: the model itself puts its parts on all GPUs of the server (KIND_MODEL); ``fills``:
    its backend takes all the memory there is. ``tensor_bytes``: inputs and outputs of the largest
    batch, of all instances there, at least: sizes that requests decide count as one.
    """

    copies: int = 0
    spread: bool = False
    fills: bool = False
    tensor_bytes: int = 0


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """``members``: the models that an ensemble calls. None: this does not tell, or no bound."""

    members: tuple[str, ...] = ()
    max_batch: int | None = None
    instances: int | None = None
    queue_delay_s: float | None = None
    queue_policy: bool = False  # its queue has a limit, a time-out or priorities
    on_gpu: OnGpu = OnGpu()


class _Step(msgspec.Struct):
    model_name: str = ""


class _Ensemble(msgspec.Struct):
    step: list[_Step] = []


class _QueuePolicy(msgspec.Struct):
    default_timeout_microseconds: _Count = 0
    max_queue_size: _Count = 0


class _Batching(msgspec.Struct):
    max_queue_delay_microseconds: _Count = 0
    priority_levels: _Count = 0
    default_queue_policy: _QueuePolicy | None = None


class _Group(msgspec.Struct):
    kind: str = ""
    count: _Count = 1
    gpus: list[int] = []
    passive: bool = False


class _Tensor(msgspec.Struct):
    data_type: str = ""
    dims: list[int] = []


class _Transactions(msgspec.Struct):
    decoupled: bool = False


class _Answer(msgspec.Struct):
    backend: str = ""
    max_batch_size: _Count = 0
    input: list[_Tensor] = []
    output: list[_Tensor] = []
    ensemble_scheduling: _Ensemble | None = None
    sequence_batching: msgspec.Raw = msgspec.Raw()
    dynamic_batching: _Batching | None = None
    instance_group: list[_Group] = []
    model_transaction_policy: _Transactions = msgspec.field(default_factory=_Transactions)


# Not strictly: JSON made of protobuf may hold 64-bit integers as text.
_DECODER: Final = msgspec.json.Decoder(_Answer, strict=False)


def parse(body: bytes) -> ModelConfig:
    """What a model's configuration says. Raises TritonError when it cannot be read."""
    try:
        answer = _DECODER.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise TritonError(f"the model configuration cannot be read: {error}") from error
    if answer.ensemble_scheduling is not None:
        steps = answer.ensemble_scheduling.step
        return ModelConfig(tuple(dict.fromkeys(step.model_name for step in steps)))
    if answer.model_transaction_policy.decoupled or bytes(answer.sequence_batching):
        return ModelConfig(on_gpu=_on_gpu(answer))
    groups = [group for group in answer.instance_group if not group.passive]
    instances = sum(
        group.count * (max(1, len(group.gpus)) if group.kind in _DEVICE_KINDS else 1)
        for group in groups
    )
    batching = answer.dynamic_batching
    policy = batching.default_queue_policy if batching else None
    return ModelConfig(
        max_batch=_max_batch(answer.max_batch_size, batching),
        instances=instances if 0 < instances <= _MOST_INSTANCES else None,
        queue_delay_s=batching.max_queue_delay_microseconds / 1e6 if batching else None,
        queue_policy=bool(
            (policy and (policy.default_timeout_microseconds or policy.max_queue_size))
            or (batching and batching.priority_levels)
        ),
        on_gpu=_on_gpu(answer),
    )


def _on_gpu(answer: _Answer) -> OnGpu:
    copies: dict[int, int] = {}
    spread = 0
    for group in answer.instance_group:
        if group.kind in _DEVICE_KINDS:
            for gpu in group.gpus or (0,):
                copies[gpu] = copies.get(gpu, 0) + group.count
        elif group.kind == "KIND_MODEL":
            spread += group.count
    most = min(_MOST_INSTANCES, max(copies.values(), default=0) + spread)
    tensors = most * _tensor_bytes(answer)
    if answer.backend in _SHARING:
        most = min(1, most)
    fills = most > 0 and answer.backend in _FILLING
    return OnGpu(most, spread > 0, fills, min(_MOST_BYTES, tensors))


def _tensor_bytes(answer: _Answer) -> int:
    """What goes into one instance and comes out of it, with its largest batch."""
    total = 0
    for tensor in (*answer.input, *answer.output):
        size = _ITEM_BYTES.get(tensor.data_type, 0)  # texts are as long as they are
        for length in tensor.dims:
            size = min(_MOST_BYTES, size * max(1, length))
        total += size
    return total * max(1, answer.max_batch_size)


def ensembles(configs: Mapping[str, ModelConfig] | None) -> dict[str, tuple[str, ...]]:
    """Members by ensemble."""
    return {name: config.members for name, config in (configs or {}).items() if config.members}


def _max_batch(size: int, batching: _Batching | None) -> int | None:
    """None where clients make the batches: the server never puts two requests into one."""
    if size <= 1:
        return 1
    return size if batching is not None else None
