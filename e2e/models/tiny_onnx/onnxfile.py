"""Writes the tiny multilayer perceptron as an ONNX file: the same bytes on every machine.

Y = relu(X W1 + b1) W2 + b2 with X [batch, 4], hidden 8, Y [batch, 3]. The protobuf is written by
hand (a few message types, two wire types): the `onnx` package would bring protobuf and numpy into
the image build for 600 bytes. Field numbers: onnx/onnx.proto3, IR version 8, opset 13.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence

IR_VERSION = 8
OPSET = 13
FLOAT = 1  # TensorProto.DataType
INPUTS, HIDDEN, OUTPUTS = 4, 8, 3


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3) + _varint(value)


def _bytes(field: int, value: bytes | str) -> bytes:
    raw = value.encode() if isinstance(value, str) else value
    return _varint(field << 3 | 2) + _varint(len(raw)) + raw


def weights(rows: int, columns: int, phase: float) -> list[float]:
    """Row-major values in [-1, 1], spread by a sine: reproducible without a random generator."""
    return [math.sin(phase + 1.7 * i) for i in range(rows * columns)]


def _tensor(name: str, shape: Sequence[int], values: Sequence[float]) -> bytes:
    dims = b"".join(_number(1, d) for d in shape)
    raw = struct.pack(f"<{len(values)}f", *values)
    return dims + _number(2, FLOAT) + _bytes(8, name) + _bytes(9, raw)


def _node(op: str, inputs: Sequence[str], output: str) -> bytes:
    return b"".join(_bytes(1, i) for i in inputs) + _bytes(2, output) + _bytes(4, op)


def _value(name: str, columns: int) -> bytes:
    shape = _bytes(1, _bytes(2, "batch")) + _bytes(1, _number(1, columns))
    return _bytes(1, name) + _bytes(2, _bytes(1, _number(1, FLOAT) + _bytes(2, shape)))


def perceptron() -> bytes:
    """The serialised ModelProto."""
    nodes = [
        _node("Gemm", ["X", "W1", "B1"], "H"),
        _node("Relu", ["H"], "A"),
        _node("Gemm", ["A", "W2", "B2"], "Y"),
    ]
    initializers = [
        _tensor("W1", [INPUTS, HIDDEN], weights(INPUTS, HIDDEN, 0.1)),
        _tensor("B1", [HIDDEN], weights(1, HIDDEN, 0.2)),
        _tensor("W2", [HIDDEN, OUTPUTS], weights(HIDDEN, OUTPUTS, 0.3)),
        _tensor("B2", [OUTPUTS], weights(1, OUTPUTS, 0.4)),
    ]
    graph = b"".join(
        [
            *(_bytes(1, n) for n in nodes),
            _bytes(2, "tiny"),
            *(_bytes(5, t) for t in initializers),
            _bytes(11, _value("X", INPUTS)),
            _bytes(12, _value("Y", OUTPUTS)),
        ]
    )
    opset = _bytes(8, _bytes(1, "") + _number(2, OPSET))
    return _number(1, IR_VERSION) + _bytes(2, "conch") + _bytes(7, graph) + opset
