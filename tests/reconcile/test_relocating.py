"""Moves to cleaner areas of the class a service is on: when, how it is told, what goes wrong."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import msgspec

from conch.api import names
from conch.api.conditions import Reason
from conch.kube import views
from conch.observe.types import Inventory
from conch.reconcile.moves import LOOK_S, REST_S, STEADY_S
from conch.reconcile.moves_journey import STALL_S
from tests.reconcile.builders import KEY, nodes_with
from tests.reconcile.test_moves import REQUEST, World, inventory, replica

NORTH, SOUTH = (names.LABEL_ZONE, "north"), (names.LABEL_ZONE, "south")
BEFORE, AFTER = ((SOUTH,), (NORTH,)), ((NORTH,), (SOUTH,))
RUNS = replace(REQUEST, optimise="Carbon", bound_in={SOUTH: 2}, tiers=BEFORE)
MOVED = replace(RUNS, tiers=AFTER)
WHY = "60 g CO2e/kWh there, 600 where it is"


def fleet(north: int, south: int = 2, figures: tuple[float, float] = (60.0, 600.0)) -> Inventory:
    one = inventory(a100=0)
    (bare,) = nodes_with({"a100": 0})
    nodes = tuple(
        replace(
            bare,
            name=zone,
            labels={**bare.labels, names.LABEL_ZONE: zone},
            zone=zone,
            allocatable={**bare.allocatable, "nvidia.com/gpu": free},
        )
        for zone, free in (("north", north), ("south", south))
    )
    kinds = tuple(replace(kind, max_watts=300.0) for kind in one.kinds)
    grids = {"a100": dict(zip((NORTH, SOUTH), figures, strict=True))}
    return replace(one, nodes=nodes, kinds=kinds, carbon={"a100": 330.0}, grids=grids)


def made(name: str, at_s: float, *, ready: bool = True) -> views.Pod:
    pod = replica(name, "a100", ready=ready)
    text = datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    metadata = msgspec.structs.replace(pod.metadata, creation_timestamp=text)
    return msgspec.structs.replace(pod, metadata=metadata)


def relocates(world: World) -> bool:
    return world.found[KEY].relocates


def gone(room: Inventory | None = None) -> World:
    """It has just been told to go."""
    world = World(room=room or fleet(4))
    for _ in range(20):
        world.look(RUNS)
        if relocates(world):
            return world
    raise AssertionError("it never went")


def test_it_goes_once_that_has_been_better_for_a_while() -> None:
    world = World(room=fleet(4))
    looks = 0
    while world.look(RUNS) and not relocates(world):
        looks += 1
        assert looks < 20
    assert looks == STEADY_S // LOOK_S
    assert world.told() == (Reason.MOVING, f"moves to north: {WHY}")
    assert world.found[KEY].tiers == AFTER


def test_a_grid_that_is_clean_for_a_moment_moves_nobody() -> None:
    world = World()
    for figures in [(60.0, 600.0), (600.0, 60.0)] * 8:
        world.room = fleet(4, figures=figures)
        world.look(RUNS)
        assert not relocates(world)


def test_until_its_deployment_says_so_it_is_told_again() -> None:
    world = gone()
    for _ in range(3):
        world.look(RUNS, after_s=5, able=False)
        assert relocates(world)
        assert world.told()[0] is Reason.MOVING
    world.look(RUNS, able=False)
    assert not relocates(world), "it was told for a minute and never went"


def test_it_has_arrived_when_all_its_pods_are_new_and_then_it_rests() -> None:
    world = gone()
    began_s = world.now_s
    old, first = made("old", began_s - 900), made("first", began_s + 5)
    world.look(MOVED, pods=[old, first], able=False)
    assert world.told() == (Reason.MOVING, f"moves to north: {WHY}")
    there = replace(MOVED, bound_in={NORTH: 2})
    world.look(there, pods=[first, made("second", began_s + 70)], able=False)
    world.look(there, pods=[first, made("second", began_s + 70)])
    assert world.told()[0] is Reason.PLACED
    assert not relocates(world)
    # The grids change places: it goes back, but not before an hour is over.
    world.room = fleet(2, 4, (600.0, 60.0))
    for _ in range(int(REST_S / LOOK_S) - 5):
        world.look(there)
        assert not relocates(world)
    for _ in range(12):
        world.look(there)
        if relocates(world):
            break
    assert world.found[KEY].tiers == BEFORE


def test_when_nothing_new_becomes_ready_it_goes_back_and_is_left_alone_for_a_day() -> None:
    world = gone()
    began_s = world.now_s
    stuck = [made("old", began_s - 900), made("new", began_s + 5, ready=False)]
    world.look(MOVED, pods=stuck, able=False)
    assert world.told()[0] is Reason.MOVING
    world.look(MOVED, pods=stuck, after_s=STALL_S, able=False)
    assert world.told() == (
        Reason.MOVING_BACK,
        "moves back to where it was in a100: no further replica became ready there in 15 min",
    )
    assert (relocates(world), world.found[KEY].tiers) == (True, BEFORE)
    both = [made("old", began_s - 900), made("older", began_s - 900)]
    world.look(RUNS, pods=both, able=False)
    world.look(RUNS, pods=both, after_s=STALL_S, able=False)
    for _ in range(12):
        world.look(RUNS, pods=both, after_s=REST_S)
        assert not relocates(world)


def test_a_rollout_that_finds_better_areas_meanwhile_ends_the_move() -> None:
    world = gone()
    world.look(MOVED, pods=[made("old", 0.0)], able=False)
    newer = replace(MOVED, tiers=((NORTH, SOUTH), ((names.LABEL_ZONE, "west"),)))
    world.look(newer, pods=[made("old", 0.0)], able=False)
    world.look(newer, pods=[made("old", 0.0)], able=False)
    assert world.told()[0] is Reason.PLACED
    assert not relocates(world)
