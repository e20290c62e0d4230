"""Sites with another minimum than the others: held exactly, by a Deployment of their own."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conch.api import names
from conch.api.conditions import Reason
from conch.kube import views
from conch.observe.state import ClusterState
from conch.observe.types import Assignment
from conch.reconcile import plan as planning
from conch.reconcile.steps import figures, replicas, sites, split
from tests.reconcile.builders import KEY, L4, OPTIONS, observe, pod, raw, state

SITES = ("berlin", "oslo", "rome")
AT_OSLO = names.part_at("oslo")


def spec(own: dict[str, int], each: int = 1, wanted: int = 6) -> dict[str, Any]:
    placement = {"sites": list(SITES), "minReplicasPerSite": each, "siteMinReplicas": own}
    if not each:
        del placement["minReplicasPerSite"]
    return {"placement": placement, "scaling": {"mode": "Fixed", "replicas": wanted}}


class World:
    """A cluster with so many free accelerators at each site, and a scheduler for it.

    Pods that may go anywhere go to the site with fewest, as they prefer; the first of several when
    ``perverse`` they go where most are.
    """

    def __init__(self, capacity: dict[str, int], asked: dict[str, Any]) -> None:
        self.capacity = capacity
        self.perverse = False
        self.version = 10
        self.pods = 0
        self.cluster: ClusterState = state(raw(asked))
        for site in SITES:
            condition = views.StatusCondition("Ready", "True")
            meta = views.Metadata(name=f"node-{site}", labels={names.LABEL_SITE: site})
            status = views.NodeStatus(conditions=(condition,))
            self.cluster.inventory_builder.upsert_node(views.Node(metadata=meta, status=status))
        self.look()

    def edit(self, asked: dict[str, Any]) -> None:
        self.version += 1
        self.cluster.set_service(raw(asked, resourceVersion=str(self.version)))

    def here(self) -> dict[str, int]:
        bound = [p.spec.node_name for p in self.cluster.pods(KEY) if p.spec.node_name]
        return {site: bound.count(f"node-{site}") for site in SITES}

    def look(self) -> None:
        """The planner counts what is free."""
        here = self.here()
        room = {site: self.capacity[site] - here[site] for site in SITES}
        found = Assignment(L4, Reason.PLACED, "on l4", sum(room.values()), site_room=room)
        self.cluster.assignments[KEY] = found

    def deployments(self) -> dict[str, dict[str, Any]]:
        obs = observe(self.cluster)
        main = {split.MAIN: obs.deployment} if obs.deployment is not None else {}
        return {**main, **obs.parts}

    def write(self) -> bool:
        """One reconcile, carried out; whether it wrote anything."""
        self.look()
        made = planning.make(observe(self.cluster), OPTIONS)
        self.cluster.stood_in(KEY, made.substitutes, made.spare)
        for action in made.applies:
            name = action.obj["metadata"]["name"]
            before = self.cluster.child(KEY, action.obj["kind"], name)
            count = 1 if before is None else before.get("spec", {}).get("replicas", 1)
            self._set(action.obj, count)
        for part, count in {split.MAIN: made.scale_to, **made.parts_to}.items():
            if count is not None:
                name = names.part_name(KEY.name, part) if part else KEY.name
                live = self.cluster.child(KEY, "Deployment", name)
                assert live is not None
                self._set(live, count)
        for child in made.deletes:
            self.cluster.remove_child(child)
        scaled = made.scale_to is not None or made.parts_to
        return bool(made.applies or made.deletes or scaled)

    def _set(self, obj: dict[str, Any], count: int) -> None:
        self.version += 1
        meta = {**obj["metadata"], "resourceVersion": str(self.version), "uid": "x"}
        live = {**obj, "metadata": {**meta, "uid": f"{obj['kind']}-{meta['name']}"}}
        if obj["kind"] == "Deployment":
            live["spec"] = {**obj["spec"], "replicas": count}
        self.cluster.set_child(live)

    def turn(self) -> None:
        """Deployments make or end one pod each; pods that wait are bound where there is room."""
        asked = {part: live["spec"]["replicas"] for part, live in self.deployments().items()}
        own: dict[str, list[views.Pod]] = {part: [] for part in asked}
        for one in self.cluster.pods(KEY):
            own.setdefault(split.part_of(one), []).append(one)
        for part, pods in own.items():
            if len(pods) > asked.get(part, 0):
                # Kubernetes ends those first that have no node, then where several are.
                here = self.here()
                crowd = {f"node-{site}": count for site, count in here.items()}
                pods.sort(key=lambda p: crowd.get(p.spec.node_name, 99))
                self.cluster.remove_pod(pods[-1].metadata.uid)
            elif len(pods) < asked.get(part, 0):
                self._start(part)
        for one in self.cluster.pods(KEY):
            if not one.spec.node_name:
                self._bind(one)

    def _start(self, part: str) -> None:
        self.pods += 1
        made = pod(f"p{self.pods:03}", revision=f"r-{part}", ready=False)
        labels = {**made.metadata.labels, names.LABEL_ACCELERATOR: "l4"}
        labels |= {names.LABEL_PART: part} if part else {}
        meta = msgspec.structs.replace(made.metadata, labels=labels)
        self.cluster.set_pod(views.Pod(meta, views.PodSpec(), made.status))

    def _bind(self, one: views.Pod) -> None:
        here = self.here()
        part = split.part_of(one)
        free = [
            site
            for site in SITES
            if here[site] < self.capacity[site] and (not part or names.part_at(site) == part)
        ]
        if free:
            sign = -1 if self.perverse else 1
            site = min(free, key=lambda site: (sign * here[site], site))
            ready = pod(one.metadata.name).status
            bound = views.PodSpec(node_name=f"node-{site}")
            self.cluster.set_pod(views.Pod(one.metadata, bound, ready))

    def settle(self) -> None:
        """Until nothing is written any more, and no pod comes or goes."""
        for _ in range(120):
            before = self.cluster.pods(KEY)
            wrote = self.write()
            self.turn()
            if not wrote and self.cluster.pods(KEY) == before:
                return
        raise AssertionError(f"it never settles: {self.here()}, {self.deployments()}")


ROOMY = {"berlin": 8, "oslo": 8, "rome": 8}


def test_one_site_has_more_than_the_others() -> None:
    world = World(ROOMY, spec({"oslo": 4}))
    world.settle()
    assert world.here() == {"berlin": 1, "oslo": 4, "rome": 1}
    counts = {part: live["spec"]["replicas"] for part, live in world.deployments().items()}
    assert counts == {split.MAIN: 2, AT_OSLO: 4}


def test_what_is_beyond_the_minima_goes_where_there_is_least() -> None:
    world = World(ROOMY, spec({"oslo": 3}, wanted=9))
    world.settle()
    assert world.here() == {"berlin": 3, "oslo": 3, "rome": 3}


def test_one_site_needs_none_at_all() -> None:
    world = World({**ROOMY, "rome": 0}, spec({"rome": 0}, each=2, wanted=4))
    world.settle()
    assert world.here() == {"berlin": 2, "oslo": 2, "rome": 0}
    seen = observe(world.cluster)
    assert seen.service is not None
    told = replicas.judge(seen, seen.service.spec.scaling, 4)
    assert told.status == "True", "nothing is missing in rome"


def test_only_that_site_has_a_minimum() -> None:
    world = World(ROOMY, spec({"oslo": 2}, each=0, wanted=2))
    world.settle()
    assert world.here() == {"berlin": 0, "oslo": 2, "rome": 0}


def test_a_site_without_room_for_all_of_its_own_gets_what_it_can_hold() -> None:
    world = World({**ROOMY, "oslo": 2}, spec({"oslo": 4}))
    world.settle()
    assert world.here()["oslo"] == 2
    seen = observe(world.cluster)
    assert seen.service is not None
    told = replicas.judge(seen, seen.service.spec.scaling, 6)
    assert (told.reason, told.status) == (Reason.NO_ROOM, "False")
    assert told.message.startswith("Site oslo needs 4 and has 2: no l4 is free there.")
    world.capacity["oslo"] = 8
    world.settle()
    assert world.here()["oslo"] == 4


def test_each_change_is_followed_and_what_is_held_no_more_goes() -> None:
    world = World(ROOMY, spec({"oslo": 4}))
    world.settle()
    world.edit(spec({"oslo": 1, "rome": 4}))
    world.settle()
    here = world.here()
    assert here["rome"] == 4
    assert min(here.values()) == 1
    world.edit(spec({}))
    world.settle()
    assert min(world.here().values()) >= 1
    assert set(world.deployments()) == {split.MAIN}


def test_the_status_and_the_message_tell_each_sites_own() -> None:
    world = World(ROOMY, spec({"oslo": 4}))
    world.settle()
    seen = observe(world.cluster)
    shown = {s["name"]: (s["minReplicas"], s["held"]) for s in figures.sites(seen)["sites"]}
    assert shown == {"berlin": (1, True), "oslo": (4, True), "rome": (1, True)}
    assert sites.note(seen, 6, 1) == " (berlin needs 1, oslo needs 4, rome needs 1)"


def test_a_part_at_a_site_goes_nowhere_else() -> None:
    world = World(ROOMY, spec({"oslo": 4}))
    world.settle()
    pods = world.deployments()[AT_OSLO]["spec"]["template"]["spec"]
    required = pods["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    own = {"key": names.LABEL_SITE, "operator": "In", "values": ["oslo"]}
    assert all(own in term["matchExpressions"] for term in required["nodeSelectorTerms"])
    assert "podAntiAffinity" not in pods["affinity"], "it has no other site to prefer"


@pytest.mark.parametrize(("room", "surge"), [(0, 0), (2, 1)])
def test_its_rollout_makes_room_by_itself_where_the_site_is_full(room: int, surge: int) -> None:
    world = World({**ROOMY, "oslo": 4 + room}, spec({"oslo": 4}))
    world.settle()
    world.edit({**spec({"oslo": 4}), "resources": {"cpu": "3"}})
    world.write()
    rolling = world.deployments()[AT_OSLO]["spec"]["strategy"]["rollingUpdate"]
    assert rolling == {"maxSurge": surge, "maxUnavailable": 1 - surge}


@pytest.mark.parametrize(
    ("site", "part"), [("shop-17", "at-shop-17"), ("Oslo_2", "at-"), ("a.b", "at-"), ("x" * 63, "")]
)
def test_a_site_makes_a_name_of_a_deployment(site: str, part: str) -> None:
    made = names.part_at(site)
    assert made.startswith(part or "at-")
    assert len(made) <= 63
    assert not set(made) & {".", "_"}
    assert made.islower()
    assert names.bases_of(names.part_name("web", "at-shop-17")) == ("web",)


@settings(max_examples=60, deadline=None)
@given(
    st.fixed_dictionaries({site: st.integers(0, 5) for site in SITES}),
    st.dictionaries(st.sampled_from(SITES), st.integers(0, 4), min_size=1),
    st.integers(0, 2),
    st.integers(0, 3),
    st.booleans(),
)
def test_every_site_gets_what_it_can_hold_of_its_own(
    capacity: dict[str, int], own: dict[str, int], each: int, more: int, perverse: bool
) -> None:
    """Wherever pods went before the minima were asked for."""
    least = {site: own.get(site, each) for site in SITES}
    wanted = sum(least.values()) + more
    if not wanted:
        return
    before = {**spec({}, wanted=wanted), "placement": {"sites": list(SITES)}}
    world = World(capacity, before)
    world.perverse = perverse
    world.settle()
    world.perverse = False
    world.edit(spec(own, each, wanted))
    world.settle()
    for site in own:
        if own[site] > each:
            assert world.here()[site] >= min(own[site], capacity[site]), (site, world.here())
