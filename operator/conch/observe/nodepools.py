"""What Karpenter may still add to a class, as its NodePools say, and nodes on their way.

A NodePool promises labels (its template's, and what its requirements allow). Where it promises
those that a class selects by, further nodes of the class can be had, up to the pool's limits; so
nobody has to write that down. A NodeClaim that is launched is a node before there is a Node. What
the class itself declares comes first. Karpenter chooses among the pools and the types of instances;
what is said here may be wrong by that, and a replica that waits in vain goes elsewhere in time. A
pool that cannot be read adds nothing. It creates nothing. Pure.

API: kubernetes-sigs/karpenter pkg/apis/v1 (NodePool, NodeClaim); labels: Karpenter's well-known
ones and its providers' for AWS, Azure and GCP.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from conch.kube.quantity import milli, value
from conch.kube.views import NodeClaim, NodePool, Requirement
from conch.observe import instances, machine
from conch.observe.discovery import GPU
from conch.observe.spot import capacity_type
from conch.observe.types import AcceleratorKind, NewNode, NodeCapacity, Provisioning, Taint

WAIT_S: Final = 600.0
"""As provisioning.waitFor is when nobody says it."""

_POOL: Final = "karpenter.sh/nodepool"
_CAPACITY: Final = "karpenter.sh/capacity-type"
_ZONE: Final = "topology.kubernetes.io/zone"
_TYPE: Final = "node.kubernetes.io/instance-type"
_FAMILY: Final = "karpenter.k8s.aws/instance-family"
_GPU_NAMES: Final = (
    "karpenter.k8s.aws/instance-gpu-name",
    "karpenter.azure.com/sku-gpu-name",
    "karpenter.k8s.gcp/instance-gpu-name",
)
_GPU_COUNTS: Final = (
    "karpenter.k8s.aws/instance-gpu-count",
    "karpenter.azure.com/sku-gpu-count",
    "karpenter.k8s.gcp/instance-gpu-count",
)
# Karpenter knows what these are on every type of instance: a pool may leave them open.
_KNOWN_PREFIXES: Final = ("karpenter.k8s.aws/", "karpenter.azure.com/", "karpenter.k8s.gcp/")
_KNOWN: Final = frozenset({_CAPACITY, _ZONE, _TYPE, "kubernetes.io/arch", "kubernetes.io/os"})
# Karpenter takes the cheaper: spot, where a pool allows both.
_PAID_AS: Final = ("spot", "on-demand")
_MOST_NODES: Final = 20  # that are foreseen of one pool at once
_MOST_UNITS: Final = 64  # of one node


class NodePoolBook:
    """NodePools, and NodeClaims of nodes that are not up yet."""

    def __init__(self) -> None:
        self._pools: dict[str, NodePool] = {}
        self._claims: dict[str, NodeClaim] = {}
        self._known: dict[str, tuple[AcceleratorKind, AcceleratorKind]] = {}  # as it came, as told
        self._coming: dict[str, tuple[object, NodeCapacity]] = {}  # by claim: of what it was made

    # --- events: each says whether what can be had may have changed -------------------------------

    def set_pool(self, new: NodePool) -> bool:
        """Take in a NodePool."""
        name = new.metadata.name
        old = self._pools.get(name)
        self._pools[name] = new
        if old is not None and _gist(old) == _gist(new):
            return False
        self._known.clear()
        return True

    def remove_pool(self, name: str) -> bool:
        """Forget a NodePool."""
        self._known.clear()
        return self._pools.pop(name, None) is not None

    def set_claim(self, new: NodeClaim) -> bool:
        """Take in a NodeClaim; it counts from its launch until its node is whole."""
        name = new.metadata.name
        if new.metadata.deletion_timestamp is not None or not _is_coming(new):
            return self.remove_claim(name)
        old = self._claims.get(name)
        self._claims[name] = new
        return old is None or old.status != new.status

    def remove_claim(self, name: str) -> bool:
        """Forget a NodeClaim."""
        self._coming.pop(name, None)
        return self._claims.pop(name, None) is not None

    # --- what is known of it ----------------------------------------------------------------------

    def provisioned(self, kinds: tuple[AcceleratorKind, ...]) -> tuple[AcceleratorKind, ...]:
        """The classes, each with what pools may add to it; the same tuple where none does."""
        if not self._pools:
            return kinds
        return tuple(self._told(kind) for kind in kinds)

    def laid_on(self, nodes: tuple[NodeCapacity, ...]) -> tuple[NodeCapacity, ...]:
        """The nodes with those on their way; the same tuple where there are none."""
        if not self._claims:
            return nodes
        names = {claim.status.node_name: name for name, claim in self._claims.items()}
        names.pop("", None)
        told = list(nodes)
        here = set()
        for index, node in enumerate(nodes):
            if (name := names.get(node.name)) is not None:
                here.add(name)
                told[index] = self._as_made(name, node)
        told += [self._as_made(name, None) for name in sorted(self._claims.keys() - here)]
        return tuple(told)

    def _as_made(self, name: str, node: NodeCapacity | None) -> NodeCapacity:
        """A claim's node with the units that it will have; the same one while nothing changes."""
        claim = self._claims[name]
        seen = (claim, node)
        known = self._coming.get(name)
        if known is None or known[0] != seen:
            units = _units(claim)
            made = replace(node, foretold=units) if node is not None else _coming(claim, units)
            self._coming[name] = known = (seen, made)
        return known[1]

    def _told(self, kind: AcceleratorKind) -> AcceleratorKind:
        known = self._known.get(kind.name)
        if known is None or known[0] != kind:
            self._known[kind.name] = known = (kind, self._completed(kind))
        return known[1]

    def _completed(self, kind: AcceleratorKind) -> AcceleratorKind:
        declared = kind.provisioning
        if not kind.resource.startswith(GPU) or kind.mig_profile or kind.device_class:
            return kind  # what a slice is cut into, no pool tells
        if declared is not None and declared.labels:
            return kind
        found = [offer for _, pool in sorted(self._pools.items()) if (offer := _offer(pool, kind))]
        if not found:
            return kind
        if declared is not None:
            return replace(kind, provisioning=replace(declared, labels=_common(found)))
        most = max(offer.most_units for offer in found)
        more = tuple(node for offer in found for node in offer.nodes)
        return replace(kind, provisioning=Provisioning(0, most, WAIT_S, more=more))


@dataclass(frozen=True, slots=True)
class _Offer:
    """What a pool may add to a class."""

    nodes: tuple[NewNode, ...]
    labels: Mapping[str, str]  # that all nodes of it carry
    most_units: int  # of one node


def _offer(pool: NodePool, kind: AcceleratorKind) -> _Offer | None:
    """None: the pool makes no nodes of the class."""
    if pool.metadata.deletion_timestamp is not None or pool.spec.replicas is not None:
        return None
    if any(c.type == "Ready" and c.status == "False" for c in pool.status.conditions):
        return None
    template = pool.spec.template
    fixed = {**template.metadata.labels, _POOL: pool.metadata.name}
    asked: dict[str, list[Requirement]] = {}
    for requirement in template.spec.requirements:
        asked.setdefault(requirement.key, []).append(requirement)
    fitted = _fitted(asked)
    if not _promises(kind.node_selector, fixed, asked, {one.gpu for one in fitted}):
        return None
    gpus = {kind.node_selector[key] for key in _GPU_NAMES if key in kind.node_selector}
    counts = _counts(asked, [one.count for one in fitted if not gpus or one.gpu in gpus])
    units = [count * kind.shared_by for count in counts]
    try:
        sizes = _further(pool, kind.resource, units)
    except ValueError:
        return None
    single = {key: v[0] for key, rules in asked.items() if len(v := _values(rules)) == 1}
    labels = {**fixed, **single}
    taints = tuple(Taint(t.key, t.value, t.effect) for t in template.spec.taints)
    places = _places(asked)
    # One of each kind at least: a limit of one node leaves open which.
    wanted = max(len(sizes), len(places)) if sizes else 0
    nodes = tuple(
        NewNode(sizes[min(i, len(sizes) - 1)], {**labels, **places[i % len(places)]}, taints)
        for i in range(wanted)
    )
    return _Offer(nodes, labels, max(units))


def _promises(
    selector: Mapping[str, str],
    fixed: Mapping[str, str],
    asked: Mapping[str, list[Requirement]],
    gpus: Collection[str],
) -> bool:
    """Whether nodes of the pool may carry the class's labels, and something of it is certain."""
    certain = False
    for key, wanted in selector.items():
        if key in fixed:
            if fixed[key] != wanted:
                return False
            certain = True
        elif key in asked:
            if not all(_admits(rule, wanted) for rule in asked[key]):
                return False
            certain |= any(rule.operator != "NotIn" for rule in asked[key])
        elif key in _GPU_NAMES and gpus:
            if wanted not in gpus:
                return False
            certain = True
        elif key not in _KNOWN and not key.startswith(_KNOWN_PREFIXES):
            return False  # written after a node has started: Karpenter cannot know it
    return certain


def _admits(rule: Requirement, wanted: str) -> bool:
    match rule.operator:
        case "In":
            return wanted in rule.values
        case "NotIn":
            return wanted not in rule.values
        case "Exists":
            return True
        case "Gt" | "Lt" | "Gte" | "Lte":
            return _within(rule, _number(wanted))
    return False


def _within(rule: Requirement, number: int | None) -> bool:
    bound = _number(rule.values[0]) if rule.values else None
    if bound is None or number is None:
        return False
    return {
        "Gt": number > bound,
        "Gte": number >= bound,
        "Lt": number < bound,
        "Lte": number <= bound,
    }[rule.operator]


def _values(rules: Iterable[Requirement]) -> list[str]:
    """The values that all of them allow, in the order of the first; []: open."""
    rules = list(rules)
    listed = next((rule.values for rule in rules if rule.operator == "In"), ())
    return [one for one in dict.fromkeys(listed) if all(_admits(rule, one) for rule in rules)]


def _fitted(asked: Mapping[str, list[Requirement]]) -> list[instances.Fitted]:
    """GPUs of the instances that the pool names."""
    if _TYPE in asked:
        found = [fit for name in _values(asked[_TYPE]) if (fit := instances.of_type(name))]
    else:
        families = _values(asked.get(_FAMILY, ()))
        found = [fit for name in families for fit in instances.of_family(name)]
    for key in _GPU_NAMES:
        if key in asked:
            found = [fit for fit in found if all(_admits(rule, fit.gpu) for rule in asked[key])]
    return found


def _counts(asked: Mapping[str, list[Requirement]], fitted: Sequence[int]) -> list[int]:
    """How many GPUs its nodes may have, ascending; one where nothing tells."""
    found = set(fitted)
    for key in _GPU_COUNTS:
        if (rules := asked.get(key)) is None:
            continue
        told = {n for one in _values(rules) if (n := _number(one)) is not None}
        found = (found & told or told) if told else found
        found = {n for n in found if all(_admits(rule, str(n)) for rule in rules)}
    return sorted(n for n in found if 0 < n <= _MOST_UNITS) or [1]


def _further(pool: NodePool, resource: str, sizes: Sequence[int]) -> list[int]:
    """Units of each node that the limits still allow, largest first. Raises ValueError."""
    nodes, units = _MOST_NODES, _MOST_NODES * max(sizes)
    for name, limit in pool.spec.limits.items():
        amount = milli if name == "cpu" else value
        left = amount(limit) - amount(pool.status.resources.get(name, 0))
        if name == "nodes":
            nodes = min(nodes, left)
        elif name == resource:
            units = min(units, left)
        elif name in ("cpu", "memory") and left <= 0:
            return []
    found: list[int] = []
    for size in sorted(sizes, reverse=True):
        while size <= units and len(found) < nodes:
            found.append(size)
            units -= size
    return found


def _places(asked: Mapping[str, list[Requirement]]) -> list[dict[str, str]]:
    """How its nodes may be paid for, and in which zones: labels, taken in turn."""
    paid_as = _values(asked[_CAPACITY]) if _CAPACITY in asked else list(_PAID_AS)
    # Reserved counts as on demand: one of the two is enough.
    by_type = {capacity_type({_CAPACITY: one}): one for one in reversed(paid_as)}
    ways = [{_CAPACITY: by_type[name]} for name in sorted(by_type, reverse=True)] or [{}]
    zones = [{_ZONE: zone} for zone in _values(asked.get(_ZONE, ()))] or [{}]
    return [{**zone, **way} for zone in zones for way in ways]


def _common(offers: Sequence[_Offer]) -> dict[str, str]:
    first, *rest = (offer.labels for offer in offers)
    return {k: v for k, v in first.items() if all(other.get(k) == v for other in rest)}


def _gist(pool: NodePool) -> object:
    ready = [(c.type, c.status) for c in pool.status.conditions if c.type == "Ready"]
    gone = pool.metadata.deletion_timestamp is not None
    used = {k: pool.status.resources.get(k) for k in pool.spec.limits}
    return pool.spec, used, ready, gone


def _is_coming(claim: NodeClaim) -> bool:
    told = {c.type for c in claim.status.conditions if c.status == "True"}
    return "Launched" in told and "Initialized" not in told and bool(_units(claim))


def _units(claim: NodeClaim) -> dict[str, int]:
    """Extended resources that the node will have; what is no number is none."""
    found: dict[str, int] = {}
    for name, amount in claim.status.allocatable.items():
        if "/" not in name:
            continue
        try:
            units = value(amount)
        except ValueError:
            continue
        if 0 < units <= 1 << 20:
            found[name] = units
    return found


def _coming(claim: NodeClaim, units: Mapping[str, int]) -> NodeCapacity:
    """A node that is launched and has not shown up."""
    labels = claim.metadata.labels
    return NodeCapacity(
        name=f"nodeclaim/{claim.metadata.name}",  # no node's name: those hold no slash
        labels=labels,
        taints=tuple(Taint(t.key, t.value, t.effect) for t in claim.spec.taints),
        ready=False,
        unschedulable=False,
        allocatable={},
        requested={},
        capacity_type=capacity_type(labels),
        zone=machine.zone(labels),
        site=machine.site(labels),
        arch=machine.arch(labels),
        foretold=units,
    )


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else None
