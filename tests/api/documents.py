"""Objects the tests of the API start from: the smallest of each kind, and one that uses it all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from conch.api import names
from conch.api.kinds import KINDS, Kind

REPOSITORY = Path(__file__).parents[2]
EXAMPLES = sorted((REPOSITORY / "examples").glob("*.yaml"))
BY_NAME: dict[str, Kind] = {kind.kind: kind for kind in KINDS}

_MINIMAL_SPECS: dict[str, dict[str, Any]] = {
    names.INFERENCE_SERVICE: {
        "models": [{"name": "resnet", "source": {"uri": "image:///opt/models/resnet"}}],
        "objectives": {"latency": {"target": "400ms"}},
    },
    names.TRITON_RUNTIME: {
        "image": "registry.example/tritonserver:24.10",
        "release": "24.10",
    },
    names.ACCELERATOR_CLASS: {
        "nodeSelector": {"nvidia.com/gpu.product": "NVIDIA-L4"},
        "memory": "24Gi",
    },
}

_FULL_SPECS: dict[str, dict[str, Any]] = {
    names.INFERENCE_SERVICE: {
        "models": [
            {
                "name": "resnet",
                "source": {
                    "uri": "s3://models/resnet",
                    "secretRef": {"name": "s3-reader"},
                    "digest": "sha256:" + "0" * 64,
                },
                "config": {
                    "maxBatchSize": 8,
                    "dynamicBatching": {"maxQueueDelay": "2ms", "preferredBatchSizes": [4, 8]},
                    "instances": 2,
                },
            },
            {"name": "tiny", "source": {"uri": "pvc://models/tiny"}},
        ],
        "runtime": "triton-24-10",
        "objectives": {"latency": {"percentile": 99.5, "target": "100ms", "rejectLate": True}},
        "placement": {
            "accelerators": {
                "classes": ["l4", "t4"],
                "count": 2,
                "minMemory": "12Gi",
                "allowCPU": True,
            },
            "nodeSelector": {"topology.kubernetes.io/zone": "zone-1"},
            "tolerations": [
                {"key": "dedicated", "operator": "Equal", "value": "ml", "effect": "NoSchedule"}
            ],
            "capacityTypes": ["Spot", "OnDemand"],
            "minOnDemand": 1,
            "sites": ["berlin", "oslo"],
            "minReplicasPerSite": 1,
            "optimise": "Carbon",
            "priorityClassName": "serving",
            "schedulerName": "kai-scheduler",
            "queueName": "team-vision",
        },
        "resources": {"cpu": 2, "memory": "4Gi", "sharedMemory": "512Mi"},
        "scaling": {
            "mode": "External",
            "replicas": 3,
            "minReplicas": 2,
            "maxReplicas": 20,
            "schedules": [
                {
                    "name": "morning",
                    "cron": "0 7 * * 1-5",
                    "timezone": "Europe/Berlin",
                    "duration": "3h",
                    "minReplicas": 4,
                    "maxReplicas": 30,
                }
            ],
            "carbonCeilings": [{"above": 450, "maxReplicas": 6}],
        },
        "paused": True,
    },
    names.TRITON_RUNTIME: {
        "image": "registry.example/tritonserver:24.10",
        "release": "24.10",
        "imagePullPolicy": "Never",
        "imagePullSecrets": ["registry"],
        "minComputeCapability": "7.5",
        "minDriver": 535,
        "architectures": ["amd64"],
        "integratedGPU": False,
        "backendDirectory": "/opt/tritonserver/backends",
        "default": True,
        "resources": {"cpu": "500m", "memory": "2Gi", "sharedMemory": "64Mi"},
        "security": {"runAsUser": 2000, "fsGroup": 2001},
    },
    names.ACCELERATOR_CLASS: {
        "nodeSelector": {"nvidia.com/gpu.product": "NVIDIA-L4"},
        "resourceName": "nvidia.com/gpu",
        "memory": "24Gi",
        "computeCapability": "8.9",
        "integratedGPU": False,
        "pricePerHour": {"onDemand": 0.8, "spot": 0.3},
        "watts": {"idle": 16.4, "max": 72},
        "carbonZone": "DE",
        "provisioning": {
            "maxNodes": 4,
            "unitsPerNode": 8,
            "waitFor": "15m",
            "nodeLabels": {"karpenter.sh/capacity-type": "spot"},
        },
    },
}

STATUS: dict[str, Any] = {
    "observedGeneration": 3,
    "conditions": [
        {
            "type": "Ready",
            "status": "True",
            "reason": "Ready",
            "message": "Everything is as specified.",
            "observedGeneration": 3,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
    ],
    "replicas": 3,
    "readyReplicas": 2,
    "desiredReplicas": 3,
    "selector": "conch.dev/service=sample",
    "accelerator": "l4",
    "gpuMemory": "14541Mi",
    "parts": [{"accelerator": "l4", "replicas": 3, "readyReplicas": 2}],
    "nodes": {"count": 2, "names": ["gpu-1", "gpu-2"]},
    "zones": [{"name": "eu-1a", "replicas": 3, "readyReplicas": 2}],
    "sites": [
        {
            "name": "oslo",
            "replicas": 2,
            "readyReplicas": 1,
            "connected": False,
            "minReplicas": 1,
            "held": True,
        }
    ],
    "moves": {
        "last": "2026-01-01T08:00:00Z",
        "leftAlone": [{"accelerator": "t4", "until": "2026-01-02T08:00:00Z"}],
    },
    "revision": "5d4f",
    "address": {"http": "http://sample.default.svc:8000", "grpc": "sample.default.svc:8001"},
    "latency": {"observed": "87ms", "target": "100ms"},
    "cost": {
        "perHour": "$2.1",
        "perMillionInferences": "$14",
        "power": "140W",
        "energyPerInference": "0.14J",
        "carbonPerHour": "80g",
        "carbonPerMillionInferences": "23g",
        "carbonKind": "Average",
        "estimated": True,
    },
    "schedule": {
        "active": ["morning"],
        "minReplicas": 4,
        "maxReplicas": 30,
        "until": "2026-01-01T09:00:00Z",
        "next": "evening",
        "nextStart": "2026-01-01T17:00:00Z",
    },
    "decision": {
        "replicas": 3,
        "reason": "ScaleUp",
        "message": "41 requests/s are coming, one replica carries 15",
        "demand": "37",
        "bound": "41",
        "capacityPerReplica": "15",
        "horizon": "12s",
    },
    "capacities": [
        {"accelerator": "t4", "perReplica": "7.9/s", "estimated": True},
        {"accelerator": "l4", "perReplica": "15/s"},
    ],
}
"""What the operator writes, every field of it."""


def minimal(kind: str, name: str = "sample") -> dict[str, Any]:
    """An object of ``kind`` with what is required and no more."""
    return _object(kind, name, _MINIMAL_SPECS[kind])


def full(kind: str, name: str = "sample") -> dict[str, Any]:
    """An object of ``kind`` in which every field of the spec is set."""
    return _object(kind, name, _FULL_SPECS[kind])


def examples(path: Path) -> list[dict[str, Any]]:
    """The objects of our kinds in an example file."""
    documents = yaml.safe_load_all(path.read_text(encoding="utf-8"))
    return [document for document in documents if document["apiVersion"] == names.API_VERSION]


def changed(document: Any, path: tuple[str | int, ...], value: Any) -> Any:
    """A copy of ``document`` with ``value`` at ``path``; missing objects on the way are made."""
    if not path:
        return value
    step, rest = path[0], path[1:]
    if isinstance(document, list):
        assert isinstance(step, int)
        return [changed(v, rest, value) if i == step else v for i, v in enumerate(document)]
    below = (document or {}).get(step)
    return {**(document or {}), step: changed(below, rest, value)}


def without(document: Any, path: tuple[str | int, ...]) -> Any:
    """A copy of ``document`` without what is at ``path``."""
    step, rest = path[0], path[1:]
    if isinstance(document, list):
        if not rest:
            return [v for i, v in enumerate(document) if i != step]
        return [without(v, rest) if i == step else v for i, v in enumerate(document)]
    if not rest:
        return {key: value for key, value in document.items() if key != step}
    return {**document, step: without(document[step], rest)}


def leaves(value: Any, path: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """The paths of everything below ``value``: scalars, lists and objects alike."""
    found = [path] if path else []
    if isinstance(value, dict):
        for key, item in value.items():
            found += leaves(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            found += leaves(item, (*path, index))
    return found


def _object(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": names.API_VERSION,
        "kind": kind,
        "metadata": {"name": name},
        "spec": spec,
    }
