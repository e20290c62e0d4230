"""The accelerator classes there are: the declared ones, and those discovered on nodes that no
declared class speaks for.

Nodes are counted per class and kind of node, so that one that comes or goes costs the size of its
labels, and classes are made anew only when the first or last of a kind does. What a declared class
leaves out comes from its nodes, else from the labels it selects by. Pure; it knows nothing of what
is free.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce

from conch.observe.discovery import Discovered, discover, least, merge
from conch.observe.types import AcceleratorKind

_NOBODY = ""  # speaks for what is discovered and not declared


@dataclass(frozen=True, slots=True)
class _Node:
    labels: Mapping[str, str]
    shown: tuple[str, ...]  # keys of what was discovered on it


class ClassBook:
    """Classes, fed with nodes; ``kinds`` gives the same tuple until they change."""

    def __init__(self) -> None:
        self._nodes: dict[str, _Node] = {}
        self._known: dict[str, Discovered] = {}  # one of each, however many nodes show it
        self._count: Counter[tuple[str, str]] = Counter()  # (class or nobody, key) → nodes
        self._declared: tuple[AcceleratorKind, ...] = ()
        self._kinds: tuple[AcceleratorKind, ...] | None = None

    def show(self, node: str, labels: Mapping[str, str], allocatable: Mapping[str, int]) -> None:
        """Take in what a node's labels say."""
        found = discover(labels, allocatable)
        # The same string for all nodes of a kind: there may be thousands.
        shown = tuple(sys.intern(repr(item)) for item in found)
        known = self._nodes.get(node)
        if known is not None and known.shown == shown and known.labels == labels:
            return
        self.forget(node)
        self._known.update(zip(shown, found, strict=True))
        self._nodes[node] = new = _Node(labels, shown)
        self._tally(new, 1)

    def forget(self, node: str) -> None:
        """The node is gone."""
        if (known := self._nodes.pop(node, None)) is not None:
            self._tally(known, -1)

    def kinds(self, declared: tuple[AcceleratorKind, ...]) -> tuple[AcceleratorKind, ...]:
        """All classes by name."""
        if self._declared != declared:
            self._declared, self._kinds = declared, None
            self._count.clear()
            for node in self._nodes.values():
                self._tally(node, 1)
        if self._kinds is None:
            shown = {key for _, key in self._count}
            self._known = {key: item for key, item in self._known.items() if key in shown}
            seen: dict[str, list[Discovered]] = {}
            for speaker, key in self._count:
                seen.setdefault(speaker, []).append(self._known[key])
            kinds = {kind.name: kind for kind in merge(seen.get(_NOBODY, ()))}
            kinds |= {k.name: _completed(k, seen.get(k.name, ())) for k in declared}
            self._kinds = tuple(kinds[name] for name in sorted(kinds))
        return self._kinds

    def _tally(self, node: _Node, sign: int) -> None:
        for key in node.shown:
            for speaker in self._speakers(node.labels, self._known[key].kind.resource):
                before = self._count[speaker, key]
                self._count[speaker, key] += sign
                if not self._count[speaker, key]:
                    del self._count[speaker, key]
                if not before or before + sign == 0:
                    self._kinds = None

    def _speakers(self, labels: Mapping[str, str], resource: str) -> Sequence[str]:
        """The declared classes that speak for those units of a node; else nobody."""
        return [
            kind.name
            for kind in self._declared
            if kind.resource == resource
            and all(labels.get(key) == wanted for key, wanted in kind.node_selector.items())
        ] or [_NOBODY]


def _completed(kind: AcceleratorKind, seen: Sequence[Discovered]) -> AcceleratorKind:
    """A declared class with what it leaves out, as its nodes have it: the least of them.

    A price of its own is not mixed with one of the catalogue: a discount is of both, or of neither.
    """
    items = seen or discover(kind.node_selector, {})
    found = [item.kind for item in items if item.kind.resource == kind.resource]
    if not found:
        return kind
    other = reduce(least, found)
    priced = kind.price_per_h is not None or kind.spot_price_per_h is not None
    idle, most = kind.idle_watts, kind.max_watts
    if idle is None and other.idle_watts is not None:
        idle = other.idle_watts if most is None or other.idle_watts <= most else None
    if most is None and other.max_watts is not None:
        most = other.max_watts if idle is None or idle <= other.max_watts else None
    return replace(
        kind,
        compute_capability=kind.compute_capability or other.compute_capability,
        price_per_h=kind.price_per_h if priced else other.price_per_h,
        spot_price_per_h=kind.spot_price_per_h if priced else other.spot_price_per_h,
        idle_watts=idle,
        max_watts=most,
        shared_by=other.shared_by,
        mig_profile=other.mig_profile,
        integrated=kind.integrated or other.integrated,
    )
