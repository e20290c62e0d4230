"""One service on several classes: what its own has no room for."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given

from conch.api.conditions import Reason
from conch.observe.types import (
    Assignment,
    Inventory,
    PlacementRequest,
    Provisioning,
    Taint,
)
from conch.placement.beside import MOST_CLASSES
from conch.placement.options import Policy
from conch.placement.planner import plan
from tests.placement.test_planner_properties import demands, inventories, running
from tests.placement.worlds import A100, L4, T4, kind, node, service, world

FREE = world(node("a", "a100", 3), node("l", "l4", 3))
SIX = service("a", "a100", "l4", unbound=6)
SPLIT = replace(SIX, current="a100", bound=3, unbound=0, parts={"l4": 3})


def placed(inventory: Inventory, *requests: PlacementRequest) -> Assignment:
    return plan(inventory, requests)[requests[0].key]


def on(assignment: Assignment) -> dict[str, int]:
    """Replicas by class, best first."""
    return {part.kind.name: part.replicas for part in assignment.parts}


def used(**units: int) -> Inventory:
    """The same nodes, with so many units taken, of three each."""
    return world(*(node(name, name, 3, taken) for name, taken in units.items()))


def test_three_here_and_three_there() -> None:
    found = placed(FREE, SIX)
    assert (found.kind, found.reason) == (A100, Reason.PLACED)
    assert on(found) == {"a100": 3, "l4": 3}
    assert found.message == (
        "on a100 and l4, 1 GPU per replica; 3 replicas on a100, 3 replicas on l4"
    )
    assert [(s.class_name, s.replicas) for s in found.shares] == [("a100", 3), ("l4", 3)]
    assert [(v.class_name, v.reason) for v in found.verdicts] == [
        ("a100", "chosen"),
        ("l4", "chosen"),
    ]
    assert found.verdicts[1].message.startswith("l4: 3 replicas; 1 node, 0 of 3 GPUs free")


def test_one_class_is_enough_where_one_has_room() -> None:
    assert placed(world(node("a", "a100", 6), node("l", "l4", 3)), SIX).parts == ()
    one = placed(world(node("a", "a100", 3), node("l", "l4", 6)), SIX)
    assert (one.kind, one.parts) == (L4, ())


def test_most_of_it_is_its_class_and_what_none_has_room_for_waits() -> None:
    found = placed(world(node("a", "a100", 1), node("l", "l4", 3)), SIX)
    assert found.kind == L4
    assert on(found) == {"a100": 1, "l4": 3}
    assert "no room for 2 more replicas" in found.message


def test_what_runs_on_another_class_stays_although_there_is_room() -> None:
    """Bringing it back is a move."""
    found = placed(used(a100=0, l4=3), SPLIT)
    assert on(found) == {"a100": 3, "l4": 3}
    assert (found.room, found.room_beside) == (3, 0)


def test_it_grows_where_there_is_room_and_shrinks_where_it_is_worst() -> None:
    here = placed(used(a100=2, l4=2), SPLIT)
    assert (here.growing, here.shrinking) == ("a100", "l4")
    there = placed(used(a100=3, l4=2), SPLIT)
    assert (there.growing, there.shrinking, there.room, there.room_beside) == ("l4", "l4", 0, 1)
    turned = replace(SPLIT, current="l4", parts={"a100": 3})
    assert placed(used(a100=3, l4=3), turned).shrinking == "l4"


def test_a_new_replica_goes_to_the_part_when_its_own_class_is_full() -> None:
    found = placed(used(a100=3, l4=1), replace(SPLIT, unbound=2))
    assert on(found) == {"a100": 3, "l4": 5}
    parts = {part.kind.name: part for part in found.parts}
    assert (parts["l4"].room, parts["l4"].main, parts["a100"].main) == (2, False, True)


def test_a_class_of_its_own_is_full_by_others_first() -> None:
    """Nobody's part takes what another's own class holds for it."""
    other = service("b", "l4", unbound=2, age_rank="z")
    found = plan(FREE, [SIX, other])
    assert found[other.key].kind == L4
    assert found[other.key].room == 2
    assert on(found[SIX.key]) == {"a100": 3, "l4": 1}


def test_on_as_many_classes_as_it_takes_up_to_a_limit() -> None:
    kinds = tuple(kind(f"k{number}") for number in range(MOST_CLASSES + 2))
    nodes = tuple(node(k.name, k.name, 1) for k in kinds)
    found = placed(Inventory(nodes, kinds), service("a", unbound=MOST_CLASSES + 2))
    assert len(found.parts) == MOST_CLASSES
    assert "no room for 2 more replicas" in found.message


def test_only_to_nodes_that_are_there() -> None:
    added = replace(L4, provisioning=Provisioning(2, 1, 600.0))
    found = placed(world(node("a", "a100", 3), kinds=(A100, added)), SIX)
    assert (found.kind, found.parts) == (A100, ())
    assert "no room for 3 more replicas" in found.message


def test_who_may_not() -> None:
    here = replace(SIX, current="a100", bound=3, unbound=3)
    full = used(a100=3, l4=0)
    assert on(placed(full, here)) == {"a100": 3, "l4": 3}
    for changes in (
        {"classes": ("a100",)},
        {"spill": 0},
        {"sites": ("shop",), "min_per_site": 1},
    ):
        narrowed: dict[str, Any] = changes
        assert placed(full, replace(here, **narrowed)).parts == ()
    assert on(placed(full, replace(here, spill=2))) == {"a100": 3, "l4": 2}


def test_what_must_not_be_on_spot_does_not_go_where_it_may_be() -> None:
    """Two of them are to be on demand, and its own class has no such room: those wait."""
    spot = node("s", "l4", 3, labels={"karpenter.sh/capacity-type": "spot"})
    inventory = world(node("a", "a100", 3, 3), replace(spot, capacity_type="Spot"))
    asked = service(
        "a", "a100", "l4", current="a100", bound=3, unbound=3, min_on_demand=5, on_demand_bound=3
    )
    assert on(placed(inventory, asked)) == {"a100": 3, "l4": 1}


def test_a_class_that_only_seems_to_have_room_gets_no_more() -> None:
    waited = replace(SIX, current="a100", bound=3, unbound=1, avoid={"a100": "stayed Pending"})
    found = placed(used(a100=0, l4=0), waited)
    assert on(found) == {"a100": 3, "l4": 1}


def test_a_class_that_goes_leaves_what_runs_elsewhere_where_it_is() -> None:
    """Its own class is gone: the one where the rest of it runs is its own now."""
    lost = replace(SPLIT, bound=0, unbound=3)
    only_l4 = world(node("l", "l4", 8, 3), kinds=(L4, T4))
    found = placed(only_l4, lost)
    assert (found.kind, on(found)) == (L4, {"l4": 3})
    assert found.parts[0].main
    full = placed(world(node("l", "l4", 3, 3), kinds=(L4, T4)), lost)
    assert full.kind == L4
    assert "no room for 3 more replicas" in full.message


def test_a_class_that_the_spec_names_no_more_is_left() -> None:
    changed = replace(SPLIT, classes=("a100", "t4"))
    found = placed(world(node("a", "a100", 3, 3), node("t", "t4", 3)), changed)
    assert on(found) == {"a100": 3, "t4": 3}


def test_a_class_that_is_tainted_meanwhile_keeps_what_runs_there() -> None:
    taint = Taint("team", "other", "NoSchedule")
    tainted = world(node("a", "a100", 3, 3), node("l", "l4", 4, 3, taints=(taint,)))
    assert on(placed(tainted, SPLIT)) == {"a100": 3, "l4": 3}


def test_it_costs_what_all_of_it_costs() -> None:
    priced = (replace(A100, price_per_h=3.0), replace(L4, price_per_h=1.0))
    inventory = world(node("a", "a100", 3), node("l", "l4", 3), kinds=priced)
    assert placed(inventory, SIX).cost_per_h == 12.0
    full = world(node("a", "a100", 3, 3), node("l", "l4", 3, 3), kinds=priced)
    assert placed(full, SPLIT).cost_per_h == 12.0


# --- whatever the world ---------------------------------------------------------------------------


def bind(request: PlacementRequest, found: Assignment) -> PlacementRequest:
    """The request once everything that has room is bound."""
    assert found.kind is not None
    counts = {part.kind.name: part.replicas for part in found.parts if not part.main}
    beside = sum(counts.values())
    main = [part.replicas for part in found.parts if part.main]
    here = main[0] if main else min(request.wanted, request.bound + found.room)
    rest = max(0, request.wanted - here - beside)
    return replace(request, current=found.kind.name, bound=here, parts=counts, unbound=rest)


@pytest.mark.slow
@given(inventories(), running())
def test_the_sum_is_what_is_wanted_or_it_says_how_many_have_no_room(
    inventory: Inventory, requests: list[PlacementRequest]
) -> None:
    for key, found in plan(inventory, requests).items():
        request = next(one for one in requests if one.key == key)
        if found.kind is None or not found.parts:
            continue
        assert len(found.parts) <= MOST_CLASSES
        assert sum(part.main for part in found.parts) == 1
        total = sum(part.replicas for part in found.parts)
        assert total <= request.wanted
        assert ("no room for" in found.message) == (total < request.wanted)


@pytest.mark.slow
@given(inventories(), demands())
def test_parts_cost_nobody_the_class_that_was_chosen(
    inventory: Inventory, requests: list[PlacementRequest]
) -> None:
    alone = plan(inventory, [replace(request, spill=0) for request in requests])
    split = plan(inventory, requests)
    assert {k: a.kind for k, a in split.items()} == {k: a.kind for k, a in alone.items()}


@pytest.mark.slow
@given(inventories(added=False), demands())
def test_once_bound_it_stays(inventory: Inventory, requests: list[PlacementRequest]) -> None:
    first = plan(inventory, requests)
    nothing_free = Inventory(
        tuple(replace(node, requested=node.allocatable) for node in inventory.nodes),
        inventory.kinds,
    )
    bound = [
        bind(request, first[request.key])
        for request in requests
        if first[request.key].kind is not None
    ]
    again = plan(nothing_free, bound)
    for request in bound:
        if first[request.key].parts:
            assert on(again[request.key]) == on(first[request.key])


# --- back to one class ----------------------------------------------------------------------------

ONE_MOVE = Policy(moves=1)


def moved(inventory: Inventory, request: PlacementRequest = SPLIT) -> Assignment:
    return plan(inventory, [request], ONE_MOVE)[request.key]


def test_where_its_own_class_has_room_for_all_it_is_on_one_again() -> None:
    found = moved(world(node("a", "a100", 6, 3), node("l", "l4", 3, 3)))
    assert (found.kind, found.parts, found.room) == (A100, (), 3)


def test_it_stays_apart_where_only_some_of_it_has_room_or_it_may_not_move() -> None:
    some = world(node("a", "a100", 5, 3), node("l", "l4", 3, 3))
    assert on(moved(some)) == {"a100": 3, "l4": 3}
    full = world(node("a", "a100", 6, 3), node("l", "l4", 3, 3))
    assert on(moved(full, replace(SPLIT, movable=False))) == {"a100": 3, "l4": 3}


def test_it_gathers_on_the_other_class_where_that_is_no_worse_than_both() -> None:
    """What is there already stays as it is: only the others need room."""
    kinds = (replace(A100, price_per_h=3.0), replace(L4, price_per_h=1.0))
    inventory = world(node("a", "a100", 3, 3), node("l", "l4", 6, 3), kinds=kinds)
    found = moved(inventory)
    assert (found.kind.name if found.kind else "", found.room) == ("l4", 3)
    assert [(p.kind.name, p.replicas, p.main) for p in found.parts] == [
        ("l4", 3, True),
        ("l4", 3, False),
    ]
    assert found.message == "on l4, 1 GPU per replica"
    dear = tuple(replace(k, price_per_h=p) for k, p in zip(kinds, (1.0, 3.0), strict=True))
    assert on(moved(replace(inventory, kinds=dear))) == {"a100": 3, "l4": 3}


def test_the_same_price_is_enough_to_be_on_one_class_again() -> None:
    even = tuple(replace(k, price_per_h=2.0) for k in (A100, L4))
    anywhere = replace(SPLIT, classes=())
    found = moved(world(node("a", "a100", 6, 3), node("l", "l4", 3, 3), kinds=even), anywhere)
    assert (found.kind, found.parts) == (even[0], ())
