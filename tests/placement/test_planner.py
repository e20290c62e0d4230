"""The planner on small worlds: what is chosen, what is refused, and what the sentence says."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from conch.api.conditions import Reason
from conch.observe.types import (
    CPU_CLASS,
    Assignment,
    Inventory,
    Key,
    NodeCapacity,
    PlacementRequest,
    Taint,
    Toleration,
)
from conch.placement import plan
from conch.placement.fit import Fit
from tests.placement.worlds import A100, GI, GPU, L4, T4, kind, node, service, world


def only(inventory: Inventory, request: PlacementRequest) -> Assignment:
    return plan(inventory, [request])[request.key]


BOTH = world(node("n1", "l4"), node("n2", "t4"))


@pytest.mark.parametrize(
    ("request_", "chosen"),
    [
        (service("a", "l4", "t4"), L4),
        (service("a", "t4", "l4"), T4),
        (service("a"), T4),  # no preference: least memory first
        (service("a", min_memory_bytes=16 * GI), L4),
        (service("a", min_compute_capability=(8, 0)), L4),
        (service("a", "t4", "l4", min_compute_capability=(8, 9)), L4),
        (service("a", "h100", "l4"), L4),  # an unknown name is passed over
        (service("a", "l4", allow_cpu=True), L4),  # the CPU only when nothing else has room
        (service("a", count=0, allow_cpu=True), CPU_CLASS),
        (service("a", "l4", "t4", current="t4"), T4),  # no churn for a better class
        (service("a", "l4", current="t4"), L4),  # no longer among the classes asked for
        (service("a", current="gone"), T4),  # its class has left the cluster
        (service("a", unbound=0), T4),  # nothing wanted yet: a class all the same
    ],
)
def test_class_chosen(request_: PlacementRequest, chosen: object) -> None:
    assignment = only(BOTH, request_)
    assert (assignment.kind, assignment.reason) == (chosen, Reason.PLACED)


def test_unknown_memory_is_last_and_satisfies_no_minimum() -> None:
    inventory = world(node("n1", "l4"), node("n2", "gpu"), kinds=(L4, kind("gpu", 0, None)))
    assert only(inventory, service()).kind == L4
    refused = only(inventory, service("a", "gpu", min_memory_bytes=GI))
    assert refused.reason is Reason.NOTHING_FITS
    assert "its memory is unknown" in refused.message


def test_full_class_is_passed_over() -> None:
    inventory = world(node("n1", "l4", 4, used=4), node("n2", "t4"))
    assignment = only(inventory, service("a", "l4", "t4"))
    assert assignment.kind == T4
    assert [(v.class_name, v.reason) for v in assignment.verdicts] == [
        ("l4", Fit.FULL),
        ("t4", Fit.CHOSEN),
    ]


def test_no_capacity_has_the_numbers_most_hopeful_first() -> None:
    nodes = [node(f"n{i}", "t4", 4, used=4) for i in range(3)]
    assignment = only(
        world(node("m", "l4"), *nodes),
        service("a", "l4", "t4", min_memory_bytes=15 * GI, cpu_milli=64_000),
    )
    assert assignment.kind is None
    # Both are too large for any node: no waiting helps.
    assert assignment.reason is Reason.NOTHING_FITS

    assignment = only(
        world(node("m", "a100"), *nodes, kinds=(kind("a100", 10), T4)),
        service("a", "a100", "t4", min_memory_bytes=12 * GI),
    )
    assert assignment.reason is Reason.NO_CAPACITY
    assert assignment.message == "t4: 3 nodes, 0 of 12 GPUs free; a100: needs 12Gi, has 10Gi"


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (service("a", "t4", min_memory_bytes=24 * GI), "t4: needs 24Gi, has 15Gi"),
        (
            service("a", "t4", min_compute_capability=(8, 0)),
            "t4: needs compute capability 8.0, has 7.5",
        ),
        (service("a", "l4", count=8), "l4: needs 8 on one node, the largest has 4"),
        (
            service("a", "l4", memory_bytes=2000 * GI),
            "l4: a replica needs 2.0Ti of host memory, the largest node offers 128Gi",
        ),
        (
            service("a", "l4", cpu_milli=64_000),
            "l4: a replica needs 64 CPU, the largest node offers 32 CPU",
        ),
    ],
)
def test_nothing_fits_says_by_how_much(request_: PlacementRequest, message: str) -> None:
    assignment = only(BOTH, request_)
    assert (assignment.kind, assignment.reason) == (None, Reason.NOTHING_FITS)
    assert assignment.message == message


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (1024**2, "l4: needs 23041Mi, has 23040Mi"),
        (1, "l4: needs 24159191041 bytes, has 24159191040 bytes"),
    ],
)
def test_amounts_that_differ_look_different(more: int, message: str) -> None:
    inventory = world(node("n"), kinds=(L4,))
    request = service("a", "l4", min_memory_bytes=L4.memory_bytes + more)
    assert only(inventory, request).message == message


@pytest.mark.parametrize(
    ("node_", "request_", "fit", "part"),
    [
        (node("n", ready=False), service("a", "l4"), Fit.NOT_READY, "1 node, 1 not ready"),
        (node("n", unschedulable=True), service("a", "l4"), Fit.NOT_READY, "cordoned"),
        (
            node("n", taints=(Taint("team", "x", "NoSchedule"),)),
            service("a", "l4"),
            Fit.TAINTED,
            "1 tainted (team=x:NoSchedule)",
        ),
        (node("n"), service("a", "l4", node_selector={"zone": "b"}), Fit.NO_NODE, "nodeSelector"),
        (node("n", "t4"), service("a", "l4"), Fit.NO_NODE, "no node has the labels"),
        (node("n", units=4, used=3), service("a", "l4", count=2), Fit.FULL, "no node has 2"),
        (node("n", units=0), service("a", "l4"), Fit.NO_UNITS, "none offers nvidia.com/gpu"),
        (
            node("n", requested={"cpu": 31_500}),
            service("a", "l4"),
            Fit.HOST_FULL,
            "needs 1 CPU and 4Gi on one node, at most 0.5 CPU and 128Gi are free",
        ),
        (
            node("n", requested={"memory": 127 * GI}),
            service("a", "l4"),
            Fit.HOST_FULL,
            "at most 32 CPU and 1Gi are free",
        ),
    ],
)
def test_no_room_says_why(
    node_: NodeCapacity, request_: PlacementRequest, fit: Fit, part: str
) -> None:
    assignment = only(world(node_), request_)
    assert (assignment.kind, assignment.reason) == (None, Reason.NO_CAPACITY)
    assert assignment.verdicts[0].reason == fit
    assert part in assignment.message


@pytest.mark.parametrize(
    ("problem", "says"),
    [
        ("", "l4: 1 node, none has a whole device of DeviceClass gpu.example that the selectors"),
        ("there is no DeviceClass gpu.example", "l4: 1 node, there is no DeviceClass gpu.example"),
    ],
)
def test_claimed_devices_that_cannot_be_counted_say_why(problem: str, says: str) -> None:
    claims = replace(
        L4, resource="conch.dev/claim-l4", device_class="gpu.example", device_problem=problem
    )
    assignment = only(Inventory((node("n"),), (claims,)), service("a", "l4"))
    assert assignment.reason is Reason.NO_CAPACITY
    assert assignment.message.startswith(says)


@pytest.mark.parametrize(
    ("taint", "tolerations", "placed"),
    [
        (Taint(GPU, "present", "NoSchedule"), (), True),  # implied for accelerators
        (Taint("x", "1", "PreferNoSchedule"), (), True),
        (Taint("x", "1", "NoExecute"), (), False),
        (Taint("x", "1", "NoSchedule"), (Toleration("x", "Equal", "1"),), True),
        (Taint("x", "1", "NoSchedule"), (Toleration("x", "Equal", "2"),), False),
        (Taint("x", "1", "NoSchedule"), (Toleration("x", "Exists"),), True),
        (Taint("x", "1", "NoSchedule"), (Toleration("x", "Exists", "", "NoExecute"),), False),
        (Taint("x", "1", "NoExecute"), (Toleration("", "Exists"),), True),
        (Taint("x", "1", "NoExecute"), (Toleration("", "Equal", "1"),), False),
    ],
)
def test_taints(taint: Taint, tolerations: tuple[Toleration, ...], placed: bool) -> None:
    request = service("a", "l4", tolerations=tolerations)
    assert (only(world(node("n", taints=(taint,))), request).kind == L4) is placed


def test_gpu_taint_keeps_the_cpu_class_off() -> None:
    tainted = node("n", taints=(Taint(GPU, "present", "NoSchedule"),))
    request = service("a", count=0, allow_cpu=True)
    assert only(world(tainted), request).kind is None
    assert only(world(tainted, node("m", "", 0)), request).kind == CPU_CLASS


def test_cpu_when_every_accelerator_is_full() -> None:
    inventory = world(node("n", used=4), node("m", "", 0))
    assert only(inventory, service("a", "l4", allow_cpu=True)).kind == CPU_CLASS
    assert only(inventory, service("a", allow_cpu=True)).kind == CPU_CLASS
    assert only(inventory, service("a", "l4")).kind is None


def test_unknown_class_lists_the_known_ones() -> None:
    assignment = only(BOTH, service("a", "l5", "t5"))
    assert assignment.reason is Reason.CLASS_NOT_FOUND
    assert assignment.message == "unknown accelerator class l5, t5; known: a100, l4, t4"


def test_cluster_without_accelerators() -> None:
    assignment = only(Inventory((node("n", "", 0),), ()), service())
    assert (assignment.kind, assignment.reason) == (None, Reason.NO_CAPACITY)
    assert "no node offers an accelerator" in assignment.message


def test_last_unit_goes_to_the_oldest() -> None:
    inventory = world(node("n", units=4, used=3))
    old, young = service("z", "l4", age_rank="1"), service("b", "l4", age_rank="2")
    plans = plan(inventory, [young, old])
    assert plans[old.key].kind == L4
    assert plans[young.key].reason is Reason.NO_CAPACITY
    assert "0 of 4 GPUs free (1 more promised to pods without a node)" in plans[young.key].message


@pytest.mark.parametrize("first", [{"priority": 10}, {"age_rank": "0"}])
def test_the_large_and_important_is_not_left_out_for_two_small_ones(
    first: dict[str, object],
) -> None:
    large = service("z", "l4", count=2, **first)
    small = [service(name, "l4", age_rank="1") for name in "abc"]
    plans = plan(world(node("n", units=3)), [*small, large])
    assert plans[large.key].kind == L4
    assert sum(plans[one.key].kind is not None for one in small) == 1


@pytest.mark.parametrize("names", [("m", "n"), ("n", "m")])
def test_whole_nodes_stay_for_services_that_need_several_units(names: tuple[str, str]) -> None:
    inventory = world(node(names[0], units=4), node(names[1], units=4, used=3))
    plans = plan(inventory, [service("a", "l4"), service("b", "l4", count=4)])
    assert [p.kind for p in plans.values()] == [L4, L4]


def test_second_replica_waits_for_everybodys_first() -> None:
    inventory = world(node("n", units=2))
    old, young = service("a", "l4", unbound=2), service("b", "l4")
    plans = plan(inventory, [old, young])
    assert (plans[old.key].room, plans[young.key].room) == (1, 1)
    assert "no room for 1 more replica: 1 node, 0 of 2 GPUs free" in plans[old.key].message


def test_service_on_a_class_keeps_its_place_before_an_older_newcomer() -> None:
    inventory = world(node("n", units=1))
    newcomer, there = service("a", "l4"), service("b", "l4", current="l4")
    plans = plan(inventory, [newcomer, there])
    assert plans[there.key].kind == L4
    assert plans[newcomer.key].kind is None


def test_bound_pods_keep_a_service_on_a_full_class() -> None:
    inventory = world(node("n", units=4, used=4), node("m", "t4"))
    request = service("a", "l4", "t4", current="l4", bound=2, unbound=1, spill=0)
    assignment = only(inventory, request)
    assert (assignment.kind, assignment.reason, assignment.room) == (L4, Reason.PLACED, 0)
    assert assignment.message == (
        "on l4, 1 GPU per replica; no room for 1 more replica: 1 node, 0 of 4 GPUs free"
    )


def test_pending_service_moves_off_a_full_class() -> None:
    inventory = world(node("n", units=4, used=4), node("m", "t4"))
    assert only(inventory, service("a", "l4", "t4", current="l4")).kind == T4
    assert only(inventory, service("a", "l4", current="l4")).kind is None


def test_bound_pods_keep_a_service_on_a_cordoned_node() -> None:
    inventory = world(node("n", used=1, unschedulable=True), node("m", "t4"))
    request = service("a", "l4", "t4", current="l4", bound=1, unbound=0)
    assert only(inventory, request).kind == L4


def test_move_to_another_class_takes_all_replicas_along() -> None:
    inventory = world(node("n", used=2), node("m", "a100", 8))
    request = service("a", "a100", current="l4", bound=2, unbound=1)
    rival = service("b", "a100", unbound=8)
    plans = plan(inventory, [request, rival])
    assert (plans[request.key].kind, plans[request.key].room) == (A100, 3)
    assert plans[rival.key].room == 5


def test_room_counts_own_pending_replicas_and_what_is_left() -> None:
    inventory = world(node("n", units=8, used=1), node("m", units=8, used=6))
    one = service("a", "l4", unbound=2, bound=1, current="l4")
    two = service("b", "l4", unbound=1, count=4)
    plans = plan(inventory, [one, two])
    # 9 free; two takes 4 of n, one takes 2 of m: 3 units are left for one, none for two.
    assert (plans[one.key].room, plans[two.key].room) == (5, 1)


def test_pods_per_node_are_counted() -> None:
    crowded = node("n", requested={"pods": 110})
    assert only(world(crowded), service("a", "l4")).kind is None


def test_placed_message_holds_no_number_of_the_cluster() -> None:
    calm = only(world(node("n", units=4)), service("a", "l4"))
    busy = only(world(node("n", units=4, used=2), node("m")), service("a", "l4"))
    assert calm.message == busy.message == "on l4, 1 GPU per replica"
    assert calm.verdicts[-1].message != busy.verdicts[-1].message


def test_message_is_bounded_and_says_what_it_leaves_out() -> None:
    kinds = tuple(kind(f"class-{i:03}") for i in range(60))
    assignment = only(world(kinds=kinds), service())
    assert len(assignment.message) <= 900
    assert assignment.message.startswith("class-000: no node has the labels")
    assert assignment.message.endswith("more")
    listed = assignment.message.count("class-") // 2  # the name and its label
    assert assignment.message.endswith(f"; and {60 - listed} more")


def test_long_list_of_unknown_classes_is_bounded() -> None:
    names = [f"{i:02}-{'x' * 60}" for i in range(32)]
    assert len(only(BOTH, service("a", *names)).message) <= 900


@pytest.mark.slow
@pytest.mark.parametrize("load", ["free", "full"])
def test_hundred_services_on_a_thousand_nodes(load: str) -> None:
    kinds = tuple(kind(f"gpu{i}", 16 + i) for i in range(5))
    used = 0 if load == "free" else 8
    nodes = [node(f"n{i:04}", f"gpu{i % 5}", 8, used=used) for i in range(1000)]
    inventory = Inventory(tuple(nodes), kinds)
    requests = [
        service(f"s{i:03}", unbound=1 + i % 5, cpu_milli=500 + i, count=1 + i % 2)
        for i in range(100)
    ]
    elapsed_s = min(_timed(inventory, requests) for _ in range(5))
    print(f"\nplan of 100 services on 1,000 {load} nodes: {elapsed_s * 1000:.1f} ms")
    assert elapsed_s < 0.5  # the target is 50 ms; ten times that: test machines are shared and slow


def _timed(inventory: Inventory, requests: list[PlacementRequest]) -> float:
    start = time.process_time()
    assignments = plan(inventory, requests)
    assert assignments.keys() == {r.key for r in requests}
    return time.process_time() - start


def test_no_requests_no_assignments() -> None:
    assert plan(BOTH, []) == {}
    assert plan(Inventory((), ()), [service()])[Key("default", "a")].kind is None
