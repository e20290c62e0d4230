"""Which nodes a class has, and which of them a service may be on, in the order they are tried.

Says nothing about what is free: that is the ledger's. Kept from plan to plan: only nodes that are
not the same as before, and classes that have or had one of them, are looked at again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from conch.observe.types import AcceleratorKind, Inventory, NodeCapacity, Taint
from conch.placement.candidates import SPOT, Candidates, Lot
from conch.placement.fit import (
    Filter,
    Fit,
    LotKey,
    carries,
    implied_tolerations,
    node_refusal,
    repelling_taint,
)

_MOST_CANDIDATES = 10_000

# Who has a node among the candidates, in which lot, at which position.
Holder = tuple[Candidates, int, int]


class Roster:
    """Nodes by index, and the candidates of every class and filter asked for so far."""

    def __init__(self) -> None:
        self.nodes: list[NodeCapacity | None] = []  # None: it is gone
        self._index: dict[str, int] = {}
        self._kinds: dict[str, AcceleratorKind] = {}
        self._members: dict[str, tuple[int, ...]] = {}
        self._by_label: dict[str, dict[str, list[int]]] = {}
        self._candidates: dict[tuple[str, Filter], Candidates] = {}
        self._holders: dict[int, list[Holder]] = {}
        self._seen: tuple[NodeCapacity, ...] = ()

    def update(self, inventory: Inventory) -> list[int]:
        """The nodes and classes are those of ``inventory``; which nodes are new or changed."""
        changed: list[int] = []
        if inventory.nodes is not self._seen:
            changed = self._take_in(inventory.nodes)
            self._seen = inventory.nodes
        kinds = {kind.name: kind for kind in inventory.kinds}
        self._forget(name for name, kind in self._kinds.items() if kinds.get(name, kind) != kind)
        if len(self._candidates) > _MOST_CANDIDATES:
            self._forget(list(self._kinds))  # of filters that nobody has any more
        return changed

    def node(self, index: int) -> NodeCapacity:
        """The node as observed."""
        node = self.nodes[index]
        assert node is not None, "candidates hold no node that is gone"
        return node

    def index(self, name: str) -> int:
        """Of a node that was there once."""
        return self._index[name]

    def holders(self, index: int) -> Sequence[Holder]:
        """Who counts on a node."""
        return self._holders.get(index, ())

    def candidates(self, kind: AcceleratorKind, filter_: Filter) -> Candidates:
        """The nodes of ``kind`` that a service with that filter may be on, and why not the rest."""
        filter_ = filter_.on(kind)
        key = (kind.name, filter_)
        if (known := self._candidates.get(key)) is not None:
            return known
        self._kinds[kind.name] = kind
        tolerations = (*filter_.tolerations, *implied_tolerations(kind))
        members = self._nodes_of(kind)
        lots: dict[LotKey, list[int]] = {}
        refused: Counter[Fit] = Counter()
        taint: Taint | None = None
        for index in members:
            node = self.node(index)
            refusal = node_refusal(node, filter_, tolerations)
            if refusal is None:
                lots.setdefault(filter_.lot(node), []).append(index)
            else:
                refused[refusal] += 1
                if refusal is Fit.TAINTED:
                    taint = taint or repelling_taint(node, tolerations)
        order = sorted(lots, key=lambda lot: (lot[1], *_lot_order(lot, kind, filter_)))
        in_order = tuple(Lot(*lot, tuple(lots[lot])) for lot in order)
        found = Candidates(kind.resource, members, in_order, refused, taint, filter_)
        self._candidates[key] = found
        found.starts.extend({} for _ in in_order)
        for number, lot in enumerate(in_order):
            for position, index in enumerate(lot.nodes):
                self._holders.setdefault(index, []).append((found, number, position))
        return found

    def _take_in(self, nodes: tuple[NodeCapacity, ...]) -> list[int]:
        pairs: list[tuple[NodeCapacity | None, NodeCapacity | None]] = []
        changed: list[int] = []
        index_of, known = self._index, self.nodes
        for node in nodes:
            index = index_of.get(node.name)
            if index is None:
                index_of[node.name] = index = len(known)
                known.append(None)
            before = known[index]
            if before is not node:
                pairs.append((before, node))
                known[index] = node
                changed.append(index)
        if len(nodes) != sum(node is not None for node in known):
            here = {node.name for node in nodes}
            for name, index in index_of.items():
                gone = known[index]
                if gone is not None and name not in here:
                    pairs.append((gone, None))
                    known[index] = None
        self._by_label.clear()
        self._forget(self._concerned(pairs))
        return changed

    def _concerned(
        self, changed: Iterable[tuple[NodeCapacity | None, NodeCapacity | None]]
    ) -> set[str]:
        """The classes that have, or had, one of the nodes."""
        labels = [node.labels for pair in changed for node in pair if node is not None]
        return {
            name
            for name, kind in self._kinds.items()
            if any(carries(one, kind.node_selector) for one in labels)
        }

    def _forget(self, names: Iterable[str]) -> None:
        stale = set(names)
        if not stale:
            return
        for name in stale:
            self._members.pop(name, None)
            self._kinds.pop(name, None)
        for key in [key for key in self._candidates if key[0] in stale]:
            dropped = self._candidates.pop(key)
            for lot in dropped.lots:
                for index in lot.nodes:
                    held = self._holders[index]
                    self._holders[index] = [one for one in held if one[0] is not dropped]

    def _nodes_of(self, kind: AcceleratorKind) -> tuple[int, ...]:
        members = self._members.get(kind.name)
        if members is None:
            # Free as observed, not as reserved so far: the order must not depend on the plan.
            found = []
            for index in self._labelled(kind.node_selector):
                node = self.nodes[index]
                if node is not None and carries(node.labels, kind.node_selector):
                    found.append(
                        (node.coming == "Addable", node.free(kind.resource), node.name, index)
                    )
            self._members[kind.name] = members = tuple(index for *_, index in sorted(found))
        return members

    def _labelled(self, selector: Mapping[str, str]) -> Iterable[int]:
        """Nodes that have one of the selector's labels; all nodes for no selector."""
        if not selector:
            return range(len(self.nodes))
        key, value = next(iter(selector.items()))
        by_value = self._by_label.get(key)
        if by_value is None:
            self._by_label[key] = by_value = {}
            for index, node in enumerate(self.nodes):
                if node is not None and key in node.labels:
                    by_value.setdefault(node.labels[key], []).append(index)
        return by_value.get(value, ())


def _lot_order(lot: LotKey, kind: AcceleratorKind, filter_: Filter) -> tuple[object, object]:
    """As its pods look for a node: by the user's order of capacity types, then by area."""
    capacity_type, _, tier = lot
    rank = _lot_rank(capacity_type, kind, filter_)
    return (rank, tier) if filter_.capacity_types else (tier, rank)


def _lot_rank(capacity_type: str, kind: AcceleratorKind, filter_: Filter) -> tuple[float, str]:
    """As the service orders capacity types; else the cheaper first, on demand where unknown."""
    if filter_.capacity_types:
        return filter_.capacity_types.index(capacity_type), capacity_type
    spot, price = kind.spot_price_per_h, kind.price_per_h
    cheaper = spot is not None and price is not None and spot < price
    return (not cheaper if capacity_type == SPOT else 0.5), capacity_type
