"""Ready means: what was applied last answers. Problems of the newest revision come first."""

from __future__ import annotations

import pytest

from conch.api.conditions import Reason
from conch.reconcile.steps import available
from tests.reconcile.builders import KEY, build, container, observe, pod, raw, state

BROKEN = {"container_statuses": (container(waiting=("ImagePullBackOff", "denied")),)}


@pytest.mark.parametrize(
    ("pods", "replicas", "ready", "status", "reason"),
    [
        ([], 1, 0, "False", Reason.PODS_STARTING),
        ([pod("a", ready=False)], 1, 0, "False", Reason.PODS_STARTING),
        ([pod("a")], 1, 1, "True", Reason.AVAILABLE),
        # The pods are ready before the Deployment's controller has counted them.
        ([pod("a")], 1, 0, "False", Reason.PODS_STARTING),
        ([pod("a"), pod("b", ready=False)], 2, 1, "True", Reason.PODS_STARTING),
        ([pod("a"), pod("b", ready=False, **BROKEN)], 2, 1, "True", Reason.IMAGE_PULL),
        ([pod("a", ready=False, **BROKEN)], 1, 0, "False", Reason.IMAGE_PULL),
        # The old revision serves while the new one starts, or cannot start.
        ([pod("a"), pod("b", ready=False, revision="r2")], 1, 0, "True", Reason.ROLLING_OUT),
        (
            [pod("a"), pod("b", ready=False, revision="r2", **BROKEN)],
            1,
            0,
            "False",
            Reason.IMAGE_PULL,
        ),
    ],
)
def test_available(
    pods: list[object], replicas: int, ready: int, status: str, reason: Reason
) -> None:
    cluster = state(raw({"scaling": {"mode": "Fixed", "replicas": replicas}}))
    build(cluster, replicas=replicas, ready=ready)
    for one in pods:
        cluster.set_pod(one)  # type: ignore[arg-type]
    verdict = available.judge(observe(cluster), replicas, paused=False)
    assert (verdict.condition.status, verdict.condition.reason) == (status, reason)


def test_zero_replicas_are_as_asked() -> None:
    cluster = state(raw({"scaling": {"mode": "Fixed", "replicas": 0}}))
    build(cluster, replicas=0)
    verdict = available.judge(observe(cluster), 0, paused=False)
    assert verdict.condition.reason is Reason.SCALED_TO_ZERO


def test_pods_that_cannot_even_be_created() -> None:
    cluster = state()
    build(cluster, ready=0)
    deployment = observe(cluster).children["Deployment", KEY.name]
    deployment["status"]["conditions"] = [
        {"type": "ReplicaFailure", "status": "True", "message": "exceeded quota: gpus"}
    ]
    verdict = available.judge(observe(cluster), 1, paused=False)
    assert verdict.condition.reason is Reason.APPLY_REFUSED
    assert "exceeded quota: gpus" in verdict.condition.message
    assert verdict.stuck


def test_those_of_the_previous_revision_are_counted_beside_what_cannot_start() -> None:
    cluster = state(raw({"scaling": {"mode": "Fixed", "replicas": 2}}))
    build(cluster, replicas=2, ready=2)
    for one in (
        pod("a"),
        pod("b", revision="r2"),
        pod("c", ready=False, revision="r2", **BROKEN),
    ):
        cluster.set_pod(one)
    condition = available.judge(observe(cluster), 2, paused=False).condition
    assert condition.status == "True"
    assert condition.message.startswith("1 of 2 replicas and 1 of the previous revision ready; the")
