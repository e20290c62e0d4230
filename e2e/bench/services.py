"""The InferenceServices that are measured, and the cluster they are measured on. Values only."""

from __future__ import annotations

from typing import Any

from e2e.testbed import ClusterSpec

NAMESPACE = "bench"
# 60 nodes hold 384 GPUs: 100 services of three replicas fit, with room for a few rollouts.
CLUSTER = ClusterSpec(name="bench-kwok", real_node=False, kwok_nodes=60, audit=True)


def service(name: str, namespace: str = NAMESPACE, **scaling: Any) -> dict[str, Any]:
    """A plain service on one GPU of any model, on KWOK's nodes; `scaling` goes into its spec.

    Its target is far from what the fleet plays: nothing here is about scaling.
    """
    return {
        "apiVersion": "conch.dev/v1alpha1",
        "kind": "InferenceService",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "models": [{"name": "m", "source": {"uri": "image:///opt/models/resnet"}}],
            "objectives": {"latency": {"target": "1s"}},
            "placement": {
                "tolerations": [{"key": "kwok.x-k8s.io/node", "operator": "Exists"}],
            },
            "resources": {"cpu": "100m", "memory": "1Gi"},
            **({"scaling": scaling} if scaling else {}),
        },
    }


def names(count: int, prefix: str = "s") -> list[str]:
    """s000, s001, …"""
    return [f"{prefix}{number:03}" for number in range(count)]
