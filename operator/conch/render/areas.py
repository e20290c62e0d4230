"""Areas that pods prefer, as an affinity says it and as it is read from a Deployment that is there.

The template is the only place where the order is kept: what pods were made with is what they
follow. Preferred only: a pod is never Pending because of it.
"""

from __future__ import annotations

from typing import Any, Final

from conch.kube.views import Object
from conch.observe.types import AREA_LABELS, Area, Tiers

# Far enough apart that spreading over nodes does not outweigh a tier.
_WEIGHTS: Final = (100, 10, 1)
# Beside a preferred capacity type, which is what the user named: all of them weigh less than that.
_LESS: Final = (50, 5, 1)


def terms(tiers: Tiers, *, beside_capacity_types: bool) -> list[Object]:
    """Preferences of the node affinity; a tier is a term for each label that its areas go by."""
    weights = _LESS if beside_capacity_types else _WEIGHTS
    found: list[Object] = []
    for weight, areas in zip(weights, tiers, strict=False):
        for key in AREA_LABELS:
            if values := sorted(value for label, value in areas if label == key):
                rule = {"key": key, "operator": "In", "values": values}
                found.append({"weight": weight, "preference": {"matchExpressions": [rule]}})
    return found


def preferred(deployment: Object) -> Tiers:
    """The areas that a Deployment's pods prefer; () none."""
    spec = deployment["spec"].get("template", {}).get("spec", {})  # snapshots may lack it
    affinity = spec.get("affinity", {}).get("nodeAffinity", {})
    tiers: dict[int, list[Area]] = {}
    for term in affinity.get("preferredDuringSchedulingIgnoredDuringExecution", ()):
        rules: list[Any] = term["preference"].get("matchExpressions", [])
        if len(rules) == 1 and rules[0]["key"] in AREA_LABELS:
            areas = tiers.setdefault(int(term["weight"]), [])
            areas += [(rules[0]["key"], value) for value in rules[0].get("values", ())]
    return tuple(tuple(sorted(tiers[weight])) for weight in sorted(tiers, reverse=True))
