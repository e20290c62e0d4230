"""A world in memory for splits: Deployments get their pods, one created and ready at each turn."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import msgspec

from conch.api import names
from conch.observe.state import ClusterState
from conch.observe.types import Part
from conch.reconcile import plan as planning
from conch.reconcile.steps import split
from tests.reconcile.builders import KEY, L4, OPTIONS, decision, observe, placed, pod, raw, state

BOTH = ["Spot", "OnDemand"]
KINDS = {name: replace(L4, name=name, node_selector={"gpu": name}) for name in ("l4", "t4", "a100")}
"""Classes that a service may be split over; its own is l4."""


def spec(least: int | None, **scaling: Any) -> dict[str, Any]:
    placement: dict[str, Any] = {"capacityTypes": BOTH}
    if least is not None:
        placement["minOnDemand"] = least
    return raw(
        {
            "placement": placement,
            "scaling": {"mode": "Latency", "minReplicas": 0, "maxReplicas": 10, **scaling},
        }
    )


class World:
    """A cluster whose Deployments get their pods: one is created and made ready at each turn.

    ``full`` are parts whose pods find no node.
    """

    def __init__(self, least: int | None, wanted: int) -> None:
        self.cluster: ClusterState = state(spec(least))
        self.version = 10
        self.pods = 0
        self.full: Collection[str] = ()
        self.want(wanted)

    def want(self, replicas: int) -> None:
        self.cluster.decisions[KEY] = decision(replicas)

    def edit(self, least: int | None) -> None:
        self.version += 1
        changed = spec(least)
        changed["metadata"] |= {"resourceVersion": str(self.version), "generation": self.version}
        self.cluster.set_service(changed)

    def plan(self, **by_class: int) -> None:
        """The planner says: so many on each class, best first; () for all on its own."""
        parts = tuple(
            Part(KINDS[name], count, room=1, main=name == "l4") for name, count in by_class.items()
        )
        self.cluster.assignments[KEY] = replace(placed(), parts=parts)

    def deployments(self) -> dict[str, int]:
        """Replicas asked for, by part."""
        obs = observe(self.cluster)
        assert obs.deployment is not None
        found = {split.MAIN: obs.deployment, **obs.parts}
        return {part: int(live["spec"]["replicas"]) for part, live in found.items()}

    def ready(self, part: str | None = None) -> int:
        pods = self.cluster.pods(KEY)
        return sum(p.ready for p in pods if part is None or split.part_of(p) == part)

    def write(self) -> planning.Plan:
        """One reconcile, carried out."""
        made = planning.make(observe(self.cluster), OPTIONS)
        for action in made.applies:
            name = action.obj["metadata"]["name"]
            before = self.cluster.child(KEY, action.obj["kind"], name)
            replicas = 1 if before is None else before.get("spec", {}).get("replicas", 1)
            self._set(action.obj, replicas)
        to = {split.MAIN: made.scale_to, **made.parts_to}
        for part, count in to.items():
            if count is not None:
                name = names.part_name(KEY.name, part) if part else KEY.name
                live = self.cluster.child(KEY, "Deployment", name)
                assert live is not None
                self._set(live, count)
        for child in made.deletes:
            self.cluster.remove_child(child)
        return made

    def _set(self, obj: dict[str, Any], replicas: int) -> None:
        self.version += 1
        uid = f"{obj['kind']}-{obj['metadata']['name']}"
        meta = {**obj["metadata"], "resourceVersion": str(self.version), "uid": uid}
        live = {**obj, "metadata": meta}
        if obj["kind"] == "Deployment":
            live["spec"] = {**obj["spec"], "replicas": replicas}
            counts = ("replicas", "updatedReplicas", "readyReplicas")
            live["status"] = dict.fromkeys(counts, replicas)
        self.cluster.set_child(live)

    def turn(self) -> None:
        """What the Deployments' controller and the nodes do until Conch looks again."""
        asked = self.deployments()
        by_part: dict[str, list[Any]] = {part: [] for part in asked}
        for one in self.cluster.pods(KEY):
            by_part.setdefault(split.part_of(one), []).append(one)
        for part, own in by_part.items():
            for surplus in own[asked.get(part, 0) :]:
                self.cluster.remove_pod(surplus.metadata.uid)
            if asked.get(part, 0) > len(own) and part not in self.full:
                self._start(part)

    def _start(self, part: str) -> None:
        self.pods += 1
        made = pod(f"p{self.pods}", revision=f"r-{part}")
        on = next((name for name in KINDS if names.part_on(name) == part), "l4")
        own = {names.LABEL_ACCELERATOR: on, **({names.LABEL_PART: part} if part else {})}
        labels = {**made.metadata.labels, **own}
        meta = msgspec.structs.replace(made.metadata, labels=labels)
        self.cluster.set_pod(msgspec.structs.replace(made, metadata=meta))

    def settle(self, at_least: int) -> None:
        """Until nothing is written any more; never fewer ready than ``at_least``."""
        for _ in range(80):
            made, before = self.write(), self.cluster.pods(KEY)
            self.turn()
            assert self.ready() >= at_least
            written = made.applies or made.deletes or made.scale_to is not None or made.parts_to
            if not written and self.cluster.pods(KEY) == before:
                return
        raise AssertionError("it never settles")
