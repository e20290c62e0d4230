"""What each change of a mirrored collection does to the state, and whom it wakes.

It decides who has to look again, never what follows from it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from conch.api import names
from conch.kube.reflector import Change
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
)
from conch.observe.state import ClusterState
from conch.reconcile.queue import Priority, WorkQueue


class Activators(Protocol):
    """Who is told of the activators' pods."""

    def set_pod(self, pod: Pod) -> None: ...

    def remove_pod(self, uid: str) -> None: ...


class Changes:
    """One method per collection. No namespaces: the whole cluster is served."""

    def __init__(
        self,
        state: ClusterState,
        queue: WorkQueue,
        replan: Callable[[], None],
        namespaces: Sequence[str] = (),
        activators: Activators | None = None,
        operator_namespace: str = "",
    ) -> None:
        self._state = state
        self._queue = queue
        self._replan = replan
        self._namespaces = namespaces
        self._activators = activators
        self._operator_namespace = operator_namespace
        self._devices = state.inventory_builder.devices
        self._pools = state.inventory_builder.node_pools

    def on_pod(self, change: Change[Pod]) -> None:
        pod = change.new or change.old
        if pod is None:
            return
        # In our own namespace only: what an activator tells, others must not be able to.
        if (
            self._activators is not None
            and change.namespace == self._operator_namespace
            and pod.metadata.labels.get(names.LABEL_ACTIVATOR) == "true"
        ):
            if change.new is None:
                self._activators.remove_pod(pod.metadata.uid)
            else:
                self._activators.set_pod(change.new)
        builder = self._state.inventory_builder
        ours = not self._namespaces or change.namespace in self._namespaces
        if change.new is None:
            moved = builder.remove_pod(pod.metadata.uid)
            key = self._state.remove_pod(pod.metadata.uid)
        else:
            moved = builder.upsert_pod(pod)
            key = self._state.set_pod(pod) if ours else None
        if moved or (key is not None and _binding(change)):
            self._replan()
        if key is not None:
            self._queue.add(key, Priority.CHILD)

    def on_node(self, change: Change[Node]) -> None:
        builder = self._state.inventory_builder
        left = builder.leaves(change.name)
        if change.new is None:
            moved = builder.remove_node(change.name)
        else:
            moved = builder.upsert_node(change.new)
        if moved:
            self._replan()
        if builder.leaves(change.name) != left:
            for key in self._state.on_node(change.name):
                self._queue.add(key, Priority.SCALE)

    def on_priority_class(self, change: Change[PriorityClass]) -> None:
        if change.new is not None:
            self._state.priority_classes[change.name] = change.new
        else:
            self._state.priority_classes.pop(change.name, None)
        self._replan()

    def _counted(self, changed: bool) -> None:
        if changed:
            self._state.inventory_builder.books_changed()
            self._replan()

    def on_slice(self, change: Change[ResourceSlice]) -> None:
        new = change.new
        self._counted(
            self._devices.remove_slice(change.name) if new is None else self._devices.set_slice(new)
        )

    def on_claim(self, change: Change[ResourceClaim]) -> None:
        if change.new is not None:
            self._counted(self._devices.set_claim(change.new))
        elif change.old is not None:
            self._counted(self._devices.remove_claim(change.old.metadata.uid))

    def on_device_class(self, change: Change[DeviceClass]) -> None:
        new = change.new
        self._counted(
            self._devices.remove_class(change.name) if new is None else self._devices.set_class(new)
        )

    def on_node_pool(self, change: Change[NodePool]) -> None:
        new = change.new
        self._counted(
            self._pools.remove_pool(change.name) if new is None else self._pools.set_pool(new)
        )

    def on_node_claim(self, change: Change[NodeClaim]) -> None:
        new = change.new
        self._counted(
            self._pools.remove_claim(change.name) if new is None else self._pools.set_claim(new)
        )

    def on_mount_event(self, change: Change[Event]) -> None:
        if change.new is not None and (key := self._state.set_mount_event(change.new)) is not None:
            self._queue.add(key, Priority.CHILD)

    def on_child(self, change: Change[Object]) -> None:
        if change.new is not None:
            key = self._state.set_child(change.new)
        else:
            key = self._state.remove_child(change.old) if change.old is not None else None
        if key is not None:
            self._queue.add(key, Priority.CHILD)

    def on_autoscaler(self, change: Change[Autoscaler]) -> None:
        if change.new is not None:
            concerned = self._state.foreign.set_autoscaler(change.new)
        elif change.old is not None:
            concerned = self._state.foreign.remove_autoscaler(change.old.metadata.uid)
        else:
            return
        for key in concerned:
            if key in self._state.services:
                self._queue.add(key, Priority.CHILD)


def _binding(change: Change[Pod]) -> bool:
    """Whether a pod of ours came, went, or was bound: placement counts those."""
    old, new = change.old, change.new
    if old is None or new is None:
        return True
    return (old.spec.node_name, old.status.phase) != (new.spec.node_name, new.status.phase)
