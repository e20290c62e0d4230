"""What models say they run, from captures of 24.10."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from conch.errors import TritonError
from conch.triton.configuration import ModelConfig, OnGpu, ensembles, parse

DATA = Path(__file__).parent / "data"


def captured(name: str) -> bytes:
    return (DATA / f"24.10-{name}.config.json").read_bytes()


def changed(**fields: Any) -> ModelConfig:
    """A model that batches, with some fields of its configuration replaced."""
    return parse(json.dumps({**json.loads(captured("batching")), **fields}).encode())


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("batching", ModelConfig(max_batch=4, instances=1, queue_delay_s=0.002)),
        ("queue-policy", ModelConfig((), 4, 2, 0.005, queue_policy=True)),
        ("unbatched", ModelConfig(instances=1)),
        ("stream", ModelConfig()),
        ("ensemble", ModelConfig(("pre", "net"))),
    ],
)
def test_as_captured(name: str, config: ModelConfig) -> None:
    assert parse(captured(name)) == config


def test_a_model_that_takes_no_batches() -> None:
    assert changed(max_batch_size=0).max_batch == 1


def test_sequences_are_not_bounded_by_their_batches() -> None:
    assert changed(sequence_batching={"direct": {}}) == ModelConfig()


@pytest.mark.parametrize(
    ("groups", "instances"),
    [
        ([{"kind": "KIND_GPU", "count": 2, "gpus": [0, 1]}], 4),
        ([{"kind": "KIND_GPU", "count": 2}, {"kind": "KIND_CPU", "count": 1}], 3),
        ([{"kind": "KIND_CPU", "count": 1}, {"kind": "KIND_CPU", "count": 9, "passive": True}], 1),
        ([{"kind": "KIND_CPU", "count": 10**9}], None),
        ([], None),
    ],
)
def test_instances_of_all_groups(groups: list[dict[str, Any]], instances: int | None) -> None:
    assert changed(instance_group=groups).instances == instances


def test_numbers_may_be_text() -> None:
    batching = {"max_queue_delay_microseconds": "1500"}
    assert changed(dynamic_batching=batching).queue_delay_s == 0.0015


def test_which_are_ensembles() -> None:
    configs = {"pipe": ModelConfig(("pre", "net")), "pre": ModelConfig(max_batch=4)}
    assert ensembles(configs) == {"pipe": ("pre", "net")}
    assert ensembles(None) == {}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"ensemble_scheduling":{"step":1}}',
        b'{"max_batch_size":-1}',
        b'{"max_batch_size":1e300}',
        b'{"instance_group":[{"count":"many"}]}',
        b"\xff",
        b'{"x":' + 100_000 * b"[",
        b'{"sequence_batching":' + 100_000 * b"[",
    ],
    ids=["empty", "list", "step", "negative", "huge", "count", "text", "deep", "deeper"],
)
def test_no_configuration(body: bytes) -> None:
    with pytest.raises(TritonError, match="configuration cannot be read"):
        parse(body)


@pytest.mark.parametrize(
    ("groups", "backend", "on_gpu"),
    [
        ([{"kind": "KIND_CPU", "count": 3}], "onnxruntime", OnGpu(0)),
        ([{"kind": "KIND_GPU", "count": 2, "gpus": [0]}], "onnxruntime", OnGpu(2)),
        ([{"kind": "KIND_GPU", "count": 2}], "onnxruntime", OnGpu(2)),
        (
            [
                {"kind": "KIND_GPU", "count": 1, "gpus": [0, 1]},
                {"kind": "KIND_AUTO", "count": 2, "gpus": [1]},
                {"kind": "KIND_CPU", "count": 9},
            ],
            "pytorch",
            OnGpu(3),
        ),
        ([{"kind": "KIND_GPU", "count": 4, "gpus": [0]}], "tensorrt", OnGpu(1)),
        ([{"kind": "KIND_MODEL", "count": 1}], "python", OnGpu(1, spread=True)),
        ([{"kind": "KIND_MODEL", "count": 1}], "vllm", OnGpu(1, spread=True, fills=True)),
        ([{"kind": "KIND_CPU", "count": 1}], "vllm", OnGpu(0)),
        ([{"kind": "KIND_GPU", "count": 10**12}], "onnxruntime", OnGpu(1024)),
        ([], "onnxruntime", OnGpu()),
    ],
)
def test_what_of_a_model_is_on_a_gpu(
    groups: list[dict[str, Any]], backend: str, on_gpu: OnGpu
) -> None:
    told = changed(instance_group=groups, backend=backend, input=[], output=[])
    assert told.on_gpu == on_gpu


IMAGE = {"name": "in", "data_type": "TYPE_FP16", "dims": [3, 224, 224]}


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, 4 * 2 * 3 * 224 * 224),
        ({"max_batch_size": 0}, 2 * 3 * 224 * 224),
        ({"output": [{"data_type": "TYPE_INT64", "dims": ["1000"]}]}, 4 * (301_056 + 8_000)),
        ({"input": [{"data_type": "TYPE_FP32", "dims": [-1, 80]}]}, 4 * 4 * 80),
        ({"input": [{"data_type": "TYPE_STRING", "dims": [1]}]}, 0),
        ({"input": [{"data_type": "TYPE_FP32", "dims": []}]}, 4 * 4),
        ({"input": [{"data_type": "TYPE_FP64", "dims": [2**62, 2**62]}]}, 1 << 40),
    ],
)
def test_inputs_and_outputs_of_a_full_batch(fields: dict[str, Any], expected: int) -> None:
    group = {"kind": "KIND_GPU", "count": 1, "gpus": [0]}
    told = changed(**{"instance_group": [group], "input": [IMAGE], "output": [], **fields})
    assert told.on_gpu.tensor_bytes == expected


@pytest.mark.parametrize(("backend", "copies"), [("onnxruntime", 3), ("tensorrt", 1)])
def test_every_instance_has_its_own(backend: str, copies: int) -> None:
    group = {"kind": "KIND_GPU", "count": 3, "gpus": [0]}
    told = changed(instance_group=[group], input=[IMAGE], output=[], backend=backend)
    assert told.on_gpu == OnGpu(copies, tensor_bytes=3 * 4 * 301_056)


def test_on_a_cpu_they_take_nothing_of_a_gpu() -> None:
    group = {"kind": "KIND_CPU", "count": 3}
    assert changed(instance_group=[group], input=[IMAGE]).on_gpu == OnGpu()


def test_a_stream_tells_where_it_is_as_well() -> None:
    group = {"kind": "KIND_GPU", "count": 2, "gpus": [0]}
    told = changed(instance_group=[group], model_transaction_policy={"decoupled": True})
    assert told == ModelConfig(on_gpu=OnGpu(2, tensor_bytes=2 * 4 * 2 * 4 * 4))
