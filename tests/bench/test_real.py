"""What the figures of real servers make of what they saw."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from e2e.bench.audit import Write
from e2e.bench.real_kill import Seen, differences, masked, pod_problems
from e2e.bench.real_load import read
from e2e.bench.real_rollout import HOLDS_ON, Rollout
from e2e.bench.real_step import patches_s
from e2e.load.arrivals import arrivals, parse
from e2e.testbed import TestbedError

PHASES = "5x10,50x5"


def _lines(failed: int = 0) -> list[str]:
    return [
        json.dumps({"at_s": 1.0, "wall_s": 1001.02}),
        json.dumps({"at_s": 2.0, "wall_s": 1002.0}),
        json.dumps(
            {
                "summary": {"sent": 10, "failed": failed},
                "phases": [],
                "errors": {"gRPC UNAVAILABLE": failed} if failed else {},
            }
        ),
    ]


def test_the_load_tells_when_its_phases_began() -> None:
    told = read(_lines(), PHASES, seed=3)
    first = next(due for due, phase in arrivals(parse(PHASES), 3) if phase == 1)
    assert first > 10
    assert told.phase_began_s(1) == pytest.approx(1000 + first)


def test_a_load_that_was_cut_off_is_no_measurement() -> None:
    with pytest.raises(TestbedError, match="without a summary after 2"):
        read(_lines()[:2], PHASES, seed=3)


def test_only_the_operators_patches_of_that_deployment_count() -> None:
    def write(**changes: Any) -> Write:
        values: dict[str, Any] = {
            "user_agent": "conch/0.1",
            "verb": "patch",
            "resource": "deployments",
            "namespace": "bench",
            "name": "step",
            "code": 200,
            "received_s": 103.0,
            "answered_s": 103.5,
        }
        return Write(**{**values, **changes})

    others = [
        write(user_agent="kube-controller-manager/v1.37"),
        write(resource="deployments/status"),
        write(name="other"),
        write(code=409),
        write(received_s=99.0, answered_s=99.1),
    ]
    assert patches_s([*others, write()], "step", 100.0) == [3.5]


def test_a_client_that_holds_on_is_told_and_not_counted() -> None:
    clean, broken = (read(_lines(failed), PHASES, 1) for failed in (0, 4))
    rollout = Rollout("surge", 40.0, {"grpc": clean, HOLDS_ON: broken})
    assert rollout.failed == 0
    assert "grpc 0 of 10, http held 4 of 10 (http held: 4 x gRPC UNAVAILABLE)" in str(rollout)
    assert Rollout("surge", 40.0, {"grpc": broken, HOLDS_ON: clean}).failed == 4


def _deployment(replicas: int) -> dict[str, Any]:
    return {
        "metadata": {"name": "kill", "uid": "u1", "resourceVersion": "5", "generation": 2},
        "spec": {"replicas": replicas},
        "status": {"conditions": [{"type": "Progressing", "status": "True"}]},
    }


def test_an_object_is_the_same_when_only_its_counters_moved() -> None:
    before, after = _deployment(1), copy.deepcopy(_deployment(1))
    after["metadata"] |= {"resourceVersion": "9", "generation": 7}
    after["status"] = {"conditions": []}
    assert (
        differences({"deployments kill": masked(before)}, {"deployments kill": masked(after)}) == []
    )


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"metadata": {"name": "kill", "uid": "u2"}}, "metadata"),
        ({"spec": {"replicas": 2}}, "spec"),
    ],
)
def test_an_object_made_again_or_left_changed_is_a_difference(
    change: dict[str, Any], told: str
) -> None:
    before, after = masked(_deployment(1)), masked({**_deployment(1), **change})
    (found,) = differences({"d": before}, {"d": after})
    assert found.startswith(f"d: {told} ")


def test_what_is_gone_or_left_over_is_a_difference() -> None:
    assert differences({"a": {}}, {"b": {}}) == ["a is gone", "b is left over"]


def test_conditions_of_the_service_count_by_their_status() -> None:
    def service(ready: str, reason: str) -> dict[str, Any]:
        condition = {"type": "Ready", "status": ready, "reason": reason}
        return {"metadata": {"uid": "u"}, "spec": {}, "status": {"conditions": [condition]}}

    was = {"s": masked(service("True", "Ready"))}
    assert differences(was, {"s": masked(service("True", "AllGood"))}) == []
    assert differences(was, {"s": masked(service("False", "Ready"))}) != []


def _seen(restarts: int = 0) -> Seen:
    seen = Seen()
    for replicas in (1, 1, 3, 2, 4):
        assert not seen.deployments({"kill": _deployment(replicas)})
    status = {"containerStatuses": [{"restartCount": restarts}]}
    assert not seen.all_pods({"p": {"metadata": {"uid": "p"}, "status": status}})
    assert not seen.all_pods({"p": {"metadata": {"uid": "p"}}})
    return seen


def test_pods_may_come_for_replicas_and_for_nothing_else() -> None:
    assert _seen().asked == [1, 3, 2, 4]
    assert list(pod_problems(_seen(), made=4)) == []
    assert list(pod_problems(_seen(), made=5)) == [
        "5 pods were made while 4 more replicas were asked for"
    ]
    assert list(pod_problems(_seen(restarts=2), made=4)) == ["containers restarted 2 times"]
