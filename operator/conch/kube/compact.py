"""Pods and nodes with no more than is looked at: a cluster may have tens of thousands of them.

Of pods that are nobody's business here stays what they take from their node; of nodes, what places
pods. Text and requests that repeat are kept once. What an object means is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from sys import intern
from typing import Final, TypeVar

import msgspec

from conch.kube.views import (
    Container,
    Metadata,
    Node,
    NodeStatus,
    Pod,
    PodSpec,
    PodStatus,
    ResourceRequirements,
    StatusCondition,
)

K = TypeVar("K")
V = TypeVar("V")

_KEPT: Final = 4096  # different sets of containers, and conditions, that are remembered
_NONE: Final[dict[str, str]] = {}  # a default would be a dict of its own for each


def pods(label_prefix: str) -> Callable[[bytes], Pod]:
    """A reader of pods: whole ones of those with such a label, of the others what they take."""
    decode = msgspec.json.Decoder(Pod).decode
    shared: dict[bytes, PodSpec] = {}

    def read(raw: bytes) -> Pod:
        pod = decode(raw)
        meta, spec = pod.metadata, pod.spec
        if any(label.startswith(label_prefix) for label in meta.labels):
            return pod
        bare = PodSpec(
            containers=tuple(map(_needs, spec.containers)),
            init_containers=tuple(map(_needs, spec.init_containers)),
            overhead=spec.overhead,
        )
        like = _once(shared, msgspec.json.encode(bare), bare)
        return Pod(
            Metadata(
                name=meta.name,
                namespace=intern(meta.namespace),
                uid=meta.uid,
                labels=_NONE,
                annotations=_NONE,
            ),
            PodSpec(
                node_name=intern(spec.node_name),
                containers=like.containers,
                init_containers=like.init_containers,
                overhead=like.overhead,
            ),
            PodStatus(phase=intern(pod.status.phase)),
        )

    return read


def nodes() -> Callable[[bytes], Node]:
    """A reader of nodes, without annotations, and without what conditions say beside True."""
    decode = msgspec.json.Decoder(Node).decode
    shared: dict[tuple[str, str], StatusCondition] = {}

    def read(raw: bytes) -> Node:
        node = decode(raw)
        meta, status = node.metadata, node.status
        return Node(
            Metadata(
                name=meta.name,
                uid=meta.uid,
                deletion_timestamp=meta.deletion_timestamp,
                labels={intern(key): intern(value) for key, value in meta.labels.items()},
                annotations=_NONE,
            ),
            node.spec,
            NodeStatus(
                allocatable={intern(key): value for key, value in status.allocatable.items()},
                conditions=tuple(
                    _once(shared, (c.type, c.status), StatusCondition(c.type, c.status))
                    for c in status.conditions
                ),
            ),
        )

    return read


def _needs(container: Container) -> Container:
    requests: Mapping[str, str | int | float] = container.resources.requests
    return Container(
        restart_policy=container.restart_policy,
        resources=ResourceRequirements(requests=dict(sorted(requests.items()))),
    )


def _once(known: dict[K, V], key: K, value: V) -> V:
    """The value first seen under that key; nothing is remembered for ever."""
    if len(known) >= _KEPT:
        known.clear()
    return known.setdefault(key, value)
