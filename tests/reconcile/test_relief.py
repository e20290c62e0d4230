"""Services whose class has no room for all of them: who moves, when, and where to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime

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
    Part,
    PlacementRequest,
)
from conch.placement import plan
from conch.reconcile.relief import CROWDED_S, Relief
from tests.reconcile.builders import KEY, NOW, nodes_with, pod

MADE_S = datetime.fromisoformat(NOW).timestamp()
LATE_S = MADE_S + CROWDED_S


def kind(name: str) -> AcceleratorKind:
    return AcceleratorKind(name, {"gpu": name}, "nvidia.com/gpu", 24 << 30, (8, 9), False)


def inventory(**free: int) -> Inventory:
    """One node of each class, with so many free units."""
    nodes = tuple(replace(node, site="shop") for node in nodes_with(free))
    return Inventory(nodes, tuple(kind(name) for name in free))


# With a minimum at each site it may not be on several classes, and goes as a whole.
REQUEST = PlacementRequest(
    key=KEY,
    classes=("l4", "t4"),
    count=1,
    min_memory_bytes=0,
    min_compute_capability=None,
    allow_cpu=False,
    node_selector={},
    tolerations=(),
    cpu_milli=0,
    memory_bytes=0,
    unbound=1,
    bound=2,
    current="l4",
    age_rank="1",
    sites=("shop",),
    min_per_site=1,
)
ANYWHERE = replace(REQUEST, sites=(), min_per_site=0)


def replica(name: str, node: str = "", *, ready: bool = True, on: str = "l4") -> views.Pod:
    made = pod(name, ready=ready and bool(node))
    labels = {**made.metadata.labels, names.LABEL_ACCELERATOR: on}
    return msgspec.structs.replace(
        made,
        metadata=msgspec.structs.replace(made.metadata, labels=labels),
        spec=views.PodSpec(node_name=node),
    )


PODS = (replica("a", "n1"), replica("b", "n2"), replica("c"))


def classes(assignments: Mapping[Key, Assignment]) -> dict[str, str]:
    return {key.name: found.kind.name for key, found in assignments.items() if found.kind}


def relieved(
    request: PlacementRequest = REQUEST,
    pods: Iterable[views.Pod] = PODS,
    now_s: float = LATE_S,
    *others: PlacementRequest,
    **free: int,
) -> str:
    """The class of a service after one look."""
    relief = Relief()
    relief.begin()
    relief.note(request, pods, None, now_s)
    requests = {one.key: one for one in (request, *others)}
    return classes(relief.plan(plan, inventory(**free), requests))[KEY.name]


def test_it_moves_where_all_of_it_fits() -> None:
    assert relieved(l4=0, t4=3) == "t4"


def test_it_moves_where_more_of_it_finds_room() -> None:
    assert relieved(l4=0, t4=1) == "t4"


def test_it_stays_where_no_more_of_it_would_find_room() -> None:
    two = replace(REQUEST, unbound=2)
    assert relieved(two, (*PODS, replica("d")), l4=1, t4=1) == "l4"
    assert relieved(two, (*PODS, replica("d")), l4=1, t4=2) == "t4"


def test_on_two_classes_it_rests() -> None:
    """As many serve as are wanted; what waits was to come along, and comes when there is room."""
    arrived = replace(REQUEST, current="t4", bound=1, unbound=2)
    pods = (*PODS[:2], replica("d", "n3", on="t4"), replica("e", on="t4"))
    assert relieved(arrived, pods, l4=1, t4=0) == "t4"
    lost_one = pods[1:]
    assert relieved(arrived, lost_one, l4=1, t4=0) == "l4"


def test_it_stays_when_its_class_has_room() -> None:
    assert relieved(l4=1, t4=3) == "l4"


def test_a_class_that_failed_is_left_although_there_seems_to_be_room() -> None:
    failed = replace(REQUEST, avoid={"l4": "replicas stayed Pending there"})
    assert relieved(failed, l4=1, t4=3) == "t4"


@pytest.mark.parametrize(
    ("request_", "pods", "now_s"),
    [
        pytest.param(REQUEST, PODS, LATE_S - 1, id="not yet"),
        pytest.param(replace(REQUEST, classes=("l4",)), PODS, LATE_S, id="no other class allowed"),
        pytest.param(
            REQUEST,
            (replica("a", "n1"), replica("b", "n2", ready=False), replica("c")),
            LATE_S,
            id="one is still starting",
        ),
        pytest.param(
            REQUEST,
            (replica("a", "n1"), replica("c", on="t4")),
            LATE_S,
            id="what waits is of another class",
        ),
    ],
)
def test_it_stays(request_: PlacementRequest, pods: tuple[views.Pod, ...], now_s: float) -> None:
    assert relieved(request_, pods, now_s, l4=0, t4=3) == "l4"


def test_it_says_when_to_look_again() -> None:
    relief = Relief()
    relief.begin()
    relief.note(REQUEST, PODS, None, MADE_S)
    assert relief.next_s() == LATE_S
    relief.begin()
    assert relief.next_s() is None


def test_on_its_way_it_is_not_called_back() -> None:
    """Until the Deployment names the new class, its pods and their room are those of the old."""
    relief, world = Relief(), inventory(l4=0, t4=3)
    for pods in (PODS, (replica("a", "n1"), replica("b", "n2", ready=False))):
        relief.begin()
        relief.note(REQUEST, pods, None, LATE_S)
        assert classes(relief.plan(plan, world, {KEY: REQUEST})) == {KEY.name: "t4"}
    # Arrived: one replica has started there, the old ones still run.
    arrived = replace(REQUEST, current="t4", bound=1, unbound=2)
    relief.begin()
    relief.note(arrived, (*PODS, replica("d", "n3", on="t4")), None, LATE_S + 60)
    assert classes(relief.plan(plan, world, {KEY: arrived})) == {KEY.name: "t4"}


def test_it_turns_back_when_the_room_is_gone_before_it_has_left() -> None:
    relief = Relief()
    for free, there in ((3, "t4"), (0, "l4")):
        relief.begin()
        relief.note(REQUEST, PODS, None, LATE_S)
        assert classes(relief.plan(plan, inventory(l4=0, t4=free), {KEY: REQUEST})) == {
            KEY.name: there
        }


@pytest.mark.parametrize(("free", "there"), [(0, "l4"), (1, "t4")])
def test_it_goes_back_where_it_runs_when_it_finds_nothing(free: int, there: str) -> None:
    """Its Deployment names the new class, and somebody else was faster."""
    arrived = replace(REQUEST, current="t4", bound=0, unbound=3)
    assert relieved(arrived, (*PODS[:2], replica("d", on="t4")), l4=0, t4=free) == there


def test_two_do_not_move_into_the_same_room() -> None:
    relief = Relief()
    second = replace(REQUEST, key=Key("team", "second"), age_rank="2")
    relief.begin()
    for request in (REQUEST, second):
        relief.note(request, PODS, None, LATE_S)
    both = {one.key: one for one in (REQUEST, second)}
    found = classes(relief.plan(plan, inventory(l4=0, t4=1), both))
    assert sorted(found.values()) == ["l4", "t4"]


# --- on several classes ---------------------------------------------------------------------------


STAYS = Assignment(kind("l4"), Reason.PLACED, "")


def spill(
    request: PlacementRequest = ANYWHERE,
    pods: Iterable[views.Pod] = PODS,
    now_s: float = LATE_S,
    before: Assignment | None = STAYS,
) -> int | None:
    relief = Relief()
    relief.begin()
    return relief.note(request, pods, before, now_s).spill


def planned(*parts: Part) -> Assignment:
    return Assignment(kind("l4"), Reason.PLACED, "", parts=parts)


def test_what_waits_goes_to_another_class_and_what_runs_stays() -> None:
    relief = Relief()
    relief.begin()
    request = relief.note(ANYWHERE, PODS, STAYS, LATE_S)
    found = relief.plan(plan, inventory(l4=0, t4=3), {KEY: request})[KEY]
    assert [(part.kind.name, part.replicas) for part in found.parts] == [("l4", 2), ("t4", 1)]
    assert found.kind == kind("l4")


def test_it_waits_a_moment_for_its_own_class_first() -> None:
    relief = Relief()
    relief.begin()
    assert relief.note(ANYWHERE, PODS, STAYS, LATE_S - 1).spill == 0
    assert relief.next_s() == LATE_S


def test_before_anything_is_made_nobody_has_to_wait() -> None:
    assert spill(pods=()) is None
    assert spill(before=None) is None


def test_what_a_rollout_makes_is_not_in_want_of_room() -> None:
    three = (replica("a", "n1"), replica("b", "n2"), replica("x", "n3"), replica("c"))
    assert spill(replace(ANYWHERE, bound=2, unbound=1), three) == 0


def test_what_was_promised_elsewhere_and_is_not_there_yet_is_not_taken_back() -> None:
    before = planned(Part(kind("l4"), 2, main=True), Part(kind("t4"), 3))
    on_its_way = replace(ANYWHERE, bound=2, unbound=2, parts={"t4": 1})
    assert spill(on_its_way, PODS[:2], before=before) == 2


def test_a_service_that_may_be_on_several_moves_as_a_whole_only_for_more_room() -> None:
    assert relieved(ANYWHERE, l4=0, t4=3) == "l4"
    assert relieved(replace(ANYWHERE, min_on_demand=3, on_demand_bound=2), l4=0, t4=3) == "t4"


def test_what_waits_on_a_class_that_was_left_goes_elsewhere_as_well() -> None:
    """A rollout's old revision may have lost its nodes: those of the new one are not all."""
    pods = (replica("new", "n1", on="t4"), replica("a"), replica("b"))
    request = replace(ANYWHERE, classes=("l4", "t4", "a10"), current="t4", bound=1, unbound=2)
    assert spill(request, pods) == 2


def test_what_waits_on_a_further_class_is_promised_already() -> None:
    waits = replica("b", on="t4")
    waits.metadata.labels[names.LABEL_PART] = names.part_on("t4")
    assert spill(ANYWHERE, (*PODS[:2], waits)) == 0


def test_room_for_a_few_elsewhere_moves_nobody_who_may_be_on_several() -> None:
    """Of three, one waits, and may not be on t4 beside the others: t4 has to have room for all."""
    firm = replace(ANYWHERE, min_on_demand=3, on_demand_bound=2)
    assert relieved(firm, l4=0, t4=2) == "l4"
    assert relieved(firm, l4=0, t4=3) == "t4"
