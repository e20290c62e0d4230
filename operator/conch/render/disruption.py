"""The PodDisruptionBudget: node drains take one replica at a time."""

from __future__ import annotations

from conch.api import names, v1alpha1
from conch.kube.views import Object
from conch.render.metadata import metadata


def disruption_budget(service: v1alpha1.InferenceService) -> Object:
    """Only for services above one replica: with a single one it would block every node drain."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(service),
        "spec": {
            "maxUnavailable": 1,
            "selector": {"matchLabels": names.selector_labels(service.metadata.name)},
            # A pod that never got ready serves nobody; it must not hold up a drain.
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }
