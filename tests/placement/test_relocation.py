"""Services that mind carbon, on classes whose nodes stand on several grids."""

from __future__ import annotations

from dataclasses import replace

import pytest

from conch.api import names
from conch.observe.types import Area, Assignment, Inventory, Key, NodeCapacity, PlacementRequest
from conch.placement import Planner, plan
from tests.placement.worlds import A100, L4, node, service, world

CLEAN, DIRTY = (names.LABEL_ZONE, "north"), (names.LABEL_ZONE, "south")
ORDER = ((CLEAN,), (DIRTY,))
WATTS = replace(L4, max_watts=72.0, price_per_h=0.8)
KEY = Key("default", "a")


def at(area: Area, name: str, units: int, used: int = 0) -> NodeCapacity:
    made = node(name, "l4", units, used, labels=dict([area]))
    return replace(made, zone=area[1])


def fleet(clean: int, dirty: int, figures: tuple[float, float] = (60.0, 600.0)) -> Inventory:
    """So many free units in each zone."""
    made = world(at(DIRTY, "a", 16, 16 - dirty), at(CLEAN, "b", 16, 16 - clean), kinds=(WATTS,))
    grids = {"l4": dict(zip((CLEAN, DIRTY), figures, strict=True))}
    return replace(made, carbon={"l4": sum(figures) / 2}, grids=grids)


def new(**changes: object) -> PlacementRequest:
    return service("a", **{"optimise": "Carbon", **changes})


def running(in_dirty: int, in_clean: int = 0, **changes: object) -> PlacementRequest:
    bound = {area: n for area, n in ((DIRTY, in_dirty), (CLEAN, in_clean)) if n}
    values = {
        "current": "l4",
        "bound": in_dirty + in_clean,
        "unbound": 0,
        "bound_in": bound,
        "tiers": ((DIRTY,), (CLEAN,)),
    }
    return new(**{**values, **changes})


def zones(found: Assignment) -> dict[str, int]:
    return {share.zone: share.replicas for share in found.shares}


@pytest.mark.parametrize(
    ("clean", "expected"), [(5, {"north": 3}), (2, {"north": 2, "south": 1}), (0, {"south": 3})]
)
def test_replicas_go_where_it_is_clean_as_far_as_there_is_room(
    clean: int, expected: dict[str, int]
) -> None:
    found = plan(fleet(clean, 8), [new(unbound=3)])[KEY]
    assert zones(found) == expected
    assert found.tiers == ORDER, "so its pods are told"


@pytest.mark.parametrize("optimise", ["Cost", "Energy", "Latency"])
def test_who_does_not_mind_carbon_is_told_no_order(optimise: str) -> None:
    assert plan(fleet(5, 8), [new(optimise=optimise)])[KEY].tiers == ()


def test_nor_is_anybody_where_zones_are_alike() -> None:
    assert plan(fleet(5, 8, (60.0, 63.0)), [new()])[KEY].tiers == ()


def test_a_class_is_as_clean_as_the_room_it_has() -> None:
    """The A100 takes more power, but only on a clean grid is there any of it."""
    a100 = replace(A100, max_watts=300.0, price_per_h=3.0)
    both = fleet(1, 8)
    clean = replace(node("c", "a100", 8, labels=dict([CLEAN])), zone="north")
    both = replace(both, nodes=(*both.nodes, clean), kinds=(WATTS, a100))
    both = replace(both, carbon={**both.carbon, "a100": 60.0})
    chosen = {n: plan(both, [new(unbound=n)])[KEY].kind for n in (1, 4)}
    # 4 x 300 W x 60 g are 72 g an hour, 1 x 72 W x 60 g and 3 x 72 W x 600 g are 134.
    assert {n: kind.name for n, kind in chosen.items() if kind} == {1: "l4", 4: "a100"}


def test_what_runs_stays_when_the_order_changes() -> None:
    found = plan(fleet(8, 8), [running(2, unbound=1)])[KEY]
    assert not found.relocates
    assert zones(found) == {"south": 1}, "its pods still prefer what its template says"
    assert found.tiers == ORDER, "for the next template"


def relocated(inventory: Inventory, request: PlacementRequest, moves: int = 1) -> bool:
    return Planner().plan(inventory, [request], moves)[KEY].relocates


@pytest.mark.parametrize(
    ("inventory", "request_", "moves", "expected"),
    [
        pytest.param(fleet(4, 0), running(3), 1, True, id="it pays"),
        pytest.param(fleet(4, 0), running(3, tiers=()), 1, True, id="it never had an order"),
        pytest.param(fleet(4, 0), running(3), 0, False, id="no budget"),
        pytest.param(fleet(4, 0), running(3, movable=False), 1, False, id="it may not be moved"),
        pytest.param(fleet(0, 4), running(3), 1, False, id="no room where it is clean"),
        pytest.param(fleet(4, 0), running(3, tiers=ORDER), 1, False, id="it prefers that already"),
        pytest.param(fleet(4, 0), running(0, 3), 1, False, id="it is there"),
        pytest.param(fleet(1, 0), running(1, 9), 1, True, id="a tenth of it saves most of all"),
        pytest.param(fleet(4, 0, (500.0, 600.0)), running(3), 1, False, id="too little is saved"),
        pytest.param(fleet(4, 0), running(3, optimise="Cost"), 1, False, id="it minds its price"),
        pytest.param(fleet(4, 0), running(3, bound_in={}), 1, False, id="nobody knows where it is"),
        pytest.param(fleet(4, 0), running(3, avoid={"l4": "failed"}), 1, False, id="it failed"),
    ],
)
def test_what_runs_goes_where_it_is_cleaner_only_if_that_pays(
    inventory: Inventory, request_: PlacementRequest, moves: int, expected: bool
) -> None:
    assert relocated(inventory, request_, moves) is expected


def test_two_services_are_not_sent_to_the_same_places() -> None:
    first, second = running(3), replace(running(2), key=Key("default", "b"))
    found = Planner().plan(fleet(3, 0), [first, second], 2)
    assert [one.relocates for one in found.values()] == [True, False]


def test_the_budget_is_shared_by_all_moves() -> None:
    first, second = running(3), replace(running(2), key=Key("default", "b"))
    found = Planner().plan(fleet(9, 0), [first, second], 1)
    assert [one.relocates for one in found.values()] == [True, False], "who gains most"


def test_a_plan_made_again_is_the_same() -> None:
    inventory, request = fleet(4, 8), running(2, 1, unbound=2)
    planner = Planner()
    first = planner.plan(inventory, [request])
    assert planner.plan(inventory, [request]) == first == plan(inventory, [request])
