"""A cluster in memory, for time that is not real: nodes, pods, Deployments and who acts on them.

It plays the API server, the Deployment and ReplicaSet controllers, kube-scheduler and the nodes, as
far as placement can tell: rollouts with their bounds, scaling in proportion while one is under way,
pods that end first, first come first served. It must not know what Conch wants.
"""

from __future__ import annotations

import asyncio
import copy
import itertools
import random
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from e2e.bench.client import Object, Objects
from e2e.placement.pending import units
from e2e.testbed import gpus

EPOCH_S = 1_800_000_000.0
_END_S = 1.0  # a pod on a node takes that long to go
_LOST_S = 45.0  # pods of a node that is no more are collected then
_SEEN_S = 0.05  # until a watch tells of a change

Watch = Callable[[str, Object | None, Object | None], None]
"""Told of each change: plural, old and new; None: it was not there, it is gone."""


@dataclass(slots=True)
class _ReplicaSet:
    """One revision of a Deployment."""

    name: str
    template: Object
    replicas: int = 0
    most: int = 1  # its Deployment's replicas and surge, when it was last scaled


@dataclass(slots=True)
class _Rollout:
    """What a Deployment's controller remembers."""

    sets: list[_ReplicaSet] = field(default_factory=list)  # oldest first
    asked: int = 0


class Pretend:
    """The cluster. `collections` are by plural, then by namespace/name; pods are ready `ready_s`
    after they were bound.
    """

    def __init__(self, watch: Watch, seed: int, ready_s: float = 1.0) -> None:
        self.collections: dict[str, Objects] = defaultdict(dict)
        self._watch = watch
        self._ready_s = ready_s
        self._rng = random.Random(seed)
        self._numbers = itertools.count(1)
        self._rollouts: dict[str, _Rollout] = {}

    # --- the API server --------------------------------------------------------------------------

    def put(self, plural: str, obj: Object, *, spec: bool = True) -> Object:
        """Create or replace an object; `spec`: it is another one as far as its owner knows."""
        name = name_of(obj)
        old = self.collections[plural].get(name)
        new = copy.deepcopy(obj)
        meta = new["metadata"]
        number = next(self._numbers)
        meta.setdefault("uid", old["metadata"]["uid"] if old else f"uid-{number}")
        meta.setdefault("creationTimestamp", old["metadata"]["creationTimestamp"] if old else now())
        before = old["metadata"]["generation"] if old else 0
        meta |= {"resourceVersion": str(number), "generation": before + (spec or not old)}
        self.collections[plural][name] = new
        self._tell(plural, old, new)
        return new

    def change(self, plural: str, name: str, change: Callable[[Object], None]) -> Object | None:
        """Change an object that may be gone."""
        if (old := self.collections[plural].get(name)) is None:
            return None
        new = copy.deepcopy(old)
        change(new)
        return self.put(plural, new, spec=new.get("spec") != old.get("spec"))

    def remove(self, plural: str, name: str) -> None:
        """Take an object away, with all that belongs to it."""
        if (old := self.collections[plural].pop(name, None)) is None:
            return
        self._tell(plural, old, None)
        uid = old["metadata"]["uid"]
        for other, found in list(self.collections.items()):
            for each, obj in list(found.items()):
                if any(o["uid"] == uid for o in obj["metadata"].get("ownerReferences", ())):
                    self.end_pod(each) if other == "pods" else self.remove(other, each)
        if plural == "deployments":
            del self._rollouts[name]
        if plural == "nodes":
            bound = [k for k, p in self.collections["pods"].items() if node_of(p) == name]
            for pod in bound:
                _later(_LOST_S, self.remove, "pods", pod)

    def _tell(self, plural: str, old: Object | None, new: Object | None) -> None:
        _later(_SEEN_S, self._watch, plural, old, new)

    # --- who acts --------------------------------------------------------------------------------

    async def run(self) -> None:
        """Controllers and the scheduler, until cancelled."""
        while True:
            for name in sorted(self.collections["deployments"]):
                self._roll(name)
            self._schedule()
            await asyncio.sleep(0.1)

    def _roll(self, name: str) -> None:
        deployment = self.collections["deployments"][name]
        spec = deployment["spec"]
        wanted, bounds = spec["replicas"], spec["strategy"]["rollingUpdate"]
        surge, missing = bounds["maxSurge"], bounds["maxUnavailable"]
        rollout = self._rollouts.setdefault(name, _Rollout())
        sets = rollout.sets
        if not sets or sets[-1].template != spec["template"]:
            known = [one for one in sets if one.template == spec["template"]]
            newest = (
                known[0]
                if known
                else _ReplicaSet(f"{name}-{next(self._numbers)}", copy.deepcopy(spec["template"]))
            )
            rollout.sets = sets = [one for one in sets if one is not newest] + [newest]
        pods = {one.name: self._pods_of(one) for one in sets}
        if rollout.asked != wanted:
            _rescale(sets, wanted, surge)
            rollout.asked = wanted
        else:
            _advance(
                sets, {k: sum(map(_ready, v)) for k, v in pods.items()}, wanted, surge, missing
            )
        for one in sets:
            one.most = wanted + surge
            self._match(deployment, one, pods[one.name])
        status = {
            "observedGeneration": deployment["metadata"]["generation"],
            "replicas": sum(map(len, pods.values())),
            "updatedReplicas": len(pods[sets[-1].name]),
            "readyReplicas": sum(_ready(p) for own in pods.values() for p in own),
        }
        if deployment.get("status") != status:
            self.put("deployments", {**deployment, "status": status}, spec=False)

    def _pods_of(self, one: _ReplicaSet) -> list[Object]:
        return [
            pod
            for pod in self.collections["pods"].values()
            if pod["metadata"].get("ownerReferences", ({},))[0].get("name") == one.name
            and "deletionTimestamp" not in pod["metadata"]
        ]

    def _match(self, deployment: Object, one: _ReplicaSet, pods: Sequence[Object]) -> None:
        for _ in range(one.replicas - len(pods)):
            meta = copy.deepcopy(one.template["metadata"])
            meta["labels"]["pod-template-hash"] = one.name.rpartition("-")[2]
            meta["name"] = f"{one.name.partition('/')[2]}-{next(self._numbers)}"
            meta["namespace"] = deployment["metadata"]["namespace"]
            owner = {"name": one.name, "uid": deployment["metadata"]["uid"]}
            meta["ownerReferences"] = [owner]
            body = {"metadata": meta, "spec": one.template["spec"], "status": {"phase": "Pending"}}
            self.put("pods", body)
        newest_first = sorted(pods, key=lambda p: -int(p["metadata"]["uid"].rpartition("-")[2]))
        newest_first.sort(key=lambda p: (bool(node_of(p)), _ready(p)))
        for pod in newest_first[: max(0, len(pods) - one.replicas)]:
            self.end_pod(name_of(pod))

    def end_pod(self, name: str) -> None:
        """Have a pod end: at once without a node, else as soon as its node says so."""
        pod = self.collections["pods"].get(name)
        if pod is None or "deletionTimestamp" in pod["metadata"]:
            return
        if not node_of(pod):
            self.remove("pods", name)
            return
        self.change("pods", name, lambda p: p["metadata"].update(deletionTimestamp=now()))
        if node_of(pod) in self.collections["nodes"]:
            _later(_END_S, self.remove, "pods", name)

    def _schedule(self) -> None:
        pods = self.collections["pods"]
        free = {
            name: int(node["status"]["allocatable"].get(gpus.RESOURCE, 0))
            for name, node in self.collections["nodes"].items()
        }
        for pod in pods.values():
            if node_of(pod) in free:
                free[node_of(pod)] -= units(pod)
        waiting = [n for n, p in pods.items() if not node_of(p)]
        for name in waiting:
            pod, needs = pods[name], units(pods[name])
            nodes = self.collections["nodes"]
            able = [n for n in nodes if free[n] >= needs and _takes(nodes[n], pod["spec"])]
            if not able:
                if "conditions" not in pod["status"]:
                    self.change("pods", name, _refuse)
                continue
            # kube-scheduler prefers what is least taken.
            most = max(free[n] for n in able)
            chosen = self._rng.choice([n for n in able if free[n] == most])
            free[chosen] -= needs
            self.bind(name, chosen)

    def bind(self, pod: str, node: str) -> None:
        """Put a pod on a node, where it starts."""

        def place(body: Object) -> None:
            body["spec"]["nodeName"] = node
            body["status"].pop("conditions", None)

        def start(body: Object) -> None:
            body["status"] |= {"phase": "Running", "podIP": "10.0.0.1"}
            up = [{"type": "Ready", "status": "True", "lastTransitionTime": now()}]
            body["status"]["conditions"] = up

        self.change("pods", pod, place)
        _later(self._ready_s, self.change, "pods", pod, start)


def now() -> str:
    """The time of the loop as the API server writes it: whole seconds."""
    moment = datetime.fromtimestamp(EPOCH_S + asyncio.get_running_loop().time(), UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


# --- a Deployment's controller --------------------------------------------------------------------


def _rescale(sets: list[_ReplicaSet], wanted: int, surge: int) -> None:
    """Another number was asked for: each revision takes its part of the difference."""
    active = [one for one in sets if one.replicas]
    if len(active) < 2:
        (active or sets[-1:])[0].replicas = wanted
        return
    allowed = wanted + surge if wanted else 0
    left = allowed - sum(one.replicas for one in active)
    active.sort(key=lambda one: one.replicas, reverse=True)
    for one in active:
        share = round(one.replicas * allowed / one.most) - one.replicas
        share = max(0, min(share, left)) if left > 0 else min(0, max(share, left))
        one.replicas += share
        left -= share
    active[0].replicas = max(0, active[0].replicas + left)


def _advance(
    sets: list[_ReplicaSet], ready: dict[str, int], wanted: int, surge: int, missing: int
) -> None:
    """One step of a rollout."""
    *old, new = sets
    total = sum(one.replicas for one in sets)
    if not any(one.replicas for one in old) or new.replicas > wanted:
        new.replicas = wanted
        return
    if new.replicas < wanted and (more := min(wanted + surge - total, wanted - new.replicas)) > 0:
        new.replicas += more
        return
    least = wanted - missing
    spare = total - least - (new.replicas - min(new.replicas, ready[new.name]))
    if spare <= 0:
        return
    for one in old:  # what serves nobody first
        cut = min(spare, max(0, one.replicas - ready[one.name]))
        one.replicas -= cut
        spare -= cut
    spare = min(spare, sum(ready.values()) - least)
    for one in old:
        cut = max(0, min(spare, one.replicas))
        one.replicas -= cut
        spare -= cut


# --- kube-scheduler -------------------------------------------------------------------------------


def _takes(node: Object, spec: Object) -> bool:
    """Whether a node has what a pod asks for, but for room."""
    if node["spec"].get("unschedulable") or "deletionTimestamp" in node["metadata"]:
        return False
    tolerated = spec.get("tolerations", ())
    if not all(any(_tolerates(t, taint) for t in tolerated) for taint in _taints(node)):
        return False
    labels = node["metadata"]["labels"]
    if any(labels.get(k) != v for k, v in spec.get("nodeSelector", {}).items()):
        return False
    required = spec.get("affinity", {}).get("nodeAffinity", {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution", {}
    )  # fmt: skip
    terms = required.get("nodeSelectorTerms")
    return terms is None or any(
        all(_holds(rule, labels) for rule in term.get("matchExpressions", ())) for term in terms
    )


def _taints(node: Object) -> Iterable[Object]:
    return [t for t in node["spec"].get("taints", ()) if t["effect"] != "PreferNoSchedule"]


def _tolerates(toleration: Object, taint: Object) -> bool:
    if toleration.get("key") and toleration["key"] != taint["key"]:
        return False
    if toleration.get("effect") and toleration["effect"] != taint["effect"]:
        return False
    if toleration.get("operator", "Equal") == "Exists":
        return True
    return bool(toleration.get("value", "") == taint.get("value", ""))


def _holds(rule: Object, labels: dict[str, str]) -> bool:
    value, values = labels.get(rule["key"]), rule.get("values", ())
    match rule["operator"]:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt":
            return value is not None and value.isdigit() and int(value) > int(values[0])
    raise ValueError(f"operator {rule['operator']}")


def _refuse(pod: Object) -> None:
    told = "no node has room"
    pod["status"]["conditions"] = [
        {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": told}
    ]


def node_of(pod: Object) -> str:
    """The node a pod is bound to, "" for none."""
    return str(pod["spec"].get("nodeName") or "")


def _ready(pod: Object) -> bool:
    conditions = pod["status"].get("conditions", ())
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def name_of(obj: Object) -> str:
    """Under which an object is kept."""
    meta = obj["metadata"]
    return f"{meta['namespace']}/{meta['name']}" if "namespace" in meta else str(meta["name"])


def _later(delay_s: float, do: Callable[..., Any], *arguments: Any) -> None:
    asyncio.get_running_loop().call_later(delay_s, do, *arguments)
