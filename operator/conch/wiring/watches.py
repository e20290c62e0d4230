"""Which collections of the API server are mirrored; `changes` has what each change wakes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from conch.api import names
from conch.kube import compact
from conch.kube.reflector import WATCH_S, Reflector
from conch.kube.transport import Api, path
from conch.kube.views import (
    Autoscaler,
    DeviceClass,
    Event,
    Node,
    NodeClaim,
    NodePool,
    Object,
    Pod,
    PriorityClass,
    ResourceClaim,
    ResourceSlice,
    decoder,
    whole,
)
from conch.wiring.changes import Changes

# Where claims are no part of the API (Kubernetes before 1.34), there are none.
_CLAIMS = "resource.k8s.io/v1"
# Where Karpenter is not installed, nobody makes nodes in its way.
_KARPENTER = "karpenter.sh/v1"
_OWNED = (
    ("apps/v1", "deployments", "Deployment", names.MANAGED_SELECTOR),
    ("v1", "services", "Service", names.MANAGED_SELECTOR),
    ("networking.k8s.io/v1", "networkpolicies", "NetworkPolicy", names.MANAGED_SELECTOR),
    ("policy/v1", "poddisruptionbudgets", "PodDisruptionBudget", names.MANAGED_SELECTOR),
    (_CLAIMS, "resourceclaimtemplates", "ResourceClaimTemplate", names.MANAGED_SELECTOR),
    # Of services that may go to zero only: our own, and those that Kubernetes keeps.
    ("discovery.k8s.io/v1", "endpointslices", "EndpointSlice", f"{names.LABEL_TO_ZERO}=true"),
)


Mirror = (
    Reflector[Pod]
    | Reflector[Node]
    | Reflector[Event]
    | Reflector[Autoscaler]
    | Reflector[PriorityClass]
    | Reflector[ResourceSlice]
    | Reflector[ResourceClaim]
    | Reflector[DeviceClass]
    | Reflector[NodePool]
    | Reflector[NodeClaim]
    | Reflector[Object]
)


def watches(api: Api, changes: Changes, namespaces: Sequence[str]) -> list[Mirror]:
    """All reflectors, not yet running. No namespaces: the whole cluster."""
    scopes: Sequence[str | None] = namespaces or (None,)
    return [*_cluster_wide(api, changes), *(m for s in scopes for m in _scoped(api, changes, s))]


def _cluster_wide(api: Api, changes: Changes) -> Iterator[Mirror]:
    yield Reflector(api, path("v1", "nodes"), compact.nodes(), changes.on_node, name="nodes")
    # Pods of all namespaces, whichever are served: anybody's pods take a node's accelerators.
    yield Reflector(
        api, path("v1", "pods"), compact.pods(f"{names.GROUP}/"), changes.on_pod, name="pods"
    )
    yield Reflector(
        api,
        path("scheduling.k8s.io/v1", "priorityclasses"),
        decoder(PriorityClass),
        changes.on_priority_class,
        name="priority classes",
    )
    yield Reflector(
        api,
        path(_CLAIMS, "resourceslices"),
        decoder(ResourceSlice),
        changes.on_slice,
        name="resource slices",
        optional=True,
    )
    # Of all namespaces, like pods: anybody's claims take devices.
    yield Reflector(
        api,
        path(_CLAIMS, "resourceclaims"),
        decoder(ResourceClaim),
        changes.on_claim,
        name="resource claims",
        optional=True,
    )
    yield Reflector(
        api,
        path(_CLAIMS, "deviceclasses"),
        decoder(DeviceClass),
        changes.on_device_class,
        name="device classes",
        optional=True,
    )
    yield Reflector(
        api,
        path(_KARPENTER, "nodepools"),
        decoder(NodePool),
        changes.on_node_pool,
        name="node pools",
        optional=True,
    )
    yield Reflector(
        api,
        path(_KARPENTER, "nodeclaims"),
        decoder(NodeClaim),
        changes.on_node_claim,
        name="node claims",
        optional=True,
    )


def _scoped(api: Api, changes: Changes, scope: str | None) -> Iterator[Mirror]:
    """What is read only where services are."""
    suffix = f" in {scope}" if scope else ""
    yield Reflector(
        api,
        path("v1", "events", scope),
        decoder(Event),
        changes.on_mount_event,
        field_selector="reason=FailedMount,involvedObject.kind=Pod",
        # Events have no watch cache, hence no bookmarks: silence proves nothing before
        # the server's own end of the watch.
        inactivity_s=WATCH_S + 30,
        name=f"mount events{suffix}",
    )
    yield Reflector(
        api,
        path("autoscaling/v2", "horizontalpodautoscalers", scope),
        decoder(Autoscaler),
        changes.on_autoscaler,
        name=f"autoscalers{suffix}",
    )
    for api_version, plural, kind, selector in _OWNED:
        yield Reflector(
            api,
            path(api_version, plural, scope),
            whole(api_version, kind),
            changes.on_child,
            label_selector=selector,
            name=f"{plural}{suffix}",
            optional=api_version == _CLAIMS,
        )
