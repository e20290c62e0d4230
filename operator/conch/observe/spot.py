"""Which nodes are spot: what clouds and node provisioners label and taint them with.

One table for what is read off nodes and what is written into pods. Who pays for a node, and how, no
label says where there is no cloud: such a node counts as on demand, and so does reserved capacity.

Sources: Karpenter "Well-known labels"; GKE "Spot VMs"; EKS "Managed node groups"; AKS "Spot node
pools".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from conch.observe.types import Toleration

SPOT: Final = "Spot"
ON_DEMAND: Final = "OnDemand"

# Karpenter's first: of several alternatives it provisions for the first and drops it only later.
SPOT_LABELS: Final = (
    ("karpenter.sh/capacity-type", "spot"),
    ("cloud.google.com/gke-spot", "true"),
    ("cloud.google.com/gke-preemptible", "true"),
    ("eks.amazonaws.com/capacityType", "SPOT"),
    ("kubernetes.azure.com/scalesetpriority", "spot"),
)

# AKS taints all its spot nodes, GKE those that it provisions by itself.
SPOT_TOLERATIONS: Final = tuple(
    Toleration(key, "Equal", value, "NoSchedule")
    for key, value in SPOT_LABELS
    if key.startswith(("cloud.google.com/", "kubernetes.azure.com/"))
)


def capacity_type(labels: Mapping[str, str]) -> str:
    """How a node with these labels is paid for."""
    return SPOT if any(labels.get(key) == value for key, value in SPOT_LABELS) else ON_DEMAND
