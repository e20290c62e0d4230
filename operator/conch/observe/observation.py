"""What is known of one service at one moment: what steps and plans are functions of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from conch.api import names, v1alpha1
from conch.kube.views import Object, Pod
from conch.observe.activation import Activation
from conch.observe.foreign import NOBODY, Foreign
from conch.observe.types import Assignment, Bill, Decision, Footprint, Key, Moved, Outlook

ChildId = tuple[str, str]
"""Kind and name."""


@dataclass(frozen=True, slots=True)
class Record:
    """An InferenceService as last seen: the raw object, and its parsed form or what is wrong."""

    raw: Object
    service: v1alpha1.InferenceService | None
    problem: str = ""

    @property
    def uid(self) -> str:
        """Tells it from another one of the same name."""
        return str(self.raw["metadata"]["uid"])


@dataclass(frozen=True, slots=True)
class Observation:
    """What one reconcile sees: a consistent picture of one service at one moment."""

    key: Key
    raw: Object
    service: v1alpha1.InferenceService | None
    problem: str
    runtime: v1alpha1.TritonRuntimeSpec | None
    runtime_problem: str
    assignment: Assignment | None
    decision: Decision | None
    children: Mapping[ChildId, Object]
    pods: tuple[Pod, ...]
    mount_problems: Mapping[str, str]  # pod uid -> kubelet's message
    model_problems: Mapping[str, str]  # pod uid -> what its Triton says of models it cannot load
    now: str  # RFC 3339
    activation: Activation | None = None  # of services that may go to zero
    cold_starts_s: tuple[float, ...] = ()
    foreign: Foreign = NOBODY
    bill: Bill | None = None  # None: an operator that has just started has none yet
    footprint: Footprint | None = None  # None: not known
    sites: Mapping[str, Site] = field(default_factory=dict)  # of a service that is pinned to sites
    zones: Mapping[str, Zone] = field(default_factory=dict)  # by name
    leaving: tuple[Pod, ...] = ()  # pods that live on a node which is lost or about to be
    substitutes: int = 0  # replicas that the Deployment is asked for in their stead
    outlook: Outlook | None = None  # in mode Latency, once there are measurements
    spare: int = 0  # of those: asked for because a site lacks its minimum
    moved: Moved | None = None  # None: never, or not known yet
    carbon: float | None = None  # g/kWh of its class, as Inventory.carbon; None: not known

    @property
    def deployment(self) -> Object | None:
        """The Deployment that has the service's name."""
        return self.children.get(("Deployment", self.key.name))

    @property
    def parts(self) -> dict[str, Object]:
        """Its further Deployments."""
        return parts_of(self.key, self.children)


def parts_of(key: Key, children: Mapping[ChildId, Object]) -> dict[str, Object]:
    """A service's Deployments beside the one that has its name, by part."""
    found = {}
    for (kind, name), child in children.items():
        if kind == "Deployment" and name != key.name:
            part = child["metadata"].get("labels", {}).get(names.LABEL_PART, "")
            if name == names.part_name(key.name, part):
                found[part] = child
    return dict(sorted(found.items()))


NO_ZONE = "none"
"""Stands for the zone of nodes that tell none."""


@dataclass(frozen=True, slots=True)
class Zone:
    """A service's pods on nodes of one zone."""

    replicas: int
    ready: int


@dataclass(frozen=True, slots=True)
class Site:
    """A service's pods at one site."""

    replicas: int
    ready: int
    connected: bool | None  # whether a node of them reports; None without pods
    by_part: Mapping[str, int] = field(default_factory=dict)  # "": of the service's own Deployment
