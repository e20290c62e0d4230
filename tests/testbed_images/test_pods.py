"""Both images in real pods, as restricted as ours are: read-only, no capabilities, not root."""

import json
import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from e2e.models.tiny_onnx import onnxfile
from e2e.testbed import Cluster, ClusterSpec, Progress
from e2e.testbed.images import TAGS

pytestmark = [
    pytest.mark.node,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        sys.platform != "linux" or os.geteuid() != 0, reason="the test bed needs Linux and root"
    ),
]

# Run inside the cluster's network: argv is the address and the model.
HTTP = """
import json, sys, urllib.request
address, model = sys.argv[1:]
tensor = {"name": "X", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}
request = urllib.request.Request(
    f"http://{address}:8000/v2/models/{model}/infer", json.dumps({"inputs": [tensor]}).encode())
print(json.dumps(json.load(urllib.request.urlopen(request, timeout=30))["outputs"][0]["data"]))
"""
GRPC = """
import json, sys
import numpy as np
from tritonclient import grpc
address, model = sys.argv[1:]
x = grpc.InferInput("X", [1, 4], "FP32")
x.set_data_from_numpy(np.array([[1, 2, 3, 4]], dtype=np.float32))
with grpc.InferenceServerClient(f"{address}:8001") as client:
    print(json.dumps(client.infer(model, [x], client_timeout=30).as_numpy("Y")[0].tolist()))
"""


def pod(name: str, image: str, command: list[str]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 1,
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "containers": [
                {
                    "name": name,
                    "image": image,
                    "command": command,
                    "imagePullPolicy": "Never",
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "readOnlyRootFilesystem": True,
                        "capabilities": {"drop": ["ALL"]},
                    },
                    "volumeMounts": [
                        {"name": "shm", "mountPath": "/dev/shm"},
                        {"name": "tmp", "mountPath": "/tmp"},
                    ],
                }
            ],
            "volumes": [
                {"name": "shm", "emptyDir": {"medium": "Memory", "sizeLimit": "128Mi"}},
                {"name": "tmp", "emptyDir": {}},
            ],
        },
    }


@pytest.fixture(scope="module")
def node() -> Iterator[Cluster]:
    spec = ClusterSpec(name="test-images", images=("triton", "operator"))
    with Cluster(spec, Progress(quiet=True)) as running:
        yield running


@pytest.fixture(scope="module")
def address(node: Cluster) -> str:
    """Of a pod that serves both example models."""
    serve = ["tritonserver", "--model-repository=/opt/models", "--exit-timeout-secs=1"]
    triton = pod("triton", TAGS["triton"], serve)
    ready = {"httpGet": {"path": "/v2/health/ready", "port": 8000}, "periodSeconds": 1}
    triton["spec"]["containers"][0]["readinessProbe"] = ready
    node.kubectl("apply", "-f", "-", stdin=json.dumps(triton))
    node.kubectl("wait", "--for=condition=Ready", "pod/triton", "--timeout=120s")
    return node.kubectl("get", "pod", "triton", "-o", "jsonpath={.status.podIP}").strip()


def perceptron(x: list[float]) -> list[float]:
    """What the ONNX file computes, in plain Python."""

    def layer(x: list[float], columns: int, phase: float) -> list[float]:
        weights = onnxfile.weights(len(x), columns, phase)
        bias = onnxfile.weights(1, columns, phase + 0.1)
        return [
            sum(value * weights[row * columns + column] for row, value in enumerate(x))
            + bias[column]
            for column in range(columns)
        ]

    hidden = [max(0.0, value) for value in layer(x, onnxfile.HIDDEN, 0.1)]
    return layer(hidden, onnxfile.OUTPUTS, 0.3)


@pytest.mark.parametrize("protocol", [HTTP, GRPC], ids=["http", "grpc"])
@pytest.mark.parametrize(
    ("model", "expected"),
    [("resnet", [2.0, 4.0, 6.0, 8.0]), ("tiny-onnx", perceptron([1.0, 2.0, 3.0, 4.0]))],
)
def test_a_real_triton_answers(
    node: Cluster, address: str, protocol: str, model: str, expected: list[float]
) -> None:
    command = [sys.executable, "-c", protocol, address, model]
    answer = node.run(command, capture_output=True, text=True, check=True)
    assert json.loads(answer.stdout) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("name", "command", "says"),
    [
        ("conch", ["conch", "--help"], "Run the operator"),
        ("fetch", ["conch", "fetch", "--help"], "usage"),
        ("whoami", ["python", "-c", "import os; print('uid', os.getuid())"], "uid 65532"),
        (
            "no-pip",
            ["python", "-c", "import importlib.util as u; print('pip', u.find_spec('pip'))"],
            "pip None",
        ),
    ],
)
def test_the_operator_image_runs(node: Cluster, name: str, command: list[str], says: str) -> None:
    node.kubectl("apply", "-f", "-", stdin=json.dumps(pod(name, TAGS["operator"], command)))
    node.kubectl(
        *("wait", "--for=jsonpath={.status.phase}=Succeeded", f"pod/{name}", "--timeout=60s")
    )
    assert says in node.kubectl("logs", name)
