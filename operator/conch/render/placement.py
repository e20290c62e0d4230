"""Where pods may go: the class, the sites and the capacity types that placement chose from.

The class, the sites and what the runtime's image runs on are required, and so is a capacity type
when only one is allowed; the better of two capacity types and spreading are only preferred.
kube-scheduler (or the one that is named) binds.
"""

from __future__ import annotations

from collections.abc import Sequence

from conch.api import names, v1alpha1
from conch.kube.views import Object
from conch.observe.spot import SPOT, SPOT_LABELS, SPOT_TOLERATIONS
from conch.observe.types import AcceleratorKind, Tiers
from conch.render import areas
from conch.triton.capability import support_of

GPU_TAINT = "nvidia.com/gpu"
UNREACHABLE_TAINT = "node.kubernetes.io/unreachable"
# As much as a preference can weigh: spreading must not bring pods onto what is second best.
_WEIGHT = 100
# kube-scheduler takes differences for less, the more of them are allowed.
_WEAK_SKEW = 5


def node_affinity(
    kind: AcceleratorKind,
    placement: v1alpha1.Placement,
    runtime: v1alpha1.TritonRuntimeSpec,
    tiers: Tiers = (),
) -> Object:
    """Only nodes of the class, the sites, the capacity types, and those that the image runs on.

    Empty when any node will do. ``tiers``: areas that are preferred.
    """
    common = [_one_of(key, value) for key, value in sorted(kind.node_selector.items())]
    if placement.sites:
        common.append(_one_of(names.LABEL_SITE, *sorted(placement.sites)))
    if runtime.architectures:
        common.append(_one_of(names.LABEL_ARCH, *sorted(runtime.architectures)))
    types = placement.capacity_types or []
    # Terms are alternatives; what is inside one must hold together.
    terms = [common]
    if len(types) == 1:
        terms = [[*common, *term] for term in _paid_as(types[0])]
    if kind.resource:
        driver = support_of(runtime).min_driver
        terms = [[*term, rule] for term in terms for rule in _driver_from(driver)]
    affinity: Object = {}
    if any(terms):
        affinity["requiredDuringSchedulingIgnoredDuringExecution"] = {
            "nodeSelectorTerms": [{"matchExpressions": term} for term in terms]
        }
    preferred = areas.terms(tiers, beside_capacity_types=len(types) > 1)
    if len(types) > 1:
        preferred += [
            {"weight": _WEIGHT, "preference": {"matchExpressions": term}}
            for term in _paid_as(types[0])
        ]
    if preferred:
        affinity["preferredDuringSchedulingIgnoredDuringExecution"] = preferred
    return {"nodeAffinity": affinity} if affinity else {}


def _paid_as(capacity_type: str) -> list[list[Object]]:
    """Alternatives of expressions that find the nodes of a capacity type, whoever labelled them."""
    if capacity_type == SPOT:
        return [[_one_of(key, value)] for key, value in SPOT_LABELS]
    return [[{"key": key, "operator": "NotIn", "values": [value]} for key, value in SPOT_LABELS]]


def _driver_from(branch: int) -> list[Object]:
    """Alternatives that find nodes with that driver or a newer one, and those that tell none."""
    newer = {"key": names.LABEL_DRIVER, "operator": "Gt", "values": [str(branch - 1)]}
    return [newer, {"key": names.LABEL_DRIVER, "operator": "DoesNotExist"}]


def _one_of(key: str, *values: str) -> Object:
    return {"key": key, "operator": "In", "values": list(values)}


def tolerations(placement: v1alpha1.Placement, kind: AcceleratorKind) -> list[Object]:
    """The user's, and the taints that keep everyone else off accelerator, spot and site nodes.

    Clouds taint with ``nvidia.com/gpu`` whatever the slice is called; the admission plugin
    ExtendedResourceToleration goes by the resource's own name. A node of a site that cannot reach
    the API server is not gone: without a limit in the toleration its pods are not evicted.
    """
    given: Sequence[v1alpha1.Toleration] = placement.tolerations or []
    wanted = [toleration.model_dump(exclude_none=True) for toleration in given]
    keys = (GPU_TAINT,) if kind.device_class else (GPU_TAINT, kind.resource)
    for key in dict.fromkeys(keys) if kind.resource else ():
        exists = {"key": key, "operator": "Exists"}
        if exists not in wanted:
            wanted.append(exists)
    if SPOT in (placement.capacity_types or ()):
        wanted += [
            {"key": t.key, "operator": t.operator, "value": t.value, "effect": t.effect}
            for t in SPOT_TOLERATIONS
        ]
    if placement.sites:
        wanted.append({"key": UNREACHABLE_TAINT, "operator": "Exists", "effect": "NoExecute"})
    return wanted


def apart(name: str, placement: v1alpha1.Placement) -> Object:
    """Prefer sites with fewest of the service's pods, where each site has a minimum of its own.

    Spreading alone counts nodes as well, and less than an image that is on a node already.
    Preferred only: required, one site without room would keep all others at its level.
    """
    if not placement.site_minima:
        return {}
    term = {
        "labelSelector": {"matchLabels": names.selector_labels(name)},
        "topologyKey": names.LABEL_SITE,
    }
    preferred = [{"weight": _WEIGHT, "podAffinityTerm": term}]
    return {"podAntiAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}


def spread(name: str, placement: v1alpha1.Placement, tiers: Tiers = ()) -> list[Object]:
    """Prefer different nodes, and sites or else zones, among the pods of the same revision.

    Never both: kube-scheduler leaves out nodes that lack one of the labels, and nodes at a site
    often have no zone. Where some areas are preferred, pods spread over the best of them, and less
    strongly than they prefer those.
    """
    wide = names.LABEL_SITE if placement.sites else names.LABEL_ZONE
    keys = ["kubernetes.io/hostname", wide]
    if tiers and sum(label == wide for label, _ in tiers[0]) == 1:
        keys.remove(wide)
    return [
        {
            "maxSkew": _WEAK_SKEW if tiers else 1,
            "topologyKey": key,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": {"matchLabels": names.selector_labels(name)},
            "matchLabelKeys": ["pod-template-hash"],
        }
        for key in keys
    ]
