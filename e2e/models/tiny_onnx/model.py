"""Runs the ONNX file beside it with ONNX Runtime: real arithmetic through the Python backend.

The CPU-only Triton of the test bed has no onnxruntime backend of its own. One thread: the test bed
has two cores for everything.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort  # type: ignore[import-not-found]
import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found]


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        file = Path(args["model_repository"]) / args["model_version"] / "model.onnx"
        self.session = ort.InferenceSession(str(file), options, ["CPUExecutionProvider"])

    def execute(self, requests: list[Any]) -> list[Any]:
        inputs = [pb_utils.get_input_tensor_by_name(r, "X").as_numpy() for r in requests]
        (outputs,) = self.session.run(None, {"X": np.concatenate(inputs)})
        ends = np.cumsum([len(x) for x in inputs])[:-1]
        return [
            pb_utils.InferenceResponse([pb_utils.Tensor("Y", y)]) for y in np.split(outputs, ends)
        ]
