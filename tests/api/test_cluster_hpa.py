"""A real HorizontalPodAutoscaler on an InferenceService: it reads and writes our /scale."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from conch.api import names
from e2e.testbed import Cluster
from tests.api import documents, metrics_stub
from tests.api.apiserver import NAMESPACE, ApiServer, Kubectl, collection

pytestmark = pytest.mark.cluster

PORT = 9443
HPA = f"/apis/autoscaling/v2/namespaces/{NAMESPACE}/horizontalpodautoscalers"
# The controller-manager looks for new kinds every 30 s only.
PATIENCE_S = 75.0


@pytest.fixture
def metric(cluster: Cluster, kubectl: Kubectl, tmp_path: Path) -> Iterator[Path]:
    """The file whose number every external metric has."""
    value = tmp_path / "value"
    value.write_text("4")
    certificate, key = (cluster.place.pki / f"apiserver.{part}" for part in ("crt", "key"))
    stub = cluster.popen(
        [sys.executable, metrics_stub.__file__, str(PORT), certificate, key, value]
    )
    kubectl("apply", "-f", "-", stdin=json.dumps(_registration()))
    try:
        kubectl(
            "wait", "--for=condition=Available", "--timeout=30s", f"apiservice/{_api_service()}"
        )
        yield value
    finally:
        kubectl("delete", "apiservice", _api_service())
        stub.kill()
        stub.wait()


def test_it_scales_what_leaves_scaling_to_others(server: ApiServer, metric: Path) -> None:
    service = _create(server, "external", {"mode": "External", "replicas": 2})
    status = {"status": {"replicas": 2, "selector": names.selector_string("external")}}
    merge = "application/merge-patch+json"
    assert server.request("PATCH", f"{service}/status", status, merge).status == 200
    _autoscale(server, "external")

    def replicas() -> int:
        return int(server.request("GET", service).body["spec"]["scaling"]["replicas"])

    metric.write_text("10")  # two a replica: five replicas
    _until(lambda: replicas() == 5, lambda: _hpa_says(server, "external"))
    metric.write_text("6")
    _until(lambda: replicas() == 3, lambda: _hpa_says(server, "external"))


def test_it_gets_nowhere_with_what_conch_scales(server: ApiServer, metric: Path) -> None:
    metric.write_text("10")
    service = _create(server, "latency", {"mode": "Latency"})
    _autoscale(server, "latency")
    _until(
        lambda: ".spec.scaling.replicas" in _hpa_says(server, "latency"),
        lambda: _hpa_says(server, "latency"),
    )
    assert "replicas" not in server.request("GET", service).body["spec"]["scaling"]


def _create(server: ApiServer, name: str, scaling: dict[str, Any]) -> str:
    document = documents.changed(
        documents.minimal(names.INFERENCE_SERVICE, name), ("spec", "scaling"), scaling
    )
    answer = server.create(document, dry_run=False)
    assert answer.status == 201, answer.message
    return f"{collection(names.INFERENCE_SERVICE)}/{name}"


def _autoscale(server: ApiServer, name: str) -> None:
    metric = {
        "type": "External",
        "external": {
            "metric": {"name": "requests"},
            "target": {"type": "AverageValue", "averageValue": "2"},
        },
    }
    spec = {
        "scaleTargetRef": {
            "apiVersion": names.API_VERSION,
            "kind": names.INFERENCE_SERVICE,
            "name": name,
        },
        "minReplicas": 1,
        "maxReplicas": 10,
        "metrics": [metric],
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}},
    }
    answer = server.request("POST", HPA, {"metadata": {"name": name}, "spec": spec})
    assert answer.status == 201, answer.message


def _hpa_says(server: ApiServer, name: str) -> str:
    status = server.request("GET", f"{HPA}/{name}").body.get("status", {})
    return " | ".join(
        f"{c['type']}={c['status']} {c['reason']}: {c['message']}"
        for c in status.get("conditions", ())
    )


def _until(done: Callable[[], bool], otherwise: Callable[[], str]) -> None:
    """Wait for the state of the world; another controller brings it about."""
    deadline = time.monotonic() + PATIENCE_S
    while not done():
        assert time.monotonic() < deadline, otherwise()
        time.sleep(0.1)


def _api_service() -> str:
    group, version = metrics_stub.GROUP_VERSION.split("/")
    return f"{version}.{group}"


def _registration() -> dict[str, Any]:
    group, version = metrics_stub.GROUP_VERSION.split("/")
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "metrics-stub", "namespace": NAMESPACE},
        "spec": {"type": "ExternalName", "externalName": "127.0.0.1"},
    }
    api_service = {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": _api_service()},
        "spec": {
            "group": group,
            "version": version,
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
            "insecureSkipTLSVerify": True,
            "service": {"name": "metrics-stub", "namespace": NAMESPACE, "port": PORT},
        },
    }
    return {"apiVersion": "v1", "kind": "List", "items": [service, api_service]}
