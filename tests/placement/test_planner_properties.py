"""What holds for every plan, whatever the world."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conch.api import names
from conch.api.conditions import Reason
from conch.observe.types import (
    AcceleratorKind,
    Assignment,
    Inventory,
    Key,
    NodeCapacity,
    PlacementRequest,
    Provisioning,
)
from conch.placement.ledger import Ledger
from conch.placement.planner import plan, plan_on
from conch.placement.provision import Provisions
from tests.placement.worlds import A100, GI, GPU, L4, T4, node, service

KINDS = tuple(replace(kind, max_watts=w) for kind, w in ((A100, 300.0), (L4, 72.0), (T4, 70.0)))
CLASSES = st.lists(st.sampled_from(["l4", "t4", "a100", "h100"]), max_size=3, unique=True)
ZONES = st.sampled_from([{}, {names.LABEL_ZONE: "a"}, {names.LABEL_ZONE: "b"}])
AREAS = ((names.LABEL_ZONE, "a"), (names.LABEL_ZONE, "b"))
TIERS = st.sampled_from([None, (), ((AREAS[0],), (AREAS[1],)), ((AREAS[1],), (AREAS[0],))])


@st.composite
def nodes(draw: st.DrawFn, name: str) -> NodeCapacity:
    units = draw(st.integers(0, 4))
    return node(
        name,
        draw(st.sampled_from(["l4", "t4", "a100"])),
        units,
        draw(st.integers(0, units)),
        cpu=draw(st.integers(0, 6)) * 1000,
        memory=draw(st.integers(0, 6)) * 4 * GI,
        labels=draw(ZONES),
        ready=draw(st.sampled_from([True, True, True, False])),
    )


@st.composite
def inventories(draw: st.DrawFn, *, added: bool = True) -> Inventory:
    """``added``: a node autoscaler may add nodes to some of the classes."""
    count = draw(st.integers(0, 6))
    made = tuple(draw(nodes(f"n{i}")) for i in range(count))
    grams = dict(zip(AREAS, draw(st.sampled_from([(60.0, 600.0), (300.0, 310.0)])), strict=True))
    carbon = {kind.name: 330.0 for kind in KINDS}
    return Inventory(
        made,
        draw(kinds()) if added else KINDS,
        carbon,
        dict.fromkeys(carbon, grams) if draw(st.booleans()) else {},
    )


@st.composite
def kinds(draw: st.DrawFn) -> tuple[AcceleratorKind, ...]:
    how = st.builds(Provisioning, st.integers(1, 3), st.integers(1, 4), st.just(600.0))
    adds = st.one_of(st.none(), st.none(), how)
    return tuple(replace(kind, provisioning=draw(adds)) for kind in KINDS)


@st.composite
def services(draw: st.DrawFn, name: str, *, one_shape: bool = False) -> PlacementRequest:
    return service(
        name,
        *draw(CLASSES),
        min_memory_bytes=draw(st.sampled_from([0, 16 * GI, 200 * GI])),
        node_selector=draw(ZONES),
        unbound=draw(st.integers(0, 3)),
        count=1 if one_shape else draw(st.integers(0, 3)),
        cpu_milli=1000 if one_shape else draw(st.integers(0, 3)) * 1000,
        memory_bytes=4 * GI if one_shape else draw(st.integers(0, 3)) * 4 * GI,
        allow_cpu=False if one_shape else draw(st.booleans()),
        age_rank=draw(st.sampled_from("123")),
        optimise=draw(st.sampled_from(["Cost", "Carbon"])),
    )


@st.composite
def demands(draw: st.DrawFn, *, one_shape: bool = False) -> list[PlacementRequest]:
    count = draw(st.integers(0, 6))
    return [draw(services(f"s{i}", one_shape=one_shape)) for i in range(count)]


@st.composite
def running(draw: st.DrawFn) -> list[PlacementRequest]:
    """Services of which some are on a class already, some with pods bound there."""
    return [
        replace(
            request,
            current=draw(st.sampled_from(["", "l4", "t4", "gone"])),
            bound=draw(st.integers(0, 2)),
            tiers=draw(TIERS),
        )
        for request in draw(demands())
    ]


def applied(
    requests: list[PlacementRequest], plans: Mapping[Key, Assignment]
) -> list[PlacementRequest]:
    """The requests once every Deployment asks for what was assigned."""
    return [
        replace(r, current=kind.name, tiers=plans[r.key].tiers)
        if (kind := plans[r.key].kind)
        else r
        for r in requests
    ]


def kinds_of(plans: Mapping[Key, Assignment]) -> dict[Key, str]:
    return {key: plan.kind.name for key, plan in plans.items() if plan.kind}


@pytest.mark.slow
@given(inventories(), running())
def test_no_node_is_overcommitted(inventory: Inventory, requests: list[PlacementRequest]) -> None:
    inventory = Provisions().lay_on(inventory)
    ledger = Ledger(inventory)
    plan_on(ledger, inventory.kinds, requests)
    for one in inventory.nodes:
        for resource in ("cpu", "memory", "pods", GPU):
            assert 0 <= ledger.reserved(one.name, resource) <= one.free(resource)


@pytest.mark.slow
@given(inventories(), running())
def test_every_request_is_answered_and_only_placed_ones_have_a_class(
    inventory: Inventory, requests: list[PlacementRequest]
) -> None:
    plans = plan(inventory, requests)
    assert plans.keys() == {r.key for r in requests}
    for assignment in plans.values():
        there = assignment.reason in (Reason.PLACED, Reason.WAITING_FOR_NODE)
        assert (assignment.kind is not None) == there
        assert assignment.room >= assignment.room_to_come >= 0
        assert 0 < len(assignment.message) <= 900


@pytest.mark.slow
@given(inventories(), running(), st.randoms(use_true_random=False))
def test_order_of_the_input_does_not_matter(
    inventory: Inventory, requests: list[PlacementRequest], random: st.DataObject
) -> None:
    shuffled = [list(part) for part in (inventory.nodes, inventory.kinds, requests)]
    for part in shuffled:
        random.shuffle(part)  # type: ignore[attr-defined]
    other = replace(inventory, nodes=tuple(shuffled[0]), kinds=tuple(shuffled[1]))  # type: ignore[arg-type]
    assert plan(other, shuffled[2]) == plan(inventory, requests)  # type: ignore[arg-type]


@pytest.mark.slow
@given(inventories(), demands())
def test_planning_again_on_the_same_world_moves_nothing(
    inventory: Inventory, requests: list[PlacementRequest]
) -> None:
    first = plan(inventory, requests)
    again = plan(inventory, applied(requests, first))
    assert kinds_of(again) == kinds_of(first)
    assert {k: p.room for k, p in again.items()} == {k: p.room for k, p in first.items()}


@pytest.mark.slow
@given(inventories(added=False), demands(one_shape=True), nodes("added"))
def test_a_new_node_unplaces_nobody(
    inventory: Inventory, requests: list[PlacementRequest], added: NodeCapacity
) -> None:
    before = plan(inventory, requests)
    grown = replace(inventory, nodes=(*inventory.nodes, added))
    after = kinds_of(plan(grown, applied(requests, before)))
    # Nor does anybody move: whoever had room still has it.
    assert {key: after.get(key) for key in kinds_of(before)} == kinds_of(before)


@pytest.mark.slow
@given(inventories(added=False), demands(), nodes("zzz"))
def test_a_new_node_that_is_tried_last_unplaces_nobody_of_any_shape(
    inventory: Inventory, requests: list[PlacementRequest], added: NodeCapacity
) -> None:
    before = plan(inventory, requests)
    largest = replace(added, allocatable={**added.allocatable, GPU: 4}, requested={})
    grown = replace(inventory, nodes=(*inventory.nodes, largest))
    after = kinds_of(plan(grown, applied(requests, before)))
    assert {key: after.get(key) for key in kinds_of(before)} == kinds_of(before)


@pytest.mark.slow
@given(inventories(), running())
def test_a_refusal_is_true(inventory: Inventory, requests: list[PlacementRequest]) -> None:
    """No node has what an unplaced service needs, checked without the planner's own predicates."""
    ledger = Ledger(inventory)
    plans = plan_on(ledger, inventory.kinds, requests)
    for request in requests:
        if plans[request.key].kind is None:
            assert not [n.name for n in inventory.nodes if _takes(n, request, ledger)]


def _takes(one: NodeCapacity, request: PlacementRequest, ledger: Ledger) -> bool:
    left = {r: one.free(r) - ledger.reserved(one.name, r) for r in one.allocatable}
    host = (
        one.ready
        and set(request.node_selector.items()) <= set(one.labels.items())
        and left["cpu"] >= request.cpu_milli
        and left["memory"] >= request.memory_bytes
        and left["pods"] >= 1
    )
    if not request.count or (request.allow_cpu and host):
        return host
    kind = next(k for k in KINDS if k.node_selector.items() <= one.labels.items())
    return (
        host
        and (not request.classes or kind.name in request.classes)
        and kind.memory_bytes >= request.min_memory_bytes
        and left[GPU] >= request.count
    )
