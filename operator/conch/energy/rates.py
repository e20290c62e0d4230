"""Which grid feeds a pod, what its site adds, and what its energy emits.

Zones come from accelerator classes and nodes. What is not known stays unknown:
half a sum would look like a small one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from conch.observe.types import AcceleratorKind, NodeCapacity

JOULES_PER_KWH: Final = 3.6e6

# Facility energy over what the machines draw: the defaults that carbon accounting tools use for a
# site of which nothing is known, and for clouds.
PUE_UNKNOWN: Final = 1.56
_PUE_BY_LABEL: Final = (
    ("eks.amazonaws.com/", 1.2),
    ("karpenter.k8s.aws/", 1.2),
    ("cloud.google.com/", 1.12),
    ("kubernetes.azure.com/", 1.12),
    ("karpenter.azure.com/", 1.12),
)
_REGION: Final = "topology.kubernetes.io/region"


def pue(node: NodeCapacity, given: float) -> float:
    """Power usage effectiveness where the node stands; ``given`` wins unless it is 0."""
    if given:
        return given
    for prefix, value in _PUE_BY_LABEL:
        if any(label.startswith(prefix) for label in node.labels):
            return value
    return PUE_UNKNOWN


def carbon_zone(kind: AcceleratorKind, node: NodeCapacity, zones: Mapping[str, str]) -> str:
    """The grid that feeds the node, in the source's words; "" when nothing tells.

    The class says so, or else ``zones`` maps the node's zone, its region, its site, or "*".
    Without a map a node's region stands for itself, which Carbon Aware SDKs understand.
    """
    if kind.carbon_zone:
        return kind.carbon_zone
    region = node.labels.get(_REGION, "")
    for name in (node.zone, region, node.site, "*"):
        if name and name in zones:
            return zones[name]
    return region or node.zone


def grams(joules: float, pue_there: float, g_per_kwh: float) -> float:
    """Grams of CO2 equivalent of so much energy at the machines."""
    return joules / JOULES_PER_KWH * pue_there * g_per_kwh
