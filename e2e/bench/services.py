"""The InferenceServices that are measured, and the cluster they are measured on. Values only."""

from __future__ import annotations

from typing import Any

from e2e.testbed import ClusterSpec

NAMESPACE = "bench"
# 70 nodes hold 448 GPUs, 112 of each of the LARGE classes: 100 services of three replicas fit.
CLUSTER = ClusterSpec(name="bench-kwok", real_node=False, kwok_nodes=70, audit=True)
LARGE = ("l40s", "a100-sxm4-80gb", "h100-80gb-hbm3")


def service(
    name: str, namespace: str = NAMESPACE, accelerator: str = "", **scaling: Any
) -> dict[str, Any]:
    """A plain service on KWOK's nodes, on one GPU of any class unless one is named.

    `scaling` goes into its spec. Its target is far from what the fleet plays: nothing here is
    about scaling.
    """
    return {
        "apiVersion": "conch.dev/v1alpha1",
        "kind": "InferenceService",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "models": [{"name": "m", "source": {"uri": "image:///opt/models/resnet"}}],
            "objectives": {"latency": {"target": "1s"}},
            "placement": {
                **({"accelerators": {"classes": [accelerator]}} if accelerator else {}),
                "tolerations": [{"key": "kwok.x-k8s.io/node", "operator": "Exists"}],
            },
            "resources": {"cpu": "100m", "memory": "1Gi"},
            **({"scaling": scaling} if scaling else {}),
        },
    }


def names(count: int, prefix: str = "s") -> list[str]:
    """s000, s001, …"""
    return [f"{prefix}{number:03}" for number in range(count)]
