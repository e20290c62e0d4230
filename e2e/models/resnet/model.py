"""Stands in for a vision model: a batch of b takes BASE_MS + b * PER_ITEM_MS, whatever the machine.

It sleeps instead of computing, so that many replicas share two cores and the service time stays
what the tests assume. It decides nothing else; every fault it can show is asked for by a parameter
of config.pbtxt: LOAD_MS (slow load), FAIL_LOAD (raises at load), EAT_MIB (memory taken at load),
HANG (loads, is ready, never answers).
"""

import json
import threading
import time
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils  # type: ignore[import-not-found]


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        declared = json.loads(args["model_config"]).get("parameters", {})

        def parameter(name: str, default: float) -> float:
            return float(declared[name]["string_value"]) if name in declared else default

        time.sleep(parameter("LOAD_MS", 0) / 1e3)
        if parameter("FAIL_LOAD", 0):
            raise RuntimeError("FAIL_LOAD is set: this model refuses to load")
        # Ones, not zeros: only written pages count against the memory limit.
        self.ballast = np.ones(int(parameter("EAT_MIB", 0)) << 20, dtype=np.uint8)
        self.hang = bool(parameter("HANG", 0))
        self.base_s = parameter("BASE_MS", 40) / 1e3
        self.per_item_s = parameter("PER_ITEM_MS", 10) / 1e3

    def execute(self, requests: list[Any]) -> list[Any]:
        if self.hang:
            threading.Event().wait()
        inputs = [pb_utils.get_input_tensor_by_name(r, "X").as_numpy() for r in requests]
        time.sleep(self.base_s + self.per_item_s * sum(len(x) for x in inputs))
        return [pb_utils.InferenceResponse([pb_utils.Tensor("Y", x * 2)]) for x in inputs]
