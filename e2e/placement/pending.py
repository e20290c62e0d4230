"""The judge of pending_over_10s: which replicas wait although there is room. Pure.

It counts for itself, from nodes and pods as the API server has them, and knows nothing of Conch
but the labels of its pods. Room for a replica is a node of an allowed class that would take it;
room for a service, a class that would take all its replicas, those it has there included. A rollout
asks for a pod more than is wanted: no replica waits where as many as are wanted have a node.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from conch.api import names
from e2e.bench.client import Object
from e2e.testbed import gpus, kwok

PRODUCT = "nvidia.com/gpu.product"
CLASSES: Mapping[str, gpus.GpuModel] = {
    "t4": gpus.T4,
    "l4": gpus.L4,
    "l40s": gpus.L40S,
    "a100-sxm4-80gb": gpus.A100,
    "h100-80gb-hbm3": gpus.H100,
}
"""The models of the fleet, by the name that Conch finds for them."""
_CLASS_OF = {model.product: name for name, model in CLASSES.items()}


@dataclass(frozen=True, slots=True)
class Wanted:
    """A service as it was asked for."""

    name: str
    classes: tuple[str, ...]
    count: int
    """GPUs of one replica."""
    replicas: int


@dataclass(frozen=True, slots=True)
class Waiting:
    """One replica that has no node although there is room."""

    who: str
    """The pod, or the service when there is not even a pod."""
    service: str
    for_service: bool
    """Room for all of the service in one class, not only for this replica."""
    told: str


@dataclass(slots=True)
class Tally:
    """How long replicas waited like that without a break."""

    limit_s: float
    over: dict[str, float] = field(default_factory=dict)
    """The longest wait of everyone who waited longer than the limit, in seconds."""
    longest_s: float = 0.0
    """Of anybody."""
    told: dict[str, str] = field(default_factory=dict)
    """What was seen when the limit was passed."""
    _since_s: dict[str, float] = field(default_factory=dict)

    def look(self, waiting: Iterable[Waiting], now_s: float) -> None:
        """Take in who waits now; those who are not among them have stopped waiting."""
        now = {one.who: one for one in waiting}
        self._since_s = {who: self._since_s.get(who, now_s) for who in now}
        self.longest_s = max(self.longest_s, *(now_s - s for s in self._since_s.values()), 0.0)
        for who, since_s in self._since_s.items():
            if now_s - since_s > self.limit_s:
                self.over[who] = max(self.over.get(who, 0.0), now_s - since_s)
                self.told.setdefault(who, now[who].told)


def free_units(nodes: Iterable[Object], pods: Iterable[Object]) -> dict[str, list[int]]:
    """Free GPUs of every node that takes pods, by class."""
    taken: Counter[str] = Counter()
    for pod in pods:
        if (node := pod["spec"].get("nodeName")) and _holds(pod):
            taken[node] += units(pod)
    free: dict[str, list[int]] = {name: [] for name in CLASSES}
    for one in nodes:
        name = _CLASS_OF.get(one["metadata"]["labels"].get(PRODUCT, ""))
        if name is not None and takes_pods(one):
            offered = int(one["status"].get("allocatable", {}).get(gpus.RESOURCE, 0))
            free[name].append(offered - taken[one["metadata"]["name"]])
    return free


def waiting(
    services: Iterable[Wanted], pods: Iterable[Object], free: Mapping[str, list[int]]
) -> list[Waiting]:
    """Every replica without a node that some allowed class has room for."""
    own: dict[str, list[Object]] = defaultdict(list)
    for pod in pods:
        if name := pod["metadata"].get("labels", {}).get(names.LABEL_SERVICE):
            own[name].append(pod)
    found = []
    for service in services:
        there = own.get(service.name, [])
        slots = {c: sum(max(0, n) // service.count for n in free[c]) for c in service.classes}
        alive = [p for p in there if _holds(p) and "deletionTimestamp" not in p["metadata"]]
        without = [p["metadata"] for p in alive if not p["spec"].get("nodeName")]
        missing = max(0, service.replicas - len(alive) + len(without))
        without.sort(key=lambda meta: (meta["creationTimestamp"], meta["name"]))
        who = [meta["name"] for meta in without[:missing]]
        if service.replicas and not there:
            who = [service.name]
        if not who or not any(slots.values()):
            continue
        bound = Counter(_class_of(p) for p in there if p["spec"].get("nodeName") and _holds(p))
        whole = any(bound[c] + n >= service.replicas for c, n in slots.items())
        on = "/".join(f"{n} on {c}" for c, n in bound.items()) or "none bound"
        told = f"{service}; {on}; room for {slots}; without a node: {len(who)}"
        found += [Waiting(each, service.name, whole, told) for each in who]
    return found


def units(pod: Object) -> int:
    """GPUs the pod asks for."""
    return sum(
        int(c.get("resources", {}).get("requests", {}).get(gpus.RESOURCE, 0))
        for c in pod["spec"]["containers"]
    )


def takes_pods(node: Object) -> bool:
    """Whether kube-scheduler would look at the node."""
    conditions = node["status"].get("conditions", [])
    return (
        "deletionTimestamp" not in node["metadata"]
        and not node["spec"].get("unschedulable", False)
        and all(t["key"] == kwok.NODE_ANNOTATION for t in node["spec"].get("taints", []))
        and any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    )


def _class_of(pod: Object) -> str:
    name: str = pod["metadata"]["labels"].get(names.LABEL_ACCELERATOR, "")
    return name


def _holds(pod: Object) -> bool:
    return pod.get("status", {}).get("phase") not in ("Succeeded", "Failed")
