"""A service as the API server gives it, and a cluster that answers from memory."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conch.cli import app
from conch.errors import Forbidden, NotFound
from conch.kube import transport

Object = dict[str, Any]
Run = Callable[..., tuple[int, str, str]]
NOW = "2026-11-22T12:00:00Z"

SERVICE: Object = {
    "metadata": {
        "name": "resnet",
        "namespace": "demo",
        "uid": "u-1",
        "generation": 2,
        "creationTimestamp": "2026-11-22T11:00:00Z",
    },
    "spec": {
        "objectives": {"latency": {"percentile": 99, "target": "400ms"}},
        "scaling": {"mode": "Latency", "minReplicas": 1, "maxReplicas": 6},
    },
    "status": {
        "observedGeneration": 2,
        "replicas": 3,
        "readyReplicas": 3,
        "desiredReplicas": 3,
        "accelerator": "l4",
        "latency": {"observed": "312ms", "target": "400ms"},
        "decision": {
            "replicas": 3,
            "reason": "ScaleUp",
            "message": "83 req/s now, up to 97 in the next 12 s: 3 replicas.",
            "demand": "83/s",
            "bound": "97/s",
            "capacityPerReplica": "34/s",
            "horizon": "12s",
        },
        "conditions": [
            {
                "type": kind,
                "status": status,
                "reason": reason,
                "message": message,
                "lastTransitionTime": "2026-11-22T11:30:00Z",
            }
            for kind, status, reason, message in (
                ("Ready", "True", "Ready", "The service is ready."),
                ("Reconciling", "False", "Settled", "Nothing is in progress."),
                ("Stalled", "False", "Operational", "Nothing needs a person."),
                ("Accepted", "True", "Accepted", "The spec is complete."),
                ("Placed", "True", "Placed", "l4: 1 node, 1 of 4 units free; t4: no node"),
                ("Available", "True", "Available", "3 of 3 replicas are ready."),
                ("Scaling", "True", "ScaleUp", "Up to 97/s need 3 replicas."),
            )
        ],
    },
}


def pod(name: str, *, ready: bool = True, **status: Any) -> Object:
    """A pod of the service."""
    condition = {"type": "Ready", "status": "True" if ready else "False"}
    return {
        "metadata": {"name": name, "uid": f"uid-{name}", "creationTimestamp": NOW},
        "spec": {"nodeName": "n1", "containers": [{"name": "triton"}]},
        "status": {"phase": "Running", "conditions": [condition], **status},
    }


def event(about: Object, reason: str, at: str, kind: str = "Warning", **more: Any) -> Object:
    """An event about a service or a pod."""
    owner = "InferenceService" if "scaling" in about["spec"] else "Pod"
    meta = about["metadata"]
    return {
        "metadata": {"name": f"{reason}-{at}"},
        "involvedObject": {"kind": owner, "name": meta["name"], "uid": meta["uid"]},
        "type": kind,
        "reason": reason,
        "message": f"{reason} happened",
        "lastTimestamp": at,
        **more,
    }


class FakeCluster:
    """Collections by path; what is in `forbidden` may not be read."""

    def __init__(self) -> None:
        self.collections: dict[str, list[Object]] = {}
        self.forbidden: set[str] = set()
        self.selectors: dict[str, str] = {}

    async def get(self, path: str, **_: str | int | bool) -> Object:
        folder, name = path.rsplit("/", 1)
        for item in await self.list(folder):
            if item["metadata"]["name"] == name:
                return item
        raise NotFound(404)

    async def list(
        self, path: str, *, label_selector: str = "", field_selector: str = ""
    ) -> list[Object]:
        self.selectors[path] = label_selector
        if path in self.forbidden:
            raise Forbidden(403, message="no")
        if path not in self.collections:
            raise NotFound(404)
        return self.collections[path]


@pytest.fixture
def service() -> Object:
    return copy.deepcopy(SERVICE)


@pytest.fixture
def cluster(service: Object) -> FakeCluster:
    found = FakeCluster()
    found.collections = {
        "/apis/conch.dev/v1alpha1/namespaces/demo/inferenceservices": [service],
        "/api/v1/namespaces/demo/pods": [pod("resnet-a")],
        "/api/v1/namespaces/demo/events": [],
    }
    return found


def reach(cluster: FakeCluster, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Command lines find a kubeconfig, and behind it that cluster."""
    kubeconfig = folder / "config"
    kubeconfig.write_text("current-context: c\ncontexts: [{name: c, context: {namespace: demo}}]\n")
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setattr(sys, "argv", ["conch"])

    class Connected:
        async def __aenter__(self) -> FakeCluster:
            return cluster

        async def __aexit__(self, *_: object) -> None:
            pass

    async def connect(*_: object) -> Connected:
        return Connected()

    monkeypatch.setattr(transport.Api, "connect", connect)


@pytest.fixture
def run(
    cluster: FakeCluster,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> Run:
    """Runs a command line against the cluster in memory: exit code, output, errors."""
    reach(cluster, tmp_path, monkeypatch)
    monkeypatch.setenv("COLUMNS", "100")

    def call(*arguments: str) -> tuple[int, str, str]:
        code = app.run(arguments)
        output = capsys.readouterr()
        return code, output.out, output.err

    return call
