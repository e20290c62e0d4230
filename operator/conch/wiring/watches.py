"""Which collections are mirrored, and what each change of them wakes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from conch.api import names
from conch.kube import compact
from conch.kube.reflector import WATCH_S, Change, Reflector
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
from conch.observe.state import ClusterState
from conch.reconcile.queue import Priority, WorkQueue

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


class Activators(Protocol):
    """Who is told of the activators' pods."""

    def set_pod(self, pod: Pod) -> None: ...

    def remove_pod(self, uid: str) -> None: ...


def watches(
    api: Api,
    state: ClusterState,
    queue: WorkQueue,
    replan: Callable[[], None],
    namespaces: Sequence[str],
    activators: Activators | None = None,
    operator_namespace: str = "",
) -> list[Mirror]:
    """All reflectors, not yet running. No namespaces: the whole cluster."""
    scopes: Sequence[str | None] = namespaces or (None,)

    def on_pod(change: Change[Pod]) -> None:
        pod = change.new or change.old
        if pod is None:
            return
        # In our own namespace only: what an activator tells, others must not be able to.
        if (
            activators is not None
            and change.namespace == operator_namespace
            and pod.metadata.labels.get(names.LABEL_ACTIVATOR) == "true"
        ):
            if change.new is None:
                activators.remove_pod(pod.metadata.uid)
            else:
                activators.set_pod(change.new)
        builder = state.inventory_builder
        ours = not namespaces or change.namespace in namespaces
        if change.new is None:
            moved = builder.remove_pod(pod.metadata.uid)
            key = state.remove_pod(pod.metadata.uid)
        else:
            moved = builder.upsert_pod(pod)
            key = state.set_pod(pod) if ours else None
        if moved or (key is not None and _binding(change)):
            replan()
        if key is not None:
            queue.add(key, Priority.CHILD)

    def on_node(change: Change[Node]) -> None:
        builder = state.inventory_builder
        left = builder.leaves(change.name)
        if change.new is None:
            moved = builder.remove_node(change.name)
        else:
            moved = builder.upsert_node(change.new)
        if moved:
            replan()
        if builder.leaves(change.name) != left:
            for key in state.on_node(change.name):
                queue.add(key, Priority.SCALE)

    def on_priority_class(change: Change[PriorityClass]) -> None:
        if change.new is not None:
            state.priority_classes[change.name] = change.new
        else:
            state.priority_classes.pop(change.name, None)
        replan()

    devices = state.inventory_builder.devices

    def counted(changed: bool) -> None:
        if changed:
            state.inventory_builder.books_changed()
            replan()

    def on_slice(change: Change[ResourceSlice]) -> None:
        new = change.new
        counted(devices.remove_slice(change.name) if new is None else devices.set_slice(new))

    def on_claim(change: Change[ResourceClaim]) -> None:
        if change.new is not None:
            counted(devices.set_claim(change.new))
        elif change.old is not None:
            counted(devices.remove_claim(change.old.metadata.uid))

    def on_device_class(change: Change[DeviceClass]) -> None:
        new = change.new
        counted(devices.remove_class(change.name) if new is None else devices.set_class(new))

    pools = state.inventory_builder.node_pools

    def on_node_pool(change: Change[NodePool]) -> None:
        new = change.new
        counted(pools.remove_pool(change.name) if new is None else pools.set_pool(new))

    def on_node_claim(change: Change[NodeClaim]) -> None:
        new = change.new
        counted(pools.remove_claim(change.name) if new is None else pools.set_claim(new))

    def on_mount_event(change: Change[Event]) -> None:
        if change.new is not None and (key := state.set_mount_event(change.new)) is not None:
            queue.add(key, Priority.CHILD)

    def on_child(change: Change[Object]) -> None:
        if change.new is not None:
            key = state.set_child(change.new)
        else:
            key = state.remove_child(change.old) if change.old is not None else None
        if key is not None:
            queue.add(key, Priority.CHILD)

    def on_autoscaler(change: Change[Autoscaler]) -> None:
        if change.new is not None:
            concerned = state.foreign.set_autoscaler(change.new)
        elif change.old is not None:
            concerned = state.foreign.remove_autoscaler(change.old.metadata.uid)
        else:
            return
        for key in concerned:
            if key in state.services:
                queue.add(key, Priority.CHILD)

    def build() -> Iterator[Mirror]:
        yield Reflector(api, path("v1", "nodes"), compact.nodes(), on_node, name="nodes")
        # Pods of all namespaces, whichever are served: anybody's pods take a node's accelerators.
        yield Reflector(
            api, path("v1", "pods"), compact.pods(f"{names.GROUP}/"), on_pod, name="pods"
        )
        yield Reflector(
            api,
            path("scheduling.k8s.io/v1", "priorityclasses"),
            decoder(PriorityClass),
            on_priority_class,
            name="priority classes",
        )
        yield Reflector(
            api,
            path(_CLAIMS, "resourceslices"),
            decoder(ResourceSlice),
            on_slice,
            name="resource slices",
            optional=True,
        )
        # Of all namespaces, like pods: anybody's claims take devices.
        yield Reflector(
            api,
            path(_CLAIMS, "resourceclaims"),
            decoder(ResourceClaim),
            on_claim,
            name="resource claims",
            optional=True,
        )
        yield Reflector(
            api,
            path(_CLAIMS, "deviceclasses"),
            decoder(DeviceClass),
            on_device_class,
            name="device classes",
            optional=True,
        )
        yield Reflector(
            api,
            path(_KARPENTER, "nodepools"),
            decoder(NodePool),
            on_node_pool,
            name="node pools",
            optional=True,
        )
        yield Reflector(
            api,
            path(_KARPENTER, "nodeclaims"),
            decoder(NodeClaim),
            on_node_claim,
            name="node claims",
            optional=True,
        )
        for scope in scopes:
            suffix = f" in {scope}" if scope else ""
            yield Reflector(
                api,
                path("v1", "events", scope),
                decoder(Event),
                on_mount_event,
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
                on_autoscaler,
                name=f"autoscalers{suffix}",
            )
            for api_version, plural, kind, selector in _OWNED:
                yield Reflector(
                    api,
                    path(api_version, plural, scope),
                    whole(api_version, kind),
                    on_child,
                    label_selector=selector,
                    name=f"{plural}{suffix}",
                    optional=api_version == _CLAIMS,
                )

    return list(build())


def _binding(change: Change[Pod]) -> bool:
    """Whether a pod of ours came, went, or was bound: placement counts those."""
    old, new = change.old, change.new
    if old is None or new is None:
        return True
    return (old.spec.node_name, old.status.phase) != (new.spec.node_name, new.status.phase)
