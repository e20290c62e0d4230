"""What is said about a service, from what was read alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from conch.api.conditions import Reason
from conch.cli import explain
from conch.cli.advice import ADVICE, UNSEEN, advice
from conch.cli.cluster import Gathered
from tests.cli.conftest import event, pod

Object = dict[str, Any]
NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def _why(
    service: Object, pods: list[Object] | None = None, events: list[Object] | None = None
) -> explain.Explanation:
    return explain.explain(Gathered(service, pods, events), NOW)


def _set(service: Object, kind: str, status: str, reason: str, message: str = "why") -> None:
    (condition,) = (c for c in service["status"]["conditions"] if c["type"] == kind)
    condition |= {"status": status, "reason": reason, "message": message}


def test_every_reason_has_an_entry_and_no_entry_is_left_over() -> None:
    assert set(ADVICE) == set(Reason)


def test_advice_is_a_sentence() -> None:
    for step in ADVICE.values():
        assert step is None or (step[0].isupper() and step.endswith("."))


def test_a_reason_of_another_version_gives_no_advice() -> None:
    assert advice("SomethingNew") is None


def test_ready_service(service: Object) -> None:
    found = _why(service, [pod("resnet-a")], [])
    assert found.holding_back == ()
    assert found.next_steps == ()
    assert found.notes == ()
    assert found.summary.ready == "True"
    assert (found.summary.replicas, found.summary.wanted) == (3, 3)
    assert found.summary.age_s == 3600
    assert found.placement == ("l4: 1 node, 1 of 4 units free", "t4: no node")


def test_memory_as_measured_stands_beside_what_is_declared(service: Object) -> None:
    assert not any("memory" in line for line in _why(service).placement)
    service["status"]["gpuMemory"] = "14541Mi"
    assert _why(service).placement[-1] == "memory of one accelerator: 14541Mi measured"
    service["spec"]["placement"] = {"accelerators": {"minMemory": "12Gi"}}
    assert _why(service).placement[-1].endswith(": 14541Mi measured, minMemory is 12Gi")


def test_nodes_are_named_beside_the_placement(service: Object) -> None:
    service["status"]["nodes"] = {"count": 18, "names": ["gpu-a", "gpu-b"]}
    assert _why(service).placement[-1] == "nodes: gpu-a, gpu-b and 16 more"


def test_decisions_are_told_apart_from_other_events(service: Object) -> None:
    events = [
        event(service, "ScaleUp", "2026-11-22T11:58:00Z", "Normal"),
        event(service, "Ready", "2026-11-22T11:57:00Z", "Normal"),
    ]
    found = _why(service, [], events)
    assert [d.reason for d in found.past] == ["ScaleUp"]
    assert [e.reason for e in found.events or ()] == ["Ready"]


def test_what_holds_it_back_comes_with_the_next_step(service: Object) -> None:
    _set(service, "Ready", "False", "NoCapacity")
    _set(service, "Placed", "False", "NoCapacity", "l4: 0 of 4 units free")
    _set(service, "Scaling", "False", "AtMaximum")
    found = _why(service)
    assert [c.type for c in found.holding_back] == ["Placed", "Scaling"]
    assert found.next_steps == (ADVICE[Reason.NO_CAPACITY], ADVICE[Reason.AT_MAXIMUM])


def test_what_only_follows_from_it_does_not_stand_beside_the_cause(service: Object) -> None:
    _set(service, "Placed", "False", "NoCapacity", "l4: 0 of 4 units free")
    _set(service, "Available", "False", "PodsStarting", "No pods yet.")
    assert [c.type for c in _why(service).holding_back] == ["Placed"]
    _set(service, "Placed", "True", "Placed")
    assert [c.type for c in _why(service).holding_back] == ["Available"]


def test_a_probe_that_failed_while_a_pod_started_is_over_when_it_is_ready(service: Object) -> None:
    failed = {"message": "Startup probe failed: connection refused"}
    pods = [pod("resnet-1"), pod("resnet-2", ready=False)]
    events = [event(p, "Unhealthy", "2026-11-22T11:59:00Z", **failed) for p in pods]
    assert [e.about for e in _why(service, pods, events).events or ()] == ["Pod/resnet-2"]


def test_the_same_advice_is_given_once(service: Object) -> None:
    _set(service, "Placed", "False", "NoRoom")
    _set(service, "Scaling", "False", "NoRoom")
    assert _why(service).next_steps == (ADVICE[Reason.NO_ROOM],)


def test_stalled_is_good_when_false(service: Object) -> None:
    lines = {c.type: c.good for c in _why(service).conditions}
    assert lines["Stalled"] is True
    assert lines["Reconciling"] is True
    _set(service, "Stalled", "True", "NothingFits")
    assert {c.type: c.good for c in _why(service).conditions}["Stalled"] is False


@pytest.mark.parametrize("status", [None, {}, {"conditions": None}])
def test_nobody_has_looked_yet(service: Object, status: Object | None) -> None:
    service["status"] = status
    found = _why(service, [], [])
    assert found.summary.reason == explain.NOT_SEEN
    assert found.next_steps == (UNSEEN,)


def test_notes_say_what_the_conditions_cannot(service: Object) -> None:
    service["metadata"] |= {"generation": 3, "deletionTimestamp": "2026-11-22T11:59:00Z"}
    service["spec"]["paused"] = True
    deleted, stale, paused = _why(service).notes
    assert "deleted" in deleted
    assert "generation 3" in stale
    assert "generation 2" in stale
    assert "paused" in paused


def test_paused_names_the_way_back(service: Object) -> None:
    _set(service, "Reconciling", "False", "Paused")
    assert _why(service).next_steps == (ADVICE[Reason.PAUSED],)


def test_pods_with_a_problem_come_first(service: Object) -> None:
    broken = pod(
        "resnet-z",
        ready=False,
        containerStatuses=[
            {
                "name": "triton",
                "image": "nowhere/triton:1",
                "restartCount": 2,
                "state": {"waiting": {"reason": "ImagePullBackOff", "message": "not found"}},
            }
        ],
    )
    first, second = _why(service, [pod("resnet-a"), broken]).pods or ()
    assert (first.name, first.state, first.restarts) == ("resnet-z", "ImagePullFailed", 2)
    assert "nowhere/triton:1" in first.problem
    assert (second.state, second.problem) == ("Ready", "")


@pytest.mark.parametrize(
    ("change", "state"),
    [
        ({"spec": {"nodeName": ""}}, "Pending"),
        ({}, "Starting"),
        ({"init": True}, "FetchingModels"),
        ({"main": True}, "LoadingModels"),
        ({"leaving": True}, "Leaving"),
    ],
)
def test_states_of_a_pod_that_is_not_ready(service: Object, change: Object, state: str) -> None:
    running = [{"name": "c", "state": {"running": {"startedAt": "2026-11-22T11:59:00Z"}}}]
    one = pod("p", ready=False)
    if "spec" in change:
        one["spec"] |= change["spec"]
    if "init" in change:
        one["status"]["initContainerStatuses"] = running
    if "main" in change:
        one["status"]["containerStatuses"] = running
    if "leaving" in change:
        one["metadata"]["deletionTimestamp"] = "2026-11-22T11:59:00Z"
    (line,) = _why(service, [one]).pods or ()
    assert line.state == state


def test_events_newest_first_without_the_noise_of_pods(service: Object) -> None:
    one = pod("resnet-a")
    events = [
        event(service, "Old", "2026-11-22T11:00:00Z", "Normal"),
        event(one, "Scheduled", "2026-11-22T11:59:59Z", "Normal"),
        event(one, "BackOff", "2026-11-22T11:50:00Z", count=7),
        event(service, "Placed", "2026-11-22T11:58:00Z", "Normal"),
    ]
    found = _why(service, [one], events).events or ()
    assert [(e.reason, e.age_s, e.count) for e in found] == [
        ("Placed", 120, 1),
        ("BackOff", 600, 7),
        ("Old", 3600, 1),
    ]


def test_the_screen_is_bounded(service: Object) -> None:
    many = [event(service, f"E{i}", f"2026-11-22T11:00:{i:02}Z") for i in range(40)]
    found = _why(service, [], many).events or ()
    assert len(found) < 15
    assert found[0].reason == "E39"


def test_events_of_the_new_api_have_their_own_times(service: Object) -> None:
    new = event(service, "New", "2026-11-22T10:00:00Z")
    new["series"] = {"lastObservedTime": "2026-11-22T11:59:00.000000Z", "count": 4}
    (line,) = _why(service, [], [new]).events or ()
    assert (line.age_s, line.count) == (60, 4)


def test_what_may_not_be_read_is_told_apart_from_nothing(service: Object) -> None:
    found = _why(service, None, None)
    assert found.pods is None
    assert found.events is None


def test_text_from_the_cluster_cannot_drive_the_terminal(service: Object) -> None:
    _set(service, "Ready", "False", "CrashLoop", "a\x1b[31mred\x1b[0m\r\nb\x07\x9b2Jc")
    message = _why(service).summary.message
    assert not any(ord(c) < 32 or 127 <= ord(c) < 160 for c in message)
    assert message.startswith("a red b")


@pytest.mark.parametrize("stamp", [None, "", "yesterday"])
def test_no_age_without_a_time(stamp: str | None) -> None:
    assert explain.age(stamp, NOW) is None


def test_clocks_that_disagree_give_no_negative_age() -> None:
    ahead = (NOW + timedelta(seconds=5)).astimezone(timezone(timedelta(hours=2))).isoformat()
    assert explain.age(ahead, NOW) == 0
