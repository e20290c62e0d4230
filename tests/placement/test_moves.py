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
