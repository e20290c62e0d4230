"""Small clusters of GPUs, as the API server lists them."""

from __future__ import annotations

from typing import Any

Object = dict[str, Any]
GPU = "nvidia.com/gpu"
FEW = {"cpu": "8", "memory": "64Gi", "pods": "110"}


def node(name: str, product: str = "", gpus: int = 4, **more: Any) -> Object:
    """A ready node; ``product`` as GPU Feature Discovery labels it, "": none."""
    labels = {"kubernetes.io/hostname": name, **more.pop("labels", {})}
    allocatable = FEW | more.pop("allocatable", {})
    if product:
        labels |= {f"{GPU}.product": product, f"{GPU}.count": str(gpus)}
        allocatable |= {GPU: str(gpus)}
    return {
        "metadata": {"name": name, "labels": labels, "annotations": {"secret": "s3cr3t"}},
        "spec": more,
        "status": {
            "allocatable": allocatable,
            "conditions": [{"type": "Ready", "status": "True", "message": "m"}],
        },
    }


def pod(name: str, where: str, gpus: int = 1, **requests: str) -> Object:
    """A running pod of somebody else."""
    wanted = {GPU: str(gpus), **requests} if gpus else dict(requests)
    return {
        "metadata": {"name": name, "namespace": "x", "uid": name, "labels": {"team": "t0p"}},
        "spec": {
            "nodeName": where,
            "containers": [
                {
                    "name": "c",
                    "env": [{"name": "TOKEN", "value": "s3cr3t"}],
                    "resources": {"requests": wanted},
                }
            ],
        },
        "status": {"phase": "Running"},
    }


def service(name: str = "new", **spec: Any) -> Object:
    """A small service on any GPU."""
    return {
        "apiVersion": "conch.dev/v1alpha1",
        "kind": "InferenceService",
        "metadata": {
            "name": name,
            "namespace": "demo",
            "uid": f"u-{name}",
            "resourceVersion": "7",
            "creationTimestamp": "2026-11-20T10:00:00Z",
        },
        "spec": {
            "models": [{"name": "m", "source": {"uri": "image:///opt/m"}}],
            "objectives": {"latency": {"target": "100ms"}},
            **spec,
        },
    }


def collections(
    nodes: list[Object],
    pods: list[Object] | None = None,
    services: list[Object] | None = None,
) -> dict[str, list[Object]]:
    """A cluster with Conch's kinds, by path."""
    ours = "/apis/conch.dev/v1alpha1"
    return {
        "/api/v1/nodes": nodes,
        "/api/v1/pods": pods or [],
        "/apis/apps/v1/deployments": [],
        f"{ours}/acceleratorclasses": [],
        f"{ours}/tritonruntimes": [],
        f"{ours}/inferenceservices": services or [],
    }
