"""Moving what runs: only when allowed, only for a gain worth the move, most gain first."""

from __future__ import annotations

from dataclasses import replace

import pytest

from conch.observe.types import Inventory, PlacementRequest
from conch.placement import Planner
from tests.placement.worlds import L4, T4, node, service, world

DEAR = replace(L4, price_per_h=2.0)


def running(name: str, *classes: str, **changes: object) -> PlacementRequest:
    return service(name, *classes, **{"current": "l4", "bound": 2, "unbound": 0, **changes})


def fleet(t4_price: float, free: int = 4) -> Inventory:
    kinds = (DEAR, replace(T4, price_per_h=t4_price))
    return world(node("a", "l4", 8, used=4), node("b", "t4", free), kinds=kinds)


def classes(inventory: Inventory, *requests: PlacementRequest, moves: int) -> list[str]:
    plans = Planner().plan(inventory, requests, moves)
    return [kind.name if (kind := plans[r.key].kind) else "" for r in requests]


@pytest.mark.parametrize(
    ("t4_price", "moves", "chosen"),
    [
        (1.0, 1, "t4"),
        (1.0, 0, "l4"),  # nobody may be moved
        (1.8, 1, "l4"),  # a quarter of an hour of both costs more than is gained
    ],
)
def test_a_move_is_allowed_and_worth_it(t4_price: float, moves: int, chosen: str) -> None:
    assert classes(fleet(t4_price), running("a"), moves=moves) == [chosen]


def test_the_preferred_class_is_worth_a_move_whatever_it_costs() -> None:
    assert classes(fleet(9.0), running("a", "t4", "l4"), moves=1) == ["t4"]


def test_nobody_moves_where_not_all_replicas_have_room() -> None:
    assert classes(fleet(1.0, free=1), running("a"), moves=1) == ["l4"]


def test_those_who_gain_most_move_first() -> None:
    small, large = running("a"), running("b", bound=3)
    assert classes(fleet(1.0), small, large, moves=2) == ["l4", "t4"]


def test_who_has_moved_stays() -> None:
    moved = running("a", current="t4")
    assert classes(fleet(1.0), moved, moves=1) == ["t4"]


SIZED = {"capacity_rps": {"l4": 10.0, "t4": 10.0}, "demand_rps": 20.0}


@pytest.mark.parametrize(
    ("t4_rps", "chosen"),
    [
        (10.0, "t4"),
        (5.0, "l4"),  # four at half the price
        (2.0, "l4"),
    ],
)
def test_what_a_replica_carries_there_counts(t4_rps: float, chosen: str) -> None:
    sized = running("a", **{**SIZED, "capacity_rps": {"l4": 10.0, "t4": t4_rps}})
    assert classes(fleet(1.0, free=20), sized, moves=1) == [chosen]


def test_what_runs_needs_room_there_even_if_fewer_would_do() -> None:
    strong = running("a", **{**SIZED, "capacity_rps": {"l4": 10.0, "t4": 20.0}})
    assert classes(fleet(1.0, free=1), strong, moves=1) == ["l4"]
    assert classes(fleet(1.0, free=2), strong, moves=1) == ["t4"]


def test_fewer_than_the_minimum_save_nothing() -> None:
    strong = running("a", capacity_rps={"l4": 10.0, "t4": 20.0}, demand_rps=17.0)
    assert classes(fleet(3.0), strong, moves=1) == ["t4"], "one for two"
    assert classes(fleet(3.0), replace(strong, min_replicas=2), moves=1) == ["l4"]


def test_who_must_not_move_stays() -> None:
    assert classes(fleet(1.0), running("a", movable=False), moves=1) == ["l4"]


@pytest.mark.parametrize("demand_rps", [19.0, 20.0, 21.0])
def test_noise_in_demand_moves_nobody_back_and_forth(demand_rps: float) -> None:
    """What has moved for a gain does not find the way back worth it."""
    noisy = {**SIZED, "demand_rps": demand_rps}
    assert classes(fleet(1.0), running("a", **noisy), moves=1) == ["t4"]
    moved = running("a", current="t4", **noisy)
    assert classes(fleet(1.0), moved, moves=1) == ["t4"]


def test_one_replica_that_noise_makes_the_difference_for_is_no_gain() -> None:
    """Two for three just now; with a tenth less demand two for two."""
    sized = running("a", bound=3, capacity_rps={"l4": 10.0, "t4": 15.0}, demand_rps=20.5)
    assert classes(fleet(2.1), sized, moves=1) == ["l4"]
    assert classes(fleet(2.1), replace(sized, demand_rps=25.0), moves=1) == ["t4"]


def test_what_the_nodes_that_have_room_cost_decides() -> None:
    """The class has cheap spot nodes, and they are full."""
    spot = replace(T4, price_per_h=1.9, spot_price_per_h=0.5)
    kinds = (DEAR, spot)
    full = replace(node("s", "t4", 4, used=4), capacity_type="Spot")
    nodes = (node("a", "l4", 8, used=4), full, node("b", "t4", 4))
    assert classes(world(*nodes, kinds=kinds), running("a"), moves=1) == ["l4"]
    free = replace(full, requested={})
    assert classes(world(nodes[0], free, nodes[2], kinds=kinds), running("a"), moves=1) == ["t4"]
