"""Moves for a gain: who moves, when, how it is told, and what happens when it does not work."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

import msgspec
import pytest

from conch.api import names
from conch.api.conditions import Reason
from conch.kube import views
from conch.observe.types import (
    AcceleratorKind,
    Assignment,
    Inventory,
    Key,
    PlacementRequest,
)
from conch.placement import Planner
from conch.reconcile.moves import FORGET_S, LOOK_S, REST_S, STEADY_S, Moves
from conch.reconcile.moves_journey import SETTLE_S, STALL_S
from tests.reconcile.builders import KEY, nodes_with, pod

PRICES = {"l4": 0.8, "t4": 0.4, "a100": 3.6}
REQUEST = PlacementRequest(
    key=KEY,
    classes=(),
    count=1,
    min_memory_bytes=0,
    min_compute_capability=None,
    allow_cpu=False,
    node_selector={},
    tolerations=(),
    cpu_milli=0,
    memory_bytes=0,
    unbound=0,
    bound=2,
    current="a100",
    age_rank="1",
)


def inventory(**free: int) -> Inventory:
    """One node of each class, with so many free units."""
    nodes = nodes_with(free)
    kinds = [
        AcceleratorKind(
            name, {"gpu": name}, "nvidia.com/gpu", 24 << 30, (8, 9), False, PRICES[name]
        )
        for name in free
    ]
    return Inventory(nodes, tuple(kinds))


def replica(name: str, on: str, *, ready: bool = True) -> views.Pod:
    made = pod(name, ready=ready)
    labels = {**made.metadata.labels, names.LABEL_ACCELERATOR: on}
    return msgspec.structs.replace(
        made, metadata=msgspec.structs.replace(made.metadata, labels=labels)
    )


def pods(on: str, count: int = 2, *, ready: bool = True) -> list[views.Pod]:
    return [replica(f"{on}-{number}", on, ready=ready) for number in range(count)]


class World:
    """One service and a loop of looks at it, a minute apart unless told otherwise."""

    def __init__(self, per_h: int = 6, room: Inventory | None = None) -> None:
        self.moves = Moves(per_h)
        self.planner = Planner()
        self.room = room or inventory(a100=4, l4=4)
        self.now_s = 1_000_000.0
        self.shunned: frozenset[str] = frozenset()
        self.found: Mapping[Key, Assignment] = {}

    def look(
        self,
        *requests: PlacementRequest,
        after_s: float = LOOK_S,
        able: bool = True,
        pods: Iterable[views.Pod] = (),
    ) -> str:
        """The class of the first one."""
        self.now_s += after_s
        requests = requests or (REQUEST,)
        self.moves.begin({r.key: f"uid-{r.key}" for r in requests}, self.now_s)
        noted = {r.key: self.moves.note(r, list(pods), able, self.shunned) for r in requests}
        found = self.planner.plan(self.room, noted.values())
        self.found = self.moves.plan(self.planner.plan, self.room, noted, found)
        return self.class_of(requests[0])

    def class_of(self, request: PlacementRequest = REQUEST) -> str:
        kind = self.found[request.key].kind
        return kind.name if kind is not None else ""

    def until_it_moves(self, *requests: PlacementRequest) -> int:
        """How many looks it takes; the last one moves it."""
        for looks in range(1, 20):
            if self.look(*requests) != (requests or (REQUEST,))[0].current:
                return looks
        raise AssertionError("it never moved")

    def told(self) -> tuple[Reason, str]:
        return self.found[KEY].reason, self.found[KEY].message


def test_it_moves_to_what_costs_less_once_that_has_lasted() -> None:
    world = World()
    assert world.until_it_moves() == STEADY_S // LOOK_S + 1
    assert world.class_of() == "l4"
    assert world.told() == (Reason.MOVING, "moves from a100 to l4: $5.6/h less")


def test_the_class_it_prefers_is_worth_a_move_whatever_it_costs() -> None:
    choosy = replace(REQUEST, classes=("a100", "l4"), current="l4")
    world = World()
    world.until_it_moves(choosy)
    assert world.told() == (Reason.MOVING, "moves from l4 to a100: it prefers a100")


@pytest.mark.parametrize(
    ("per_h", "able", "request_"),
    [
        pytest.param(0, True, REQUEST, id="no budget"),
        pytest.param(6, False, REQUEST, id="it is not well"),
        pytest.param(6, True, replace(REQUEST, classes=("a100", "l4")), id="it is where it wants"),
        pytest.param(6, True, replace(REQUEST, bound=5), id="not all of it has room there"),
    ],
)
def test_it_stays(per_h: int, able: bool, request_: PlacementRequest) -> None:
    world = World(per_h)
    for _ in range(12):
        assert world.look(request_, able=able) == "a100"


def test_a_class_that_is_shunned_is_not_moved_to() -> None:
    world = World(room=inventory(a100=4, l4=4, t4=4))
    world.shunned = frozenset({"t4"})
    world.until_it_moves()
    assert world.class_of() == "l4"


def test_room_that_comes_and_goes_moves_nobody() -> None:
    """Also when it is there at every look: it was seen to go in between."""
    world, gone = World(), inventory(a100=4, l4=1)
    there = world.room
    for _ in range(12):
        world.room = there
        assert world.look(after_s=LOOK_S / 2) == "a100"
        world.room = gone
        assert world.look(after_s=LOOK_S / 2) == "a100"


def test_trouble_begins_the_wait_anew() -> None:
    world = World()
    for _ in range(4):
        world.look()
    world.look(able=False)
    assert world.until_it_moves() == STEADY_S // LOOK_S + 1


def test_the_same_world_looked_at_again_stays_as_it_is() -> None:
    world = World()
    cheap = replace(REQUEST, current="l4")
    for _ in range(12):
        assert world.look(cheap) == "l4"
        assert world.told()[0] is Reason.PLACED


def test_the_budget_is_the_clusters() -> None:
    other = replace(REQUEST, key=Key("team", "other"), age_rank="2")
    world = World(per_h=1)
    world.until_it_moves(REQUEST, other)
    world.look(REQUEST, other)
    assert world.class_of(other) == "a100"
    moved = replace(REQUEST, current="l4")
    for _ in range(int(REST_S / LOOK_S) - 2):
        world.look(moved, other, pods=pods("l4"))
        assert world.class_of(other) == "a100"
    world.look(moved, other, pods=pods("l4"))
    assert world.class_of(other) == "l4"


def test_one_that_must_go_elsewhere_neither_hinders_others_nor_is_called_back() -> None:
    """Its class is not among those it allows any more; perhaps it is paused, and stays for long."""
    sent = replace(REQUEST, key=Key("team", "sent"), age_rank="2", classes=("t4",))
    lost = replace(REQUEST, key=Key("team", "lost"), age_rank="3", classes=("h100",))
    world = World(room=inventory(a100=4, l4=4, t4=2))
    for _ in range(6):
        world.look(REQUEST, sent, lost)
        assert (world.class_of(sent), world.class_of(lost)) == ("t4", "")
    assert world.class_of() == "l4"


# --- on the way -----------------------------------------------------------------------------------


def on_its_way() -> World:
    world = World()
    world.until_it_moves()
    return world


def test_until_its_deployment_names_the_class_it_is_not_called_back() -> None:
    world = on_its_way()
    assert world.look(after_s=1, able=False) == "l4"
    assert world.told()[0] is Reason.MOVING


def test_a_move_that_finds_no_room_before_it_began_is_off() -> None:
    world = on_its_way()
    world.room = inventory(a100=4, l4=0)
    assert world.look(after_s=1) == "a100"
    assert world.told()[0] is Reason.PLACED


def test_it_arrives_and_rests() -> None:
    world = on_its_way()
    half = replace(REQUEST, current="l4", bound=1, unbound=1)
    assert world.look(half, pods=[*pods("l4", 1), *pods("a100", 1)], able=False) == "l4"
    assert world.told()[0] is Reason.MOVING
    arrived = replace(REQUEST, current="l4")
    world.look(arrived, pods=pods("l4"))
    assert world.told()[0] is Reason.PLACED
    world.room = inventory(a100=4, l4=4, t4=4)
    for _ in range(int(REST_S / LOOK_S) - 4):
        assert world.look(arrived, pods=pods("l4")) == "l4"
    assert world.until_it_moves(arrived) < 12
    assert world.class_of() == "t4"


SLOWER = replace(REQUEST, capacity_rps={"a100": 10.0, "l4": 5.0}, demand_rps=20.0)


def test_as_many_as_a_slower_class_needs_are_held_until_the_scaler_knows_it() -> None:
    world = World()
    world.until_it_moves(SLOWER)
    assert world.class_of() == "l4"
    assert world.found[KEY].least == 4
    arrived = replace(REQUEST, current="l4", bound=4)
    world.look(arrived, pods=pods("l4", 4))
    assert (world.found[KEY].reason, world.found[KEY].least) == (Reason.PLACED, 4)
    world.look(arrived, pods=pods("l4", 4), after_s=SETTLE_S)
    assert world.found[KEY].least == 0


def test_room_for_all_that_a_slower_class_needs_is_asked_for() -> None:
    world = World(room=inventory(a100=4, l4=3))
    for _ in range(12):
        assert world.look(SLOWER) == "a100"


def test_a_move_on_which_nothing_becomes_ready_is_taken_back_and_not_tried_again() -> None:
    world = on_its_way()
    stuck = replace(REQUEST, current="l4", bound=1, unbound=1)
    both = [*pods("l4", 1, ready=False), *pods("a100")]
    assert world.look(stuck, pods=both, able=False) == "l4"
    assert world.look(stuck, pods=both, after_s=STALL_S, able=False) == "a100"
    reason, message = world.told()
    assert reason is Reason.MOVING_BACK
    assert message == (
        "moves back from l4 to a100: no further replica became ready there in 15 min"
    )
    assert world.look(pods=pods("a100")) == "a100"
    assert world.told()[0] is Reason.PLACED
    for _ in range(12):
        assert world.look(after_s=REST_S, pods=pods("a100")) == "a100"
    world.now_s += FORGET_S
    assert world.until_it_moves() > 1


def test_what_becomes_ready_one_by_one_is_no_failure() -> None:
    world = on_its_way()
    going = replace(REQUEST, current="l4", bound=1, unbound=1)
    for ready in (0, 1):
        both = [*pods("l4", ready), *pods("a100", 2 - ready)]
        assert world.look(going, pods=both, after_s=STALL_S - LOOK_S, able=False) == "l4"
    assert world.told()[0] is Reason.MOVING


def test_one_that_others_sent_back_is_not_moved_there_again() -> None:
    world = on_its_way()
    world.look(replace(REQUEST, current="l4"), pods=pods("a100"), able=False)
    world.look(pods=pods("a100"), able=False)  # its Deployment names the old class again
    for _ in range(12):
        assert world.look(after_s=REST_S / 4, pods=pods("a100")) == "a100"


def test_one_that_others_send_elsewhere_on_its_way_back_is_let_go() -> None:
    world = on_its_way()
    stuck = replace(REQUEST, current="l4", bound=1, unbound=1)
    both = [*pods("l4", 1, ready=False), *pods("a100")]
    world.look(stuck, pods=both, able=False)
    world.look(stuck, pods=both, after_s=STALL_S, able=False)
    half = replace(REQUEST, bound=1, unbound=1)
    world.look(half, pods=both, able=False)
    assert world.told()[0] is Reason.MOVING_BACK
    elsewhere = replace(REQUEST, current="l4", bound=1, unbound=1)
    assert world.look(elsewhere, pods=both, able=False) == "l4"
    assert world.told()[0] is Reason.PLACED


def test_a_namesake_begins_anew() -> None:
    world = on_its_way()
    world.moves.begin({KEY: "another"}, world.now_s)
    assert world.moves.note(REQUEST, [], able=False) == replace(REQUEST, movable=False)


# --- other goals ----------------------------------------------------------------------------------


def test_a_cleaner_grid_moves_who_asked_for_little_carbon() -> None:
    kinds = [replace(kind, max_watts=300.0) for kind in inventory(a100=4, l4=4).kinds]
    green = replace(REQUEST, optimise="Carbon")
    world = World(room=replace(inventory(a100=4, l4=4), kinds=tuple(kinds)))
    dirty = replace(world.room, carbon={"a100": 300.0, "l4": 290.0})
    world.room = dirty
    for _ in range(12):
        assert world.look(green) == "a100", "three per cent are not worth it"
    world.room = replace(dirty, carbon={"a100": 300.0, "l4": 50.0})
    world.until_it_moves(green)
    assert world.told()[1] == "moves from a100 to l4: 150 g CO2e/h less"


def test_it_looks_again_as_long_as_somebody_runs() -> None:
    world = World()
    world.look(replace(REQUEST, bound=0, unbound=2), able=False)
    assert world.moves.next_s() is None
    world.look(able=False)
    assert world.moves.next_s() == world.now_s + STEADY_S, "nobody tells when it is well again"
    world.look()
    assert world.moves.next_s() == world.now_s + LOOK_S
    world.look(replace(REQUEST, current="l4"))
    assert world.moves.next_s() == world.now_s + STEADY_S
    without = World(per_h=0)
    without.look()
    assert without.moves.next_s() is None


# --- from several classes to one ------------------------------------------------------------------

APART = replace(REQUEST, classes=("a100", "l4"), bound=3, parts={"l4": 3})


def apart(*more: views.Pod) -> list[views.Pod]:
    return [*pods("a100", 3), *pods("l4", 3), *more]


def gathering() -> World:
    """A service on two classes that has just begun to go to its own."""
    world = World(room=inventory(a100=3, l4=0))
    for _ in range(6):
        world.look(APART, pods=apart())
    assert world.told()[0] is Reason.MOVING
    return world


def test_it_comes_back_to_its_class_once_there_was_room_for_a_while() -> None:
    world = World(room=inventory(a100=3, l4=0))
    looks = 0
    while world.look(APART, pods=apart()) and world.found[KEY].parts:
        looks += 1
        assert looks < 20
    assert looks == STEADY_S // LOOK_S
    assert world.told() == (
        Reason.MOVING,
        "moves from l4 to a100: all of it has room there",
    )


def test_without_room_or_budget_it_stays_on_both() -> None:
    for world in (World(room=inventory(a100=2, l4=0)), World(0, inventory(a100=3, l4=0))):
        for _ in range(12):
            world.look(APART, pods=apart())
            assert world.found[KEY].parts


def test_while_it_comes_back_nothing_more_goes_elsewhere_and_then_it_is_over() -> None:
    world = gathering()
    on_its_way = replace(APART, bound=3, unbound=0)
    world.look(on_its_way, pods=apart())
    assert world.found[KEY].parts == ()
    started = replace(APART, bound=6, unbound=0, surplus=3)
    world.room = inventory(a100=0, l4=0)
    world.look(started, pods=apart(*(replica(f"new-{n}", "a100") for n in range(3))))
    assert world.found[KEY].parts == ()
    assert world.told()[0] is Reason.MOVING
    done = replace(APART, bound=6, parts={})
    world.look(done, pods=[*pods("a100", 6)])
    world.look(done, pods=[*pods("a100", 6)])
    assert world.told()[0] is Reason.PLACED


def test_when_the_room_goes_it_stays_on_both() -> None:
    world = gathering()
    world.room = inventory(a100=2, l4=0)
    world.look(APART, pods=apart())
    world.look(APART, pods=apart())
    assert world.found[KEY].parts


def test_when_what_comes_never_serves_that_is_not_tried_again_for_a_day() -> None:
    world = gathering()
    for after_s in (LOOK_S, STALL_S, LOOK_S):
        world.look(APART, pods=apart(), after_s=after_s)
    assert world.found[KEY].parts
    for _ in range(12):
        world.look(APART, pods=apart(), after_s=REST_S)
        assert world.found[KEY].parts


def test_it_goes_to_a_third_class_from_both() -> None:
    world = World(room=inventory(a100=0, l4=0, t4=6))
    anywhere = replace(APART, classes=())
    for _ in range(6):
        world.look(anywhere, pods=apart())
    assert world.class_of() == "t4"
    assert world.told()[1].startswith("moves from a100 and l4 to t4: all of it has room there, $")


def test_when_more_is_wanted_on_the_way_than_there_is_room_for_it_stays_on_several() -> None:
    world = World(room=inventory(a100=0, l4=0, t4=6))
    anywhere = replace(APART, classes=())
    for _ in range(6):
        world.look(anywhere, pods=apart())
    departed = replace(anywhere, current="t4", bound=0, unbound=3)
    world.look(departed, pods=apart())
    assert world.told()[0] is Reason.MOVING
    world.room = inventory(a100=0, l4=0, t4=5)
    for _ in range(2):
        world.look(
            replace(departed, bound=1, unbound=5), pods=apart(replica("new", "t4")), after_s=1
        )
    found = world.found[KEY]
    assert [(part.kind.name, part.replicas) for part in found.parts] == [("t4", 6), ("l4", 3)]
