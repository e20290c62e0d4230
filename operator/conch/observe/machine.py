"""What a node's labels, taints and conditions say of the machine under it.

Whose cloud, which zone and site, which architecture, which NVIDIA driver, and whether its provider
is about to take it away. Pure; a label that says nonsense says nothing.

Sources of the notices: Karpenter (karpenter.sh/disrupted; before v1 karpenter.sh/disruption),
aws/aws-node-termination-handler pkg/node, GKE's maintenance handler (impending-node-termination),
AKS node auto-drain (remediator taint; conditions PreemptScheduled, TerminateScheduled,
RedeployScheduled), cloud-provider-azure, cluster-autoscaler, Kubernetes' well-known taints.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from conch.api import names
from conch.kube.views import StatusCondition, Taint

_ZONES: Final = ("topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone")
_ARCHES: Final = ("kubernetes.io/arch", "beta.kubernetes.io/arch")
# Label prefixes that only one cloud's own components write.
_CLOUDS: Final = (
    ("eks.amazonaws.com/", "aws"),
    ("karpenter.k8s.aws/", "aws"),
    ("cloud.google.com/", "gcp"),
    ("karpenter.k8s.gcp/", "gcp"),
    ("kubernetes.azure.com/", "azure"),
    ("karpenter.azure.com/", "azure"),
)
_NOTICES: Final = frozenset(
    {
        "karpenter.sh/disrupted",
        "karpenter.sh/disruption",
        "aws-node-termination-handler/spot-itn",
        "aws-node-termination-handler/scheduled-maintenance",
        "aws-node-termination-handler/asg-lifecycle-termination",
        "aws-node-termination-handler/rebalance-recommendation",
        "cloud.google.com/impending-node-termination",
        "remediator.kubernetes.azure.com/unschedulable",
        "remediator.aks.microsoft.com/unschedulable",
        "cloudprovider.azure.microsoft.com/draining",
        "ToBeDeletedByClusterAutoscaler",
        "node.cloudprovider.kubernetes.io/shutdown",
        "node.kubernetes.io/out-of-service",
    }
)
# Freezes and reboots are no reason: the machine stays.
_EVENTS: Final = frozenset({"PreemptScheduled", "TerminateScheduled", "RedeployScheduled"})


def cloud(labels: Mapping[str, str]) -> str:
    """aws, gcp or azure; "" where no label tells."""
    for label in labels:
        for prefix, name in _CLOUDS:
            if label.startswith(prefix):
                return name
    return ""


def zone(labels: Mapping[str, str]) -> str:
    """The availability zone; "" where there is none."""
    return next((value for key in _ZONES if (value := labels.get(key))), "")


def site(labels: Mapping[str, str]) -> str:
    """The site that people put the node into; "" where they did not."""
    return labels.get(names.LABEL_SITE, "")


def arch(labels: Mapping[str, str]) -> str:
    """The CPU architecture; the kubelet labels every node with it."""
    return next((value for key in _ARCHES if (value := labels.get(key))), "amd64")


def driver(labels: Mapping[str, str]) -> int:
    """The branch of NVIDIA's driver (535.104.05: 535) as GPU Feature Discovery tells it; 0: none.

    Not from its older label ``cuda.driver.major``: kube-scheduler is told this one alone.
    """
    branch = labels.get(names.LABEL_DRIVER, "")
    return int(branch) if branch.isascii() and branch.isdigit() and len(branch) <= 4 else 0


def reclaimed(taints: Iterable[Taint], conditions: Iterable[StatusCondition]) -> bool:
    """Whether notice was given that the machine goes within minutes.

    A taint that only prefers other nodes (PreferNoSchedule) is an intention, not a notice.
    """
    return any(t.key in _NOTICES and t.effect != "PreferNoSchedule" for t in taints) or any(
        c.type in _EVENTS and c.status == "True" for c in conditions
    )
