"""The bytes of the ONNX file; that ONNX Runtime agrees with them is seen in test_pods.py."""

import hashlib
import struct

from e2e.models.tiny_onnx import onnxfile


def test_the_same_bytes_everywhere() -> None:
    digest = hashlib.sha256(onnxfile.perceptron()).hexdigest()
    assert digest == "a1b4c05db2598eeed9fbe9fce4133d334084635167900d141101cd593c3c2030"


def test_the_weights_are_in_the_file() -> None:
    for rows, columns, phase in ((4, 8, 0.1), (1, 8, 0.2), (8, 3, 0.3), (1, 3, 0.4)):
        values = onnxfile.weights(rows, columns, phase)
        assert struct.pack(f"<{rows * columns}f", *values) in onnxfile.perceptron()
