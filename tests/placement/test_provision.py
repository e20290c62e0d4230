"""Nodes to come: when they are counted, when they are chosen, and what is said of them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from conch.api.conditions import Reason
from conch.observe.types import (
    AcceleratorKind,
    Inventory,
    NewNode,
    NodeCapacity,
    Provisioning,
    Taint,
)
from conch.placement import Planner, plan
from conch.placement.provision import Provisions, is_starting, starting
from tests.placement.worlds import A100, GPU, L4, PRODUCT, T4, node, service, world

HOW = Provisioning(max_nodes=2, units_per_node=4, wait_s=600.0)


def added(kind: AcceleratorKind = L4, how: Provisioning = HOW) -> AcceleratorKind:
    return replace(kind, declared=True, provisioning=how)


def zero(*nodes: NodeCapacity, how: Provisioning = HOW) -> Inventory:
    return world(*nodes, kinds=(T4, added(how=how), A100))


def coming(inventory: Inventory) -> list[tuple[str, str]]:
    laid = Provisions().lay_on(inventory)
    return [(one.name, one.coming) for one in laid.nodes if one.coming]


def bare(name: str = "new", **changes: object) -> NodeCapacity:
    """A node of the class that has just been made: its device plugin has told nothing yet."""
    return replace(node(name, units=0), **changes)  # type: ignore[arg-type]


# --- what is counted -----------------------------------------------------------------------------


def test_nothing_is_added_to_what_nobody_provisions() -> None:
    inventory = world(node("n1"))
    assert Provisions().lay_on(inventory) is inventory


def test_nodes_count_towards_the_limit() -> None:
    assert [c for _, c in coming(zero())] == ["Addable", "Addable"]
    assert [c for _, c in coming(zero(node("n1")))] == ["Addable"]
    assert coming(zero(node("n1"), node("n2"), node("n3"))) == []
    assert [c for _, c in coming(zero(node("t", "t4"), node("u", "t4")))] == ["Addable"] * 2


def test_a_node_on_its_way_out_makes_place_for_another() -> None:
    assert len(coming(zero(replace(node("n1"), reclaimed=True)))) == 2


def test_what_pools_may_add_counts_whatever_is_there() -> None:
    spot = NewNode(8, {"karpenter.sh/capacity-type": "spot"})
    dedicated = NewNode(1, {}, (Taint("team", "x", "NoSchedule"),))
    how = Provisioning(0, 8, 600.0, more=(spot, dedicated))
    inventory = zero(node("n1"), node("n2"), how=how)
    laid = [one for one in Provisions().lay_on(inventory).nodes if one.coming]
    assert [(one.allocatable[GPU], one.capacity_type) for one in laid] == [
        (8, "Spot"),
        (1, "OnDemand"),
    ]
    full = zero(node("n1", used=4), how=how)
    found = plan(full, [service("a", "l4")])
    assert [one.reason for one in found.values()] == [Reason.WAITING_FOR_NODE]
    # Its taint is not tolerated: waiting for it would be in vain.
    only = zero(node("n1", used=4), how=replace(how, more=(dedicated,)))
    (refused,) = plan(only, [service("a", "l4")]).values()
    assert refused.kind is None


def test_a_node_that_is_made_has_the_units_that_its_maker_foretells() -> None:
    made = bare(foretold={GPU: 2})
    laid = Provisions().lay_on(zero(made)).nodes
    assert [n.allocatable[GPU] for n in laid if n.coming == "Starting"] == [2]


def test_a_node_without_its_units_is_one_of_them_not_one_more() -> None:
    inventory = zero(bare())
    assert coming(inventory) == [("new", "Starting"), ("l4/0000", "Addable")]
    laid = Provisions().lay_on(inventory)
    assert [n.allocatable[GPU] for n in laid.nodes if n.coming == "Starting"] == [4]
    assert starting(inventory) == {"l4"}
    assert starting(zero(node("n1"))) == set()


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (bare(), True),
        (bare(ready=False), True),
        (node("full", ready=False), True),
        (node("up"), False),
        (node("cni", taints=(Taint("node.cilium.io/agent-not-ready", "", "NoExecute"),)), True),
        (node("own", taints=(Taint("team", "", "NoSchedule"),)), False),
        (bare(unschedulable=True), False),
        (bare(reclaimed=True, ready=False), False),
        (
            bare(ready=False, taints=(Taint("node.kubernetes.io/unreachable", "", "NoExecute"),)),
            False,
        ),
    ],
)
def test_which_nodes_start(one: NodeCapacity, expected: bool) -> None:
    assert is_starting(added(), one) is expected


@pytest.mark.parametrize(
    ("key", "chosen"),
    [
        ("node.kubernetes.io/not-ready", "l4"),
        ("karpenter.sh/unregistered", "l4"),
        ("startup-taint.cluster-autoscaler.kubernetes.io/cni", "l4"),
        ("team", None),
    ],
)
def test_taints_of_a_start_go_by_themselves(key: str, chosen: str | None) -> None:
    one = bare(taints=(Taint(key, "", "NoSchedule"),))
    inventory = zero(one, how=replace(HOW, max_nodes=1))
    found = plan(inventory, [service("a", "l4")])[service("a").key]
    assert (found.kind.name if found.kind else None) == chosen


def test_new_nodes_carry_the_labels_that_services_ask_for() -> None:
    labels = {"karpenter.sh/capacity-type": "spot", "conch.dev/site": "oslo"}
    inventory = zero(how=replace(HOW, labels=labels))
    asks = service("a", "l4", capacity_types=("Spot",), sites=("oslo",))
    assert plan(inventory, [asks])[asks.key].reason is Reason.WAITING_FOR_NODE
    other = service("b", "l4", capacity_types=("OnDemand",))
    assert plan(inventory, [other])[other.key].kind is None


def test_what_did_not_change_stays_the_same() -> None:
    provisions = Provisions()
    inventory = zero(bare())
    first = provisions.lay_on(inventory)
    again = provisions.lay_on(Inventory(inventory.nodes, inventory.kinds))
    assert again.nodes is first.nodes
    other = Inventory((*inventory.nodes, node("t", "t4")), inventory.kinds)
    later = provisions.lay_on(other)
    assert [n for n in later.nodes if n.coming] == [n for n in first.nodes if n.coming]
    by_name = {n.name: n for n in first.nodes}
    assert all(n is by_name[n.name] for n in later.nodes if n.coming)


# --- what is chosen ------------------------------------------------------------------------------


def chosen(inventory: Inventory, *classes: str, **changes: object) -> tuple[str | None, Reason]:
    asked = service("a", *classes, **changes)
    found = plan(inventory, [asked])[asked.key]
    return (found.kind.name if found.kind else None), found.reason


def test_the_order_may_prefer_to_wait() -> None:
    inventory = zero(node("t", "t4"))
    assert chosen(inventory, "l4", "t4") == ("l4", Reason.WAITING_FOR_NODE)
    assert chosen(inventory, "t4", "l4") == ("t4", Reason.PLACED)


def test_without_an_order_what_is_there_wins() -> None:
    dear = replace(T4, price_per_h=3.0)
    cheap = replace(added(), price_per_h=0.5)
    assert chosen(world(node("t", "t4"), kinds=(dear, cheap))) == ("t4", Reason.PLACED)
    assert chosen(world(kinds=(dear, cheap))) == ("l4", Reason.WAITING_FOR_NODE)


def test_free_units_of_the_class_come_first() -> None:
    inventory = zero(node("n1", units=4, used=3))
    assert chosen(inventory, "l4") == ("l4", Reason.PLACED)
    found = plan(inventory, [service("a", "l4", unbound=3)])[service("a").key]
    assert found.reason is Reason.WAITING_FOR_NODE
    assert "2 replicas wait up to 10 min for a node" in found.message
    assert (found.room, found.room_to_come) == (5, 4)


def test_no_more_is_promised_than_can_be_added() -> None:
    asks = [service(f"s{n}", "l4", count=4) for n in range(3)]
    found = plan(zero(), asks)
    reasons = [found[one.key].reason for one in asks]
    assert reasons == [Reason.WAITING_FOR_NODE, Reason.WAITING_FOR_NODE, Reason.NO_CAPACITY]
    told = found[asks[2].key].message
    assert told == "l4: 0 nodes, up to 2 can be added, all promised to pods without a node"


def test_a_replica_must_fit_on_one_new_node() -> None:
    assert chosen(zero(), "l4", count=5) == (None, Reason.NOTHING_FITS)


def test_spot_is_limited_over_nodes_there_and_to_come() -> None:
    how = replace(HOW, labels={"karpenter.sh/capacity-type": "spot"})
    spot = replace(node("n1", units=2), capacity_type="Spot")
    asked = service("a", "l4", unbound=4, min_on_demand=2)
    found = plan(zero(spot, node("n2", units=1), how=replace(how, max_nodes=4)), [asked])[asked.key]
    on = {share.capacity_type: share.replicas for share in found.shares}
    assert on == {"Spot": 2, "OnDemand": 1}


def test_who_waits_looks_again() -> None:
    """A preferred class that gets room is taken at once, as long as nothing runs."""
    waits = {"current": "l4", "unbound": 1}
    assert chosen(zero(), "t4", "l4", **waits) == ("l4", Reason.WAITING_FOR_NODE)
    assert chosen(zero(node("t", "t4")), "t4", "l4", **waits) == ("t4", Reason.PLACED)
    assert chosen(zero(node("t", "t4")), "l4", "t4", **waits) == ("l4", Reason.WAITING_FOR_NODE)


def test_while_a_node_starts_nobody_goes_elsewhere() -> None:
    inventory = zero(bare(), node("t", "t4"), how=replace(HOW, max_nodes=1))
    waits = {"current": "l4", "unbound": 4}
    assert chosen(inventory, "l4", "t4", **waits) == ("l4", Reason.WAITING_FOR_NODE)
    asked = service("a", "l4", "t4", unbound=4, current="l4")
    told = plan(inventory, [asked])[asked.key].message
    assert told.endswith("4 replicas wait up to 10 min for a node: 0 nodes, 1 starting, "
                         "all promised to pods without a node")  # fmt: skip


def test_waited_in_vain() -> None:
    inventory = zero(node("t", "t4"))
    asked = service("a", "l4", "t4", current="l4", avoid={"l4": "no node came"})
    found = plan(inventory, [asked])[asked.key]
    assert found.kind is T4
    assert "l4: left alone for now: no node came" in [v.message for v in found.verdicts]


def test_what_runs_moves_to_a_better_class_only_when_that_is_there() -> None:
    asked = service("a", "l4", "t4", current="t4", bound=1, unbound=0)
    here = node("t", "t4", units=2, used=1)
    for inventory, expected in ((zero(here), "t4"), (zero(here, node("n1")), "l4")):
        found = Planner().plan(inventory, [asked], 1)[asked.key]
        assert found.kind is not None
        assert found.kind.name == expected


def test_a_story_planned_by_one_planner() -> None:
    planner = Planner()
    asked = service("a", "l4", "t4")
    steps = (
        (zero(), Reason.WAITING_FOR_NODE),
        (zero(bare()), Reason.WAITING_FOR_NODE),
        (zero(replace(bare(), allocatable=node("new").allocatable)), Reason.PLACED),
        (zero(replace(bare(), labels={PRODUCT: "t4"})), Reason.WAITING_FOR_NODE),
    )
    for inventory, expected in steps:
        found = planner.plan(inventory, [asked])[asked.key]
        assert (found.kind.name if found.kind else "", found.reason) == ("l4", expected)
