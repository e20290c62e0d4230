"""The scaling part of `conch why`: numbers, what binds, and the decisions before."""

from __future__ import annotations

from typing import Any

import pytest

from conch.api.conditions import Reason
from conch.autoscale import explain
from conch.cli import decision
from tests.autoscale.worlds import World
from tests.cli.conftest import event, pod

Object = dict[str, Any]


def _line(service: Object, deployment: Object | None = None) -> decision.DecisionLine:
    found = decision.line(service, deployment)
    assert found is not None
    return found


def test_decision_shows_its_numbers(service: Object) -> None:
    found = _line(service)
    assert found.formula == "97/s / 34/s = 2.9"
    assert found.limits == "minReplicas 1, maxReplicas 6"
    assert found.binding == "the demand"
    assert (found.rejecting, found.schedule) == ("", "")


@pytest.mark.parametrize("capacity", [None, "0/s", "nonsense"])
def test_no_formula_without_its_numbers(service: Object, capacity: str | None) -> None:
    service["status"]["decision"]["capacityPerReplica"] = capacity
    assert _line(service).formula == ""


def test_no_decision_in_other_modes(service: Object) -> None:
    del service["status"]["decision"]
    assert decision.line(service, None) is None


def test_one_that_may_go_to_zero_says_when(service: Object) -> None:
    service["spec"]["scaling"] |= {"minReplicas": 0, "idle": {"toZeroAfter": "15m"}}
    assert _line(service).limits == "minReplicas 0, maxReplicas 6, to zero after 15m"


@pytest.mark.parametrize(
    ("minima", "told", "binding"),
    [
        ({"minReplicasPerSite": 2}, ", 2 at each of 3 sites", "placement.minReplicasPerSite"),
        ({"siteMinReplicas": {"b": 4}}, ", 4 at 1 site", "placement.minReplicasPerSite"),
        (
            {"minReplicasPerSite": 1, "siteMinReplicas": {"b": 4, "c": 0}},
            ", 5 at 2 sites",
            "placement.minReplicasPerSite",
        ),
        ({}, "", "scaling.minReplicas"),
    ],
)
def test_minima_of_sites(service: Object, minima: Object, told: str, binding: str) -> None:
    service["spec"]["placement"] = {"sites": ["a", "b", "c"], **minima}
    service["status"]["decision"]["reason"] = "AtMinimum"
    found = _line(service)
    assert found.limits == f"minReplicas 1, maxReplicas 6{told}"
    assert found.binding == binding


@pytest.mark.parametrize(
    ("reason", "binding"),
    [
        ("AtMaximum", "scaling.maxReplicas"),
        ("NoRoom", "free accelerators: see Placement"),
        ("NoMetrics", "nothing: without metrics the number is held"),
        ("OfAnotherVersion", ""),
    ],
)
def test_what_binds(service: Object, reason: str, binding: str) -> None:
    service["status"]["decision"]["reason"] = reason
    assert _line(service).binding == binding


def test_nothing_binds_while_paused(service: Object) -> None:
    service["spec"]["paused"] = True
    assert _line(service).binding == "nothing: spec.paused is true"


def test_every_reason_of_a_decision_says_what_binds() -> None:
    # Whatever else the scaler or idleness may say: a condition of another mode, or of the spec.
    others = {Reason.FIXED, Reason.EXTERNAL, Reason.INVALID_SCHEDULE}
    names = [reason.name for reason in Reason]
    scaling = names[names.index("WITHIN_OBJECTIVE") : names.index("EXTERNAL") + 1]
    assert {Reason[name] for name in scaling} - others <= set(decision._BINDING)


SCHEDULE = {
    "active": ["morning"],
    "minReplicas": 4,
    "maxReplicas": 6,
    "until": "2026-11-22T13:00:00Z",
    "next": "evening",
    "nextStart": "2026-11-22T18:00:00Z",
}


def test_a_schedule_is_named_with_its_limits(service: Object) -> None:
    service["status"]["schedule"] = SCHEDULE
    service["status"]["decision"]["reason"] = "AtMinimum"
    found = _line(service)
    assert found.limits == "minReplicas 4, maxReplicas 6"
    assert found.binding == "the schedule's minReplicas"
    assert found.schedule == (
        "morning until 2026-11-22T13:00:00Z; next evening at 2026-11-22T18:00:00Z"
    )


def test_a_schedule_that_does_not_change_the_limit_does_not_bind(service: Object) -> None:
    service["status"]["schedule"] = SCHEDULE
    service["status"]["decision"]["reason"] = "AtMaximum"
    assert _line(service).binding == "scaling.maxReplicas"


def test_no_schedule_is_active(service: Object) -> None:
    service["status"]["schedule"] = {"minReplicas": 1, "maxReplicas": 6}
    assert _line(service).schedule == "none active"


@pytest.mark.parametrize(
    ("note", "text"),
    [
        (
            "304000us of 400000us measured since 2026-11-22T11:00:00Z",
            "after 304 ms in the queue",
        ),
        (
            "200000us of 400000us guessed since 2026-11-22T11:00:00Z",
            "after 200 ms in the queue (a guess, until the service time is known)",
        ),
        ("nonsense", "requests that cannot be in time"),
        (None, "requests that cannot be in time"),
    ],
)
def test_rejecting_late_requests_is_shown(service: Object, note: str | None, text: str) -> None:
    service["spec"]["objectives"]["latency"]["rejectLate"] = True
    annotations = {"conch.dev/queue-limit": note} if note else {}
    assert _line(service, {"metadata": {"annotations": annotations}}).rejecting == text
    assert _line(service).rejecting == "requests that cannot be in time"


def test_past_decisions_are_the_latest_with_their_conclusions(service: Object) -> None:
    told = "83 req/s now, up to 97 in the next 12 s (start-up); one replica carries 34 within"
    one = event(service, "ScaleUp", "", message=f"{told} 400 ms (s(4)=80 ms, p99): 3 replicas")
    many = [(float(n), one) for n in range(9)]
    found, others = decision.past([(None, one), *many])
    assert [d.age_s for d in found] == [0, 1, 2, 3, 4]
    assert found[0].message == "83 req/s: 3 replicas"
    assert others == ()


def test_events_of_pods_are_no_decisions(service: Object) -> None:
    about_pod = (1.0, event(pod("a"), "ScaleUp", ""))
    assert decision.past([about_pod]) == ((), (about_pod,))


def test_the_scalers_own_sentences_are_cut() -> None:
    """The pattern follows conch.autoscale.explain, whatever that says in the middle."""
    world = World(pods=2)
    message = world.serve(30, 120).message
    assert "req/s now" in message
    assert decision._conclusion(message) == f"60 req/s: {explain.replicas(2)}"


def test_a_message_from_the_cluster_cannot_drive_the_terminal(service: Object) -> None:
    found, _ = decision.past([(1.0, event(service, "ScaleUp", "", message="a\x1b[2Jb\nc"))])
    assert found[0].message == "a b c"
