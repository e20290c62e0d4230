"""Whether a class, and a node, can take a replica: one predicate per rule, each with its reason.

Judges only; what is free right now is the ledger's business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from conch.observe.types import (
    AcceleratorKind,
    NodeCapacity,
    PlacementRequest,
    Taint,
    Tiers,
    Toleration,
)

LotKey = tuple[str, bool, int]
"""Capacity type, whether the node is still to come, and which tier of areas it stands in."""


class Fit(StrEnum):
    """How a class stands to a service, most hopeful first."""

    CHOSEN = "chosen"
    FITS = "fits"
    FULL = "full"
    HOST_FULL = "no cpu or memory"
    ON_DEMAND_FULL = "no room on demand"
    NO_UNITS = "no units yet"
    AVOIDED = "avoided for now"
    TAINTED = "tainted"
    NOT_READY = "not ready"
    RECLAIMED = "being reclaimed"
    DRIVER = "driver too old"
    CAPACITY_TYPE = "other capacity type"
    SITE = "other site"
    ARCHITECTURE = "other architecture"
    NO_NODE = "no node"
    TOO_LARGE = "too large"
    TOO_SMALL = "too small"
    TOO_OLD = "too old"
    TOO_SLOW = "too slow"
    OTHER_IMAGE = "other image"
    UNKNOWN = "unknown"


# Only a change of the spec, the class or the hardware helps; waiting does not.
PERMANENT = frozenset(
    {Fit.TOO_LARGE, Fit.TOO_SMALL, Fit.TOO_OLD, Fit.TOO_SLOW, Fit.OTHER_IMAGE, Fit.UNKNOWN}
)

_CORDONED = Taint("node.kubernetes.io/unschedulable", "", "NoSchedule")
_REPELLING = frozenset({"NoSchedule", "NoExecute"})


def class_refusal(kind: AcceleratorKind, request: PlacementRequest) -> Fit | None:
    """Why no unit of ``kind`` can ever serve ``request``; None if one can.

    Unknown memory (0) satisfies no declared minimum, because a model that does not fit is found out
    late; against a figure of ours it is taken on trust, and so is a class where the service runs.
    Unknown compute capability is taken on trust: few providers' labels carry it.
    """
    if kind.resource and not _has_memory(kind, request):
        return Fit.TOO_SMALL
    wanted, has = request.min_compute_capability, kind.compute_capability
    if kind.resource and wanted is not None and has is not None and has < wanted:
        return Fit.TOO_OLD
    if kind.resource and kind.integrated != request.integrated:
        return Fit.OTHER_IMAGE
    if not request.capacity_rps.get(kind.name, 1.0) > 0:
        return Fit.TOO_SLOW
    return None


def _has_memory(kind: AcceleratorKind, request: PlacementRequest) -> bool:
    if request.min_memory_bytes:
        return request.min_memory_bytes <= kind.memory_bytes
    found = request.footprint
    if found is None or not kind.memory_bytes or kind.name in found.fits_on:
        return True
    return found.memory_bytes <= kind.memory_bytes


@dataclass(frozen=True, slots=True)
class Filter:
    """Which nodes of a class a service may be on: what its pods' affinity and tolerations say.

    Of a node that tells no driver it is taken on trust.
    """

    selector: tuple[tuple[str, str], ...]
    tolerations: tuple[Toleration, ...]
    capacity_types: tuple[str, ...]  # best first; (): any
    sites: tuple[str, ...]  # (): any
    architectures: tuple[str, ...]  # (): any
    min_driver: int
    tiers: Tiers = ()  # areas that pods prefer

    @classmethod
    def of(cls, request: PlacementRequest) -> Filter:
        """The filter of a request."""
        return cls(
            tuple(sorted(request.node_selector.items())),
            request.tolerations,
            request.capacity_types,
            request.sites,
            request.architectures,
            request.min_driver,
        )

    def lot(self, node: NodeCapacity) -> LotKey:
        """What decides what a replica on that node is worth, to who has this filter."""
        tier, tiers = 0, self.tiers
        if tiers:
            area = node.area
            tier = next((i for i, areas in enumerate(tiers) if area in areas), len(tiers))
        return node.capacity_type, bool(node.coming), tier

    def on(self, kind: AcceleratorKind) -> Filter:
        """What of it counts on nodes of a class: without an accelerator, no driver does."""
        return self if kind.resource else replace(self, min_driver=0)


def node_refusal(
    node: NodeCapacity, filter_: Filter, tolerations: tuple[Toleration, ...]
) -> Fit | None:
    """Why no pod of the service goes to ``node``; None if one may. What lasts longest first."""
    labels = node.labels
    for key, value in filter_.selector:
        if labels.get(key) != value:
            return Fit.NO_NODE
    if filter_.sites and node.site not in filter_.sites:
        return Fit.SITE
    if filter_.architectures and node.arch not in filter_.architectures:
        return Fit.ARCHITECTURE
    if filter_.capacity_types and node.capacity_type not in filter_.capacity_types:
        return Fit.CAPACITY_TYPE
    if not node.ready:
        return Fit.NOT_READY
    if node.reclaimed:
        return Fit.RECLAIMED
    if 0 < node.driver < filter_.min_driver:
        return Fit.DRIVER
    if node.unschedulable and not tolerated(_CORDONED, tolerations):
        return Fit.NOT_READY
    return Fit.TAINTED if repelling_taint(node, tolerations) is not None else None


def implied_tolerations(kind: AcceleratorKind) -> tuple[Toleration, ...]:
    """What every pod on ``kind`` tolerates without being told; ``render.placement`` writes them.

    Clouds taint with ``nvidia.com/gpu`` whatever the slice is called; the admission plugin
    ExtendedResourceToleration uses the resource's own name.
    """
    if not kind.resource:
        return ()
    keys = dict.fromkeys(("nvidia.com/gpu", kind.resource))
    return tuple(Toleration(key=key, operator="Exists") for key in keys)


def carries(labels: Mapping[str, str], selector: Mapping[str, str]) -> bool:
    """Whether ``labels`` has every pair of ``selector``."""
    return all(labels.get(key) == value for key, value in selector.items())


def repelling_taint(node: NodeCapacity, tolerations: tuple[Toleration, ...]) -> Taint | None:
    """The first taint of ``node`` that keeps pods with these tolerations off."""
    for taint in node.taints:
        if taint.effect in _REPELLING and not tolerated(taint, tolerations):
            return taint
    return None


def tolerated(taint: Taint, tolerations: tuple[Toleration, ...]) -> bool:
    """Whether one of the tolerations matches, with the meaning Kubernetes gives them."""
    return any(_matches(toleration, taint) for toleration in tolerations)


def _matches(toleration: Toleration, taint: Taint) -> bool:
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.operator == "Exists":
        return toleration.key in ("", taint.key)
    return toleration.key == taint.key and toleration.value == taint.value
