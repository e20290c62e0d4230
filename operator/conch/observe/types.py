"""What the pure core is given and what it gives back: one vocabulary for all of it.

Values only: no behaviour beyond small derivations, nothing that reads a clock or a network.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

from conch.api import names
from conch.api.conditions import Reason

# What a scrape gives lives with the scraper, one layer below; it is part of this vocabulary.
from conch.triton.sample import BatchStat as BatchStat
from conch.triton.sample import ModelCounters as ModelCounters
from conch.triton.sample import PodSample as PodSample

# --- keys ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """An InferenceService."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


# --- inventory and placement ----------------------------------------------------------------------

AREA_LABELS: Final = (names.LABEL_ZONE, names.LABEL_SITE, names.LABEL_REGION)
"""Labels of nodes that tell where one stands, the one that counts first."""

Area = tuple[str, str]
"""Nodes that stand in one zone, or else at one site or in one region: the label, and its value."""

Tiers = tuple[tuple[Area, ...], ...]
"""Areas, better ones first; those of one tier are as good as each other. (): all are alike."""


@dataclass(frozen=True, slots=True)
class Taint:
    """A node's taint."""

    key: str
    value: str
    effect: str


@dataclass(frozen=True, slots=True)
class Toleration:
    """A pod's toleration, with the meaning Kubernetes gives it (empty key + Exists = all)."""

    key: str = ""
    operator: str = "Equal"
    value: str = ""
    effect: str = ""


@dataclass(frozen=True, slots=True)
class NodeCapacity:
    """One node: what it offers and what is taken by pods bound to it.

    Amounts are in the resource's base unit: cpu in millicores, memory in bytes, others in units.
    """

    name: str
    labels: Mapping[str, str]
    taints: tuple[Taint, ...]
    ready: bool
    unschedulable: bool
    allocatable: Mapping[str, int]
    requested: Mapping[str, int]
    capacity_type: str = "OnDemand"  # or Spot
    zone: str = ""
    site: str = ""
    arch: str = "amd64"
    driver: int = 0  # branch of NVIDIA's driver, such as 535; 0: not known
    reclaimed: bool = False  # the provider takes the node away within minutes
    # Starting: it is there, its units are not yet. Addable: a node autoscaler could make it.
    coming: Literal["", "Starting", "Addable"] = ""
    # Units that it will have, told by who makes it, while its device plugin has told none.
    foretold: Mapping[str, int] = field(default_factory=dict)

    @property
    def area(self) -> Area | None:
        """Where it stands; None: nothing tells."""
        labels = self.labels
        return next(((key, labels[key]) for key in AREA_LABELS if labels.get(key)), None)

    def free(self, resource: str) -> int:
        """Units of ``resource`` that are not requested yet; never negative."""
        return max(0, self.allocatable.get(resource, 0) - self.requested.get(resource, 0))


@dataclass(frozen=True, slots=True)
class NewNode:
    """One node that a NodePool may still add."""

    units: int
    labels: Mapping[str, str]  # beside those of the class
    taints: tuple[Taint, ...] = ()


@dataclass(frozen=True, slots=True)
class Provisioning:
    """What a node autoscaler may add to a class: nodes like this, so many of them in all."""

    max_nodes: int
    units_per_node: int
    wait_s: float  # a replica waits so long for a node, then another class is tried
    labels: Mapping[str, str] = field(default_factory=dict)  # beside those of the class
    more: tuple[NewNode, ...] = ()  # beside ``max_nodes``, whatever is there: as NodePools tell


@dataclass(frozen=True, slots=True)
class AcceleratorKind:
    """An accelerator class, declared or discovered."""

    name: str
    node_selector: Mapping[str, str]
    resource: str  # extended resource name; "" for the CPU class
    memory_bytes: int
    compute_capability: tuple[int, int] | None
    declared: bool
    # Of one unit; None: not known. A shared or MIG unit has its part of them.
    price_per_h: float | None = None  # on demand
    spot_price_per_h: float | None = None
    idle_watts: float | None = None
    max_watts: float | None = None
    carbon_zone: str = ""
    shared_by: int = 1  # pods that may be on one physical accelerator at once
    mig_profile: str = ""
    integrated: bool = False  # a Jetson's GPU: it takes images that are built for it
    device_class: str = ""  # DRA: units are claimed from this DeviceClass, not requested
    device_selectors: tuple[str, ...] = ()  # CEL, beside those of the DeviceClass
    device_problem: str = ""  # why no device can be counted, "" when they can
    provisioning: Provisioning | None = None

    def price_on(self, capacity_type: str) -> float | None:
        """Of one unit for an hour on a node that is paid for like that; None: not known.

        Where the spot price is not known, the one on demand: an upper bound.
        """
        if capacity_type == "Spot" and self.spot_price_per_h is not None:
            return self.spot_price_per_h
        return self.price_per_h


CPU_CLASS = AcceleratorKind("cpu", {}, "", 0, None, declared=False)


@dataclass(frozen=True, slots=True)
class Inventory:
    """Every node and every accelerator class, as of one moment."""

    nodes: tuple[NodeCapacity, ...]
    kinds: tuple[AcceleratorKind, ...]
    # Grams of CO2 equivalent per kWh that a class's nodes use, what their sites add included, by
    # class; of all classes or of none.
    carbon: Mapping[str, float] = field(default_factory=dict)
    # The same by area, of classes whose nodes stand in several.
    grids: Mapping[str, Mapping[Area, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Footprint:
    """Memory that a replica takes of each of its units, and in words what that is made of.

    ``fits_on``: classes where it runs, which is proof enough: no figure speaks against those.
    """

    memory_bytes: int
    words: str
    measured: bool = False
    fits_on: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class PlacementRequest:
    """What one service asks of placement.

    ``unbound`` counts replicas wanted that have no node yet (missing or Pending pods);
    ``current`` is the class the service's Deployment asks for now, "" when there is none.
    What its bound pods hold is already among the nodes' requested amounts.
    """

    key: Key
    classes: tuple[str, ...]
    count: int
    min_memory_bytes: int  # as declared; 0: ``footprint`` counts
    min_compute_capability: tuple[int, int] | None
    allow_cpu: bool
    node_selector: Mapping[str, str]
    tolerations: tuple[Toleration, ...]
    cpu_milli: int
    memory_bytes: int
    unbound: int
    bound: int
    current: str
    age_rank: str  # creation time and uid: who came first is served first
    priority: int = 0  # higher first when there is not enough for all
    capacity_types: tuple[str, ...] = ()  # allowed, best first; (): any
    min_on_demand: int = 0  # replicas that must not be on spot
    on_demand_bound: int = 0  # of the bound ones: those that cannot be on spot
    # Replicas bound on behalf of its further Deployments, by their class; not in ``bound``.
    parts: Mapping[str, int] = field(default_factory=dict)
    barred: frozenset[str] = frozenset()  # classes that it may have no further Deployment for
    surplus: int = 0  # of one with parts: so many more are bound than it wants
    spill: int | None = None  # at most so many more may go to other classes now; None: all
    sites: tuple[str, ...] = ()  # allowed; (): any node, whatever its site
    min_per_site: int = 0  # never fewer at each of them
    # Which areas its Deployment prefers; None: there is no Deployment yet.
    tiers: Tiers | None = None
    bound_in: Mapping[Area, int] = field(default_factory=dict)  # of the bound ones
    # What the runtime's image runs on: CPU architectures ((): any), NVIDIA drivers of that branch
    # or newer, and whether it is built for Jetson's integrated GPUs instead of others.
    architectures: tuple[str, ...] = ()
    min_driver: int = 0
    integrated: bool = False
    optimise: str = "Cost"  # or Energy, Carbon, Latency
    # Requests/s that one replica carries inside the objective, per class; a class that is absent
    # is taken to carry as much as the others.
    capacity_rps: Mapping[str, float] = field(default_factory=dict)
    demand_rps: float | None = None  # None: ``unbound`` + ``bound`` replicas of any class
    min_replicas: int = 0  # wherever it goes, however much one replica carries there
    movable: bool = True  # whether what runs may be moved, if the plan allows moves at all
    # Classes to leave alone for now, with the reason in words: replicas stayed Pending there.
    avoid: Mapping[str, str] = field(default_factory=dict)
    footprint: Footprint | None = None  # None: not known

    @property
    def wanted(self) -> int:
        """All its replicas."""
        return self.unbound + self.bound + sum(self.parts.values()) - self.surplus

    @property
    def elsewhere(self) -> list[str]:
        """Classes that it is on beside its own."""
        return [name for name in self.parts if name != self.current]

    def runs_on(self, name: str) -> int:
        """How many of its replicas are bound on a class."""
        return self.parts.get(name, 0) + (self.bound if name == self.current else 0)


@dataclass(frozen=True, slots=True)
class ClassVerdict:
    """Why one class was chosen or not, with the numbers."""

    class_name: str
    reason: str  # one of placement.fit.Fit
    message: str  # e.g. "l4: 3 nodes, 0 of 12 units free"


@dataclass(frozen=True, slots=True)
class Share:
    """Replicas of a service on nodes that are alike."""

    class_name: str
    capacity_type: str
    zone: str
    replicas: int


@dataclass(frozen=True, slots=True)
class Part:
    """What of a service is on one class, where it is on several.

    ``main``: it has the service's own Deployment; all others have one each.
    """

    kind: AcceleratorKind
    replicas: int
    room: int = 0  # for how many more
    main: bool = False
    tiers: Tiers = ()  # as of the assignment


@dataclass(frozen=True, slots=True)
class Assignment:
    """Where a service goes. ``kind`` is None when it goes nowhere (yet)."""

    kind: AcceleratorKind | None
    reason: Reason
    message: str
    room: int = 0  # replicas beyond those bound that would find room now, or on nodes to come
    verdicts: tuple[ClassVerdict, ...] = ()
    shares: tuple[Share, ...] = ()  # where the replicas without a node would go
    cost_per_h: float | None = None  # of all its replicas; None: a price is not known
    least: int = 0  # replicas to hold while it moves: what the class it goes to needs
    room_to_come: int = 0  # of ``room``: on nodes that are not there, or not with their units
    # Of a service with a minimum at each site: for how many of its replicas without a node there is
    # room at each, up to the minimum; a site without a node that it may use is absent.
    site_room: Mapping[str, int] = field(default_factory=dict)
    # Of a service on several classes, that of its own Deployment included, the worst last: its
    # replicas are given up first. (): all are on ``kind``.
    parts: tuple[Part, ...] = ()
    room_beside: int = 0  # replicas on other classes, where its own has no room for more
    growing: str = ""  # the class that a further replica goes to; "": not told
    shrinking: str = ""  # the one that is given up first
    # Areas that pods prefer, the next time that they are made anew; or now, because it is worth it.
    tiers: Tiers = ()
    relocates: bool = False


@dataclass(frozen=True, slots=True)
class Prospect:
    """What one replica carries within the objective on a class, in requests/s.

    0: not even one request is in time there. ``estimated``: from another class's figures.
    """

    rps: float
    estimated: bool


@dataclass(frozen=True, slots=True)
class Moved:
    """What of its moves for a gain a service tells; times as RFC 3339."""

    last: str  # when it set out last; "": never
    left_alone: tuple[tuple[str, str], ...]  # classes on which a move failed, and until when


@dataclass(frozen=True, slots=True)
class Outlook:
    """What a service would need on each class; numbers that stay while they change little."""

    demand_rps: float  # to be ready for
    by_class: Mapping[str, Prospect]


# --- cost, energy, carbon -------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Bill:
    """What a service spends: rates now, and sums over the last minutes. None: not known."""

    pods: int  # that hold a node
    dollars_per_h: float | None
    watts: float | None
    grams_per_h: float | None
    carbon_kind: str  # Average or Marginal; "" without grams
    estimated: bool  # the watts are modelled, at least some of them
    inferences: float
    dollars: float | None
    joules: float | None
    grams: float | None


# --- scraping and autoscaling ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ScalingPolicy:
    """What the user promised and allows, as numbers. ValueError for what cannot be meant."""

    percentile: float  # 0..100, exclusive
    target_s: float
    min_replicas: int
    max_replicas: int
    models: tuple[str, ...]
    max_batch: Mapping[str, int]  # per model; absent: learned from the batches seen
    instances: Mapping[str, int]
    late_reject: bool = False  # may decisions carry reject_after_s
    # Of the models' own dynamic batching. Absent: no delay, no policy, as Triton has it.
    queue_delay_s: Mapping[str, float] = field(default_factory=dict)
    queue_policy: frozenset[str] = frozenset()  # models whose queue has a limit or priorities

    def __post_init__(self) -> None:
        if not 0 < self.percentile < 100:
            raise ValueError(f"percentile is {self.percentile:g}: give percent, such as 99")
        if not 0 < self.target_s < math.inf:
            raise ValueError(f"target_s is {self.target_s:g}: give seconds, such as 0.4")
        if min(self.instances.values(), default=1) < 1:
            raise ValueError(f"instances is {dict(self.instances)}: give at least 1")


@dataclass(frozen=True, slots=True)
class ScalingObservation:
    """What the autoscaler is told at one step.

    ``replicas`` is what the Deployment asks for now, ``ready`` how many pods are Ready,
    ``starting_age_s`` the ages of the pods that exist and are not Ready yet,
    ``cold_start_s`` recently measured times from creation to Ready, newest last;
    ``room`` how many replicas beyond the existing pods placement has room for;
    ``time_of_week_s`` counts from Monday, 00:00 UTC: without it, no day teaches another.
    """

    now_s: float
    replicas: int
    ready: int
    starting_age_s: tuple[float, ...]
    cold_start_s: tuple[float, ...]
    room: int
    samples: tuple[PodSample, ...]
    # Of services with replicas that are not alike (PodSample.group): the groups of those that are
    # not Ready, in the order of their ages; the group of those added next; that of those given up
    # first. "": not known.
    starting_groups: tuple[str, ...] = ()
    growing: str = ""
    shrinking: str = ""
    time_of_week_s: float | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """How many replicas, and why; numbers in requests/s and seconds, None when unknown."""

    replicas: int
    reason: Reason
    message: str
    demand_rps: float | None = None
    bound_rps: float | None = None
    capacity_rps: float | None = None
    horizon_s: float | None = None
    latency_s: float | None = None  # estimate at the objective's percentile
    not_answering: tuple[str, ...] = ()  # models that have requests pending and answer none
    failing: tuple[str, ...] = ()  # models of which a large share of requests fails
    pods_without_metrics: int = 0
    # Queue wait after which a request can't make the target: Triton's queue policy. None: no limit.
    reject_after_s: float | None = None
    # Requests that ended since the last look, and those of them that were late or failed; the rest
    # of the late ones cannot be seen when Triton reports no latencies.
    ended: float = 0.0
    late: float = 0.0
    # Of replicas that are not alike, what one of each group carries, in requests/s.
    group_rps: Mapping[str, float] = field(default_factory=dict)
