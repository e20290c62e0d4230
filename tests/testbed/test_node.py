"""The real node: a real tritonserver on it, and the scheduler's count of its GPUs."""

import json
import os
import sys
import time
from collections.abc import Iterator

import pytest

from e2e.testbed import Cluster, ClusterSpec, Progress, layout
from e2e.testbed.images import TAGS

pytestmark = [
    pytest.mark.node,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        sys.platform != "linux" or os.geteuid() != 0, reason="the test bed needs Linux and root"
    ),
]

PORT = 8000
SERVICE_ADDRESS = "10.96.7.8"


def deployment(replicas: int) -> dict[str, object]:
    ready = {"httpGet": {"path": "/v2/models/tiny-onnx/ready", "port": PORT}, "periodSeconds": 1}
    container = {
        "name": "triton",
        "image": TAGS["triton"],
        "command": ["tritonserver", "--model-repository=/opt/models", "--exit-timeout-secs=1"],
        "readinessProbe": ready,
        "resources": {"limits": {"nvidia.com/gpu": "1"}},
        "volumeMounts": [{"name": "shm", "mountPath": "/dev/shm"}],
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "triton"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "triton"}},
            "template": {
                "metadata": {"labels": {"app": "triton"}},
                "spec": {
                    "terminationGracePeriodSeconds": 1,
                    "containers": [container],
                    "volumes": [{"name": "shm", "emptyDir": {"medium": "Memory"}}],
                },
            },
        },
    }


SERVICE = {
    "apiVersion": "v1",
    "kind": "Service",
    "metadata": {"name": "triton"},
    "spec": {
        "clusterIP": SERVICE_ADDRESS,
        "selector": {"app": "triton"},
        "ports": [{"port": PORT}],
    },
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    spec = ClusterSpec(name="test-node", gpus=2, images=("triton",))
    with Cluster(spec, Progress(quiet=True)) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def triton(cluster: Cluster) -> Iterator[Cluster]:
    """One replica of a real Triton behind a ClusterIP."""
    for one in (deployment(1), SERVICE):
        cluster.kubectl("apply", "-f", "-", stdin=json.dumps(one))
    cluster.kubectl("rollout", "status", "deployment/triton", "--timeout=120s")
    yield cluster
    cluster.kubectl("delete", "deployment/triton", "service/triton")


def test_the_node_is_labelled_as_gpu_feature_discovery_would(cluster: Cluster) -> None:
    node = json.loads(cluster.kubectl("get", "node", layout.NODE, "-o", "json"))
    assert node["metadata"]["labels"]["nvidia.com/gpu.product"] == "NVIDIA-L4"
    assert node["status"]["allocatable"]["nvidia.com/gpu"] == "2"


def test_a_real_triton_answers_through_its_service(triton: Cluster) -> None:
    body = {"inputs": [{"name": "X", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}
    url = f"http://{SERVICE_ADDRESS}:{PORT}/v2/models/tiny-onnx/infer"
    command = ["curl", "-sS", "--max-time", "20", "--retry", "3", "-d", json.dumps(body), url]
    answer = triton.run(command, capture_output=True, text=True)
    assert json.loads(answer.stdout)["outputs"][0]["shape"] == [1, 3], answer.stderr


def test_logs_and_exec_reach_the_container(triton: Cluster) -> None:
    assert "Started HTTPService" in triton.kubectl("logs", "deployment/triton")
    limits = triton.kubectl("exec", "deployment/triton", "--", "cat", "/proc/1/cgroup")
    assert triton.place.cgroup in limits


def test_the_api_server_answers_pods_that_hold_their_token(triton: Cluster) -> None:
    script = (
        "import json, ssl, urllib.request as u; "
        "base = '/var/run/secrets/kubernetes.io/serviceaccount/'; "
        "tls = ssl.create_default_context(cafile=base + 'ca.crt'); "
        "token = open(base + 'token').read(); "
        "ask = u.Request('https://10.96.0.1/api', headers={'Authorization': 'Bearer ' + token}); "
        "print(json.load(u.urlopen(ask, context=tls))['kind'])"
    )
    said = triton.kubectl("exec", "deployment/triton", "--", "python3", "-c", script)
    assert said.strip() == "APIVersions"


def test_one_pod_more_than_gpus_stays_pending(triton: Cluster) -> None:
    triton.kubectl("scale", "deployment/triton", "--replicas=3")
    deadline_s = time.monotonic() + 60
    while time.monotonic() < deadline_s:
        pods = json.loads(triton.kubectl("get", "pods", "-l", "app=triton", "-o", "json"))["items"]
        phases = sorted(pod["status"]["phase"] for pod in pods)
        if phases == ["Pending", "Running", "Running"]:
            break
        time.sleep(0.5)
    assert phases == ["Pending", "Running", "Running"]
    (pending,) = [pod for pod in pods if pod["status"]["phase"] == "Pending"]
    assert "Insufficient nvidia.com/gpu" in pending["status"]["conditions"][0]["message"]
