"""Replicas that must not be on spot: a second Deployment, and a split that changes gap-free."""

from __future__ import annotations

from typing import Any

import pytest

from conch.api import names
from conch.api.conditions import ConditionType
from conch.kube import views
from conch.kube.views import Autoscaler, AutoscalerSpec, ScaleTarget
from conch.observe.spot import SPOT_LABELS
from conch.observe.state import ClusterState
from conch.reconcile import plan as planning
from tests.reconcile.builders import KEY, OPTIONS, decision, observe, pod, raw, state

SECOND = names.on_demand_name(KEY.name)
BOTH = ["Spot", "OnDemand"]


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
    """A cluster whose Deployments get their pods: one is created and made ready at each turn."""

    def __init__(self, least: int | None, wanted: int) -> None:
        self.cluster: ClusterState = state(spec(least))
        self.version = 10
        self.pods = 0
        self.want(wanted)

    def want(self, replicas: int) -> None:
        self.cluster.decisions[KEY] = decision(replicas)

    def edit(self, least: int | None) -> None:
        self.version += 1
        changed = spec(least)
        changed["metadata"] |= {"resourceVersion": str(self.version), "generation": self.version}
        self.cluster.set_service(changed)

    def replicas(self) -> tuple[int, int | None]:
        counts = []
        for name in (KEY.name, SECOND):
            live = self.cluster.child(KEY, "Deployment", name)
            counts.append(None if live is None else int(live["spec"]["replicas"]))
        assert counts[0] is not None
        return counts[0], counts[1]

    def ready(self) -> int:
        return sum(p.ready for p in self.cluster.pods(KEY))

    def write(self) -> planning.Plan:
        """One reconcile, carried out."""
        made = planning.make(observe(self.cluster), OPTIONS)
        for action in made.applies:
            name = action.obj["metadata"]["name"]
            before = self.cluster.child(KEY, action.obj["kind"], name)
            replicas = 1 if before is None else before.get("spec", {}).get("replicas", 1)
            self._set(action.obj, replicas)
        for name, count in ((KEY.name, made.scale_to), (SECOND, made.on_demand_to)):
            if count is not None:
                live = self.cluster.child(KEY, "Deployment", name)
                assert live is not None
                self._set(live, count)
        for child in made.deletes:
            self.cluster.remove_child(child)
        return made

    def _set(self, obj: dict[str, Any], replicas: int) -> None:
        self.version += 1
        meta = {**obj["metadata"], "resourceVersion": str(self.version), "uid": self._uid(obj)}
        live = {**obj, "metadata": meta}
        if obj["kind"] == "Deployment":
            live["spec"] = {**obj["spec"], "replicas": replicas}
            live["status"] = dict.fromkeys(
                ("replicas", "updatedReplicas", "readyReplicas"), replicas
            )
        self.cluster.set_child(live)

    @staticmethod
    def _uid(obj: dict[str, Any]) -> str:
        return f"{obj['kind']}-{obj['metadata']['name']}"

    def turn(self, *, on_demand_room: bool = True) -> None:
        """What the Deployments' controller and the nodes do until Conch looks again."""
        for name, label in ((KEY.name, ""), (SECOND, names.ON_DEMAND)):
            live = self.cluster.child(KEY, "Deployment", name)
            asked = 0 if live is None else int(live["spec"]["replicas"])
            own = [
                p
                for p in self.cluster.pods(KEY)
                if p.metadata.labels.get(names.LABEL_CAPACITY, "") == label
            ]
            for surplus in own[asked:]:
                self.cluster.remove_pod(surplus.metadata.uid)
            if asked > len(own) and (on_demand_room or not label):
                self._start(label)

    def _start(self, label: str) -> None:
        self.pods += 1
        made = pod(f"p{self.pods}", revision=f"r-{label}")
        if label:
            labels = {**made.metadata.labels, names.LABEL_CAPACITY: label}
            meta = views.Metadata(
                name=made.metadata.name,
                namespace=KEY.namespace,
                uid=made.metadata.uid,
                creation_timestamp=made.metadata.creation_timestamp,
                labels=labels,
            )
            made = views.Pod(meta, made.spec, made.status)
        self.cluster.set_pod(made)

    def settle(self, at_least: int, *, on_demand_room: bool = True) -> None:
        """Until nothing is written any more; never fewer ready than ``at_least``."""
        for _ in range(40):
            before = self.replicas() if self.cluster.child(KEY, "Deployment", KEY.name) else None
            made = self.write()
            self.turn(on_demand_room=on_demand_room)
            assert self.ready() >= at_least
            written = made.applies or made.deletes or made.scale_to is not None
            still = not written and made.on_demand_to is None and self.replicas() == before
            if still and not self._starting(on_demand_room):
                return
        raise AssertionError("it never settles")

    def _starting(self, on_demand_room: bool) -> bool:
        any_type, firm = self.replicas()
        return self.ready() < any_type + (firm or 0 if on_demand_room else 0)


@pytest.mark.parametrize(
    ("wanted", "least", "expected"),
    [(5, 2, (3, 2)), (2, 2, (0, 2)), (1, 3, (0, 1)), (4, None, (4, None)), (10, 10, (0, 10))],
)
def test_so_many_are_on_demand_or_all_when_there_are_fewer(
    wanted: int, least: int | None, expected: tuple[int, int | None]
) -> None:
    world = World(least, wanted)
    world.settle(0)
    assert world.replicas() == expected
    assert world.ready() == wanted
    assert planning.make(observe(world.cluster), OPTIONS).replicas == wanted


@pytest.mark.parametrize("before", [None, 1, 3, 4])
@pytest.mark.parametrize("after", [None, 1, 3, 4])
def test_changing_the_split_costs_no_replica(before: int | None, after: int | None) -> None:
    world = World(before, 4)
    world.settle(0)
    world.edit(after)
    world.settle(at_least=4)
    firm = after if after is None else min(4, after)
    assert world.replicas() == (4 - (firm or 0), firm)
    assert world.ready() == 4


def test_it_grows_and_shrinks_with_the_demand() -> None:
    world = World(2, 2)
    world.settle(0)
    world.want(7)
    world.settle(at_least=2)
    assert world.replicas() == (5, 2)
    world.want(1)
    world.settle(at_least=1)
    assert world.replicas() == (0, 1)
    world.want(4)
    world.settle(at_least=1)
    assert world.replicas() == (2, 2)


def test_without_room_on_demand_those_on_spot_stay() -> None:
    world = World(None, 4)
    world.settle(0)
    world.edit(3)
    world.settle(at_least=4, on_demand_room=False)
    assert world.replicas() == (4, 3)
    world.settle(at_least=4)
    assert world.replicas() == (1, 3)


def test_a_rollout_of_the_one_is_not_a_change_of_the_other() -> None:
    """The second Deployment comes with the same settings: no server of the first restarts."""
    world = World(None, 2)
    world.settle(0)
    live = world.cluster.child(KEY, "Deployment", KEY.name)
    assert live is not None
    world.edit(1)
    made = planning.make(observe(world.cluster), OPTIONS)
    assert [a.obj["metadata"]["name"] for a in made.applies] == [SECOND]
    second = made.applies[0].obj
    assert second["spec"]["selector"]["matchLabels"] == {
        names.LABEL_SERVICE: KEY.name,
        names.LABEL_CAPACITY: names.ON_DEMAND,
    }
    affinity = second["spec"]["template"]["spec"]["affinity"]["nodeAffinity"]
    term = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"][0]
    for key, value in SPOT_LABELS:
        expected = {"key": key, "operator": "NotIn", "values": [value]}
        assert expected in term["matchExpressions"]


def test_an_autoscaler_on_either_is_never_fought() -> None:
    world = World(2, 4)
    world.settle(0)
    on_second = Autoscaler(
        views.Metadata(name="rule", namespace=KEY.namespace, uid="hpa"),
        AutoscalerSpec(ScaleTarget("apps/v1", "Deployment", SECOND)),
    )
    assert KEY in world.cluster.foreign.set_autoscaler(on_second)
    world.want(9)
    made = planning.make(observe(world.cluster), OPTIONS)
    assert (made.replicas, made.scale_to, made.on_demand_to) == (4, None, None)
    obs = observe(world.cluster)
    status = planning.conclude(obs, made, planning.Outcome())
    found = next(c for c in status.conditions if c.type is ConditionType.SCALING)
    assert f"HorizontalPodAutoscaler rule (on {SECOND}) scales" in found.message
    assert KEY in world.cluster.foreign.remove_autoscaler("hpa")
    assert planning.make(observe(world.cluster), OPTIONS).scale_to == 7


def test_it_is_settled_when_both_are() -> None:
    world = World(2, 3)
    world.settle(0)
    obs = observe(world.cluster)
    status = planning.conclude(obs, planning.make(obs, OPTIONS), planning.Outcome())
    found = next(c for c in status.conditions if c.type is ConditionType.READY)
    assert found.status == "True"
    assert (status.body["replicas"], status.body["desiredReplicas"]) == (3, 3)
