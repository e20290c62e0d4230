"""The judge of pending_over_10s on worlds of two or three nodes."""

from __future__ import annotations

from typing import Any

from conch.api import names
from e2e.bench.client import Object
from e2e.placement import live, pending
from e2e.placement.pending import Tally, Waiting, Wanted
from e2e.testbed import gpus

SERVICE = Wanted("web", ("l4", "t4"), 1, 2)


def node(index: int, model: gpus.GpuModel, units: int, **spec: Any) -> Object:
    """A node that is up."""
    body = live.node(index, model, units)
    body["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
    body["spec"] |= spec
    return body


def pod(name: str, on: str = "", units: int = 1, kind: str = "l4", service: str = "web") -> Object:
    """A replica, or with service="" somebody else's pod."""
    labels = {names.LABEL_SERVICE: service, names.LABEL_ACCELERATOR: kind} if service else {}
    requests = {gpus.RESOURCE: str(units)}
    return {
        "metadata": {"name": name, "labels": labels, "creationTimestamp": name},
        "spec": {"containers": [{"resources": {"requests": requests}}], "nodeName": on},
        "status": {"phase": "Pending"},
    }


def test_free_is_what_bound_pods_leave_on_nodes_that_take_pods() -> None:
    notice = {"key": "karpenter.sh/disrupted", "effect": "NoSchedule"}
    nodes = [
        node(0, gpus.L4, 2),
        node(1, gpus.L4, 1, unschedulable=True),
        node(2, gpus.L4, 1, taints=[notice]),
        node(3, gpus.T4, 2),
    ]
    down = node(4, gpus.T4, 1)
    down["status"]["conditions"][0]["status"] = "Unknown"
    ended = pod("c", "kwok-gpu-0003", 2, service="")
    ended["status"]["phase"] = "Succeeded"
    pods = [pod("a", "kwok-gpu-0000"), pod("b"), ended]
    free = pending.free_units([*nodes, down], pods)
    assert (free["l4"], free["t4"], free["h100-80gb-hbm3"]) == ([1], [2], [])


def test_a_replica_waits_beside_room_for_it_but_not_for_its_service() -> None:
    pods = [pod("a", "n0"), pod("b")]
    found = pending.waiting([SERVICE], pods, {"l4": [0], "t4": [1], "l40s": [8]})
    assert [(one.who, one.for_service) for one in found] == [("b", False)]


def test_room_for_the_service_counts_the_replicas_it_has_there() -> None:
    pods = [pod("a", "n0"), pod("b")]
    on_its_own = pending.waiting([SERVICE], pods, {"l4": [1], "t4": [0]})
    elsewhere = pending.waiting([SERVICE], pods, {"l4": [0], "t4": [2]})
    assert [one.for_service for one in on_its_own + elsewhere] == [True, True]


def test_units_on_two_nodes_are_no_room_for_a_replica_of_two() -> None:
    two = Wanted("web", ("l4",), 2, 1)
    assert pending.waiting([two], [pod("a", units=2)], {"l4": [1, 1]}) == []
    assert pending.waiting([two], [pod("a", units=2)], {"l4": [1, 2]}) != []


def test_a_service_without_any_pod_waits_too() -> None:
    found = pending.waiting([SERVICE], [], {"l4": [0], "t4": [1]})
    assert [(one.who, one.for_service) for one in found] == [("web", False)]
    assert pending.waiting([Wanted("web", ("l4",), 1, 0)], [], {"l4": [1]}) == []


def test_who_is_asked_for_beyond_what_is_wanted_does_not_wait() -> None:
    pods = [pod("a", "n0"), pod("b"), pod("c")]
    free = {"l4": [2], "t4": [0]}
    assert [one.who for one in pending.waiting([SERVICE], pods, free)] == ["b"]
    served = [pod("a", "n0"), pod("b", "n1", kind="t4"), pod("c")]
    assert pending.waiting([SERVICE], served, free) == []


def test_pods_on_their_way_out_do_not_wait() -> None:
    going = pod("a")
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert pending.waiting([SERVICE], [going], {"l4": [1], "t4": [0]}) == []


def test_only_waits_without_a_break_count() -> None:
    tally, one = Tally(10), Waiting("a", "web", True, "seen")
    for now_s in (0, 5, 10):
        tally.look([one], now_s)
    assert not tally.over
    assert tally.longest_s == 10
    tally.look([], 11)
    for now_s in (12, 20, 22, 23, 25):
        tally.look([one], now_s)
    assert tally.over == {"a": 13}
    assert tally.told == {"a": "seen"}
