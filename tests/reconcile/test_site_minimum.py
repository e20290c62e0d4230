"""Each site's own minimum: what is asked for, and what is told, as the world changes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from conch.api import names
from conch.api.conditions import Reason
from conch.kube import views
from conch.observe.state import ClusterState
from conch.observe.types import Assignment
from conch.reconcile import plan as planning
from conch.reconcile.steps import replicas, sites
from tests.reconcile.builders import KEY, L4, OPTIONS, build, decision, observe, pod, raw, state

ALL = ("berlin", "oslo", "rome")
EXTERNAL = {"mode": "External", "replicas": 1, "minReplicas": 1, "maxReplicas": 10}


def spec(least: int = 1, **scaling: Any) -> dict[str, Any]:
    placement = {"sites": list(ALL), "minReplicasPerSite": least}
    return {"placement": placement, "scaling": scaling or EXTERNAL}


def cluster(
    here: dict[str, int], room: dict[str, int], *, asked: int, least: int = 1, **scaling: Any
) -> ClusterState:
    """So many pods at each site ("": no node), room for more; ``asked`` of the Deployment."""
    assignment = Assignment(L4, Reason.PLACED, "on l4", sum(room.values()), site_room=room)
    made = state(raw(spec(least, **scaling)), assignment)
    build(made, replicas=asked)
    for site in ALL:
        connect(made, site)
    for site, count in here.items():
        for number in range(count):
            made.set_pod(at(f"{site}-{number}", site))
    return made


def connect(
    made: ClusterState, site: str, status: str = "True", taints: tuple[views.Taint, ...] = ()
) -> None:
    labels = {names.LABEL_SITE: site}
    condition = views.StatusCondition("Ready", status)
    made.inventory_builder.upsert_node(
        views.Node(
            metadata=views.Metadata(name=f"node-{site}", labels=labels),
            spec=views.NodeSpec(taints=taints),
            status=views.NodeStatus(conditions=(condition,)),
        )
    )


def at(name: str, site: str, revision: str = "r1") -> views.Pod:
    made = pod(name, revision=revision, ready=bool(site))
    return views.Pod(
        made.metadata, views.PodSpec(node_name=f"node-{site}" if site else ""), made.status
    )


def asked_for(made: ClusterState) -> tuple[int, int]:
    """(replicas wanted, those asked for beyond them); the next look sees them asked for."""
    plan = planning.make(observe(made), OPTIONS)
    made.stood_in(KEY, plan.substitutes, plan.spare)
    if plan.scale_to is not None:
        live = made.child(KEY, "Deployment", KEY.name)
        assert live is not None
        made.set_child({**live, "spec": {**live["spec"], "replicas": plan.scale_to}})
    return plan.replicas, plan.substitutes


EACH = dict.fromkeys(ALL, 1)
FREE = dict.fromkeys(ALL, 2)
NONE = dict.fromkeys(ALL, 0)


@pytest.mark.parametrize(
    ("here", "room", "least", "wanted"),
    [
        ({}, FREE, 1, 3),
        ({}, FREE, 2, 6),
        (EACH, NONE, 1, 3),
        ({}, {**FREE, "rome": 0}, 1, 2),
        ({}, {"berlin": 1, "oslo": 9}, 2, 3),  # rome has no node that can be used
        ({"rome": 1}, {"berlin": 1, "oslo": 1}, 1, 3),  # what is there needs no room
    ],
)
def test_the_floor_is_what_sites_can_hold(
    here: dict[str, int], room: dict[str, int], least: int, wanted: int
) -> None:
    made = cluster(here, room, asked=1, least=least)
    assert asked_for(made)[0] == wanted


def test_before_a_class_is_chosen_every_site_counts() -> None:
    made = state(raw(spec(2)), Assignment(None, Reason.NO_CAPACITY, "full"))
    seen = observe(made)
    assert seen.service is not None
    assert replicas.wanted(seen, seen.service.spec.scaling) == 6


def test_more_than_the_floor_is_the_scalers_affair() -> None:
    made = cluster(EACH, FREE, asked=3, mode="Latency", minReplicas=1, maxReplicas=10)
    made.decisions[KEY] = decision(7)
    assert asked_for(made) == (7, 0)
    made.decisions[KEY] = decision(1)
    assert asked_for(made) == (3, 0)


def test_pods_at_the_wrong_site_get_one_more_made_and_it_stays() -> None:
    uneven = {"berlin": 2, "oslo": 1}
    made = cluster(uneven, {"rome": 1}, asked=3, mode="Fixed", replicas=3)
    assert asked_for(made) == (3, 1)
    made.set_pod(at("new", ""))
    assert asked_for(made) == (3, 1), "it has been asked for already"
    made.set_pod(at("new", "rome"))
    made.assignments[KEY] = replace(made.assignments[KEY], site_room={})
    assert asked_for(made) == (3, 1), "Kubernetes might take that very one"
    made.set_service(raw(spec(mode="Fixed", replicas=4), resourceVersion="11"))
    assert asked_for(made) == (4, 0), "it is one of those now"
    made.set_service(raw(spec(mode="Fixed", replicas=3), resourceVersion="12"))
    assert asked_for(made) == (3, 0)


def test_one_that_was_added_is_given_up_when_fewer_are_wanted() -> None:
    made = cluster({"berlin": 2, "oslo": 2}, {"rome": 1}, asked=4, mode="Fixed", replicas=4)
    assert asked_for(made) == (4, 1)
    made.set_pod(at("new", "rome"))
    assert asked_for(made) == (4, 1)
    made.set_service(raw(spec(mode="Fixed", replicas=3), resourceVersion="11"))
    assert asked_for(made) == (3, 0)


def test_one_that_lands_at_the_wrong_site_again_is_followed_by_no_more_than_sites() -> None:
    made = cluster({"berlin": 2, "oslo": 1}, {"rome": 1}, asked=3, mode="Fixed", replicas=3)
    for number in range(6):
        _, more = asked_for(made)
        assert more <= len(ALL)
        made.set_pod(at(f"stray-{number}", "berlin"))
    assert more == len(ALL)


def test_nothing_is_added_while_pods_without_a_node_may_fill_the_gap() -> None:
    made = cluster({"berlin": 1, "oslo": 1, "": 1}, {"rome": 1}, asked=3)
    assert asked_for(made) == (3, 0)


def test_a_site_that_gets_room_raises_the_number_by_its_own_alone() -> None:
    made = cluster({"berlin": 1, "oslo": 1}, {"rome": 0}, asked=2)
    assert asked_for(made) == (2, 0)
    made.assignments[KEY] = replace(made.assignments[KEY], site_room={"rome": 1})
    assert asked_for(made) == (3, 0)
    assert asked_for(made) == (3, 0), "its pod has not been made yet"


def test_nothing_is_added_in_a_rollout() -> None:
    made = cluster({"berlin": 2, "oslo": 1}, {"rome": 1}, asked=3, mode="Fixed", replicas=3)
    made.set_pod(at("newer", "oslo", revision="r2"))
    assert asked_for(made) == (3, 0)


def test_a_pod_that_finds_no_room_at_its_site_after_all_is_asked_for_no_more() -> None:
    made = cluster({"berlin": 2, "oslo": 1}, {"rome": 1}, asked=3, mode="Fixed", replicas=3)
    assert asked_for(made) == (3, 1)
    made.set_pod(at("new", ""))
    made.assignments[KEY] = replace(made.assignments[KEY], site_room={"rome": 0})
    assert asked_for(made) == (3, 0)


def test_a_site_that_is_cut_off_holds_its_own_and_nothing_is_scaled_down() -> None:
    made = cluster({**EACH, "oslo": 3}, NONE, asked=5)
    connect(made, "rome", status="Unknown")
    assert asked_for(made) == (5, 0)
    assert asked_for(made) == (5, 0)
    status = told(made)
    assert status["sites"][2] == {
        "name": "rome",
        "replicas": 1,
        "readyReplicas": 1,
        "connected": False,
        "minReplicas": 1,
        "held": True,
    }
    assert "(not scaled down while rome is cut off)" in scaling_of(status)["message"]
    connect(made, "rome")
    assert asked_for(made) == (3, 0)


def test_a_node_that_is_said_to_be_lost_holds_nothing_back() -> None:
    made = cluster({**EACH, "oslo": 3}, NONE, asked=5)
    lost = views.Taint("node.kubernetes.io/out-of-service", "nodeshutdown", "NoExecute")
    connect(made, "rome", status="Unknown", taints=(lost,))
    assert "cut off" not in scaling_of(told(made))["message"]
    # Nothing is held any more, and the lost one is replaced.
    assert asked_for(made) == (3, 1)


def test_others_grow_while_a_site_is_cut_off() -> None:
    made = cluster(EACH, FREE, asked=3, mode="Latency", minReplicas=1, maxReplicas=10)
    connect(made, "rome", status="Unknown")
    made.decisions[KEY] = decision(6)
    assert asked_for(made) == (6, 0)


def told(made: ClusterState) -> dict[str, Any]:
    seen = observe(made)
    plan = planning.make(seen, OPTIONS)
    return dict(planning.conclude(seen, plan, planning.Outcome()).body)


def scaling_of(status: dict[str, Any]) -> dict[str, Any]:
    return next(c for c in status["conditions"] if c["type"] == "Scaling")


def test_a_site_without_room_is_named() -> None:
    made = cluster({"berlin": 1, "oslo": 1}, {**FREE, "rome": 0}, asked=2)
    status = told(made)
    found = scaling_of(status)
    assert (found["status"], found["reason"]) == ("False", "NoRoom")
    assert found["message"].startswith("Site rome needs 1 and has 0: no l4 is free there. ")
    assert [site["held"] for site in status["sites"]] == [True, True, False]


def test_many_sites_without_room_are_counted() -> None:
    found = [sites.Need(f"s{i}", 1, 0, None) for i in range(5)]
    message = sites.without_room(found, "l4")
    assert message.startswith("site s0 needs 1 and has 0: no l4 node there can be used; site s1")
    assert message.endswith("; and 2 more sites")


def test_the_floor_is_told_where_it_decides() -> None:
    made = cluster(EACH, FREE, asked=3, mode="Latency", minReplicas=1, maxReplicas=10)
    made.decisions[KEY] = decision(3)
    status = told(made)
    says = "(berlin, oslo, rome need 1 each)"
    assert says in scaling_of(status)["message"]
    assert says in status["decision"]["message"]
    made.decisions[KEY] = decision(5)
    assert says not in scaling_of(told(made))["message"]


def test_without_a_minimum_nothing_is_told_of_one() -> None:
    made = state(raw({"placement": {"sites": list(ALL)}, "scaling": EXTERNAL}))
    build(made)
    assert all("held" not in site for site in told(made)["sites"])
    assert asked_for(made) == (1, 0)
