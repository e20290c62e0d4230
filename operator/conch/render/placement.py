"""Where pods may go: the class that placement chose is required, spreading is only preferred."""

from __future__ import annotations

from collections.abc import Sequence

from conch.api import names, v1alpha1
from conch.kube.views import Object
from conch.observe.types import AcceleratorKind

GPU_TAINT = "nvidia.com/gpu"


def node_affinity(kind: AcceleratorKind) -> Object:
    """Only nodes that carry every label of the class; empty for the CPU class."""
    if not kind.node_selector:
        return {}
    expressions = [
        {"key": key, "operator": "In", "values": [value]}
        for key, value in sorted(kind.node_selector.items())
    ]
    terms = {"nodeSelectorTerms": [{"matchExpressions": expressions}]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}


def tolerations(given: Sequence[v1alpha1.Toleration], kind: AcceleratorKind) -> list[Object]:
    """The user's, and the taints that keep everyone else off accelerator nodes.

    Clouds taint with ``nvidia.com/gpu`` whatever the slice is called; the admission plugin
    ExtendedResourceToleration goes by the resource's own name.
    """
    wanted = [toleration.model_dump(exclude_none=True) for toleration in given]
    for key in dict.fromkeys((GPU_TAINT, kind.resource)) if kind.resource else ():
        exists = {"key": key, "operator": "Exists"}
        if exists not in wanted:
            wanted.append(exists)
    return wanted


def spread(name: str) -> list[Object]:
    """Prefer different nodes and zones, among the pods of the same revision."""
    return [
        {
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": names.selector_labels(name)},
            "matchLabelKeys": ["pod-template-hash"],
        }
        for key in ("kubernetes.io/hostname", "topology.kubernetes.io/zone")
    ]
