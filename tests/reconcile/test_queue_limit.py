"""How long requests may wait before they are rejected, and that it restarts servers seldom."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from conch.api import names
from conch.api.conditions import Reason
from conch.observe.state import ClusterState
from conch.reconcile import plan as planning
from conch.reconcile.policy import policy_of
from tests.reconcile.builders import KEY, MOMENT, OPTIONS, build, decision, observe, raw, state


def rejecting(target: str = "100ms", **spec: Any) -> dict[str, Any]:
    latency = {"target": target, "rejectLate": True}
    return raw({"objectives": {"latency": latency}, **spec})


def fresh() -> ClusterState:
    cluster = state(rejecting())
    build(cluster)
    return cluster


def learned(cluster: ClusterState, reject_after_s: float | None) -> None:
    cluster.decisions[KEY] = decision(1, Reason.WITHIN_OBJECTIVE, reject_after_s=reject_after_s)


def limit_ms(cluster: ClusterState, now: str, spec: dict[str, Any] | None = None) -> float | None:
    """The queue limit of the servers after a reconcile at ``now``, written as a reconcile would."""
    if spec is not None:
        cluster.set_service({**spec, "metadata": {**spec["metadata"], "resourceVersion": "99"}})
    plan = planning.make(dataclasses.replace(observe(cluster), now=now), OPTIONS)
    for action in plan.applies:
        if action.obj["kind"] == "Deployment":
            live = cluster.child(KEY, "Deployment", KEY.name)
            version = int(live["metadata"]["resourceVersion"]) + 1 if live else 1
            meta = {**action.obj["metadata"], "resourceVersion": str(version)}
            cluster.set_child({**action.obj, "metadata": meta})
    deployment = cluster.child(KEY, "Deployment", KEY.name)
    assert deployment is not None
    (*_, fetch) = deployment["spec"]["template"]["spec"]["initContainers"]
    (model,) = (a.removeprefix("--model=") for a in fetch["args"] if a.startswith("--model="))
    wait_us = json.loads(model).get("rejectAfterUs")
    return None if wait_us is None else wait_us / 1000


def test_only_who_asks_for_it_rejects() -> None:
    cluster = state()
    build(cluster)
    learned(cluster, 0.07)
    assert limit_ms(cluster, "2026-01-02T00:00:00Z") is None
    assert not policy_of(cluster.services[KEY], MOMENT).late_reject
    assert policy_of(state(rejecting()).services[KEY], MOMENT).late_reject


def test_a_guess_until_the_service_time_is_known() -> None:
    cluster = fresh()
    assert limit_ms(cluster, "2026-01-01T00:09:00Z") == 50
    learned(cluster, 0.07)
    assert limit_ms(cluster, "2026-01-01T00:09:59Z") == 50, "what was learned may still move"
    assert limit_ms(cluster, "2026-01-01T00:10:00Z") == 70


def test_what_is_known_at_the_start_is_used_at_once() -> None:
    cluster = state(rejecting())
    learned(cluster, 0.07)
    build(cluster)
    assert limit_ms(cluster, "2026-01-01T00:00:01Z") == 70


@pytest.mark.parametrize(
    ("reject_after_s", "now", "expected"),
    [
        (0.08, "2026-01-09T00:00:00Z", 70),  # about right
        (0.09, "2026-01-01T05:59:59Z", 70),  # too soon
        (0.09, "2026-01-01T06:00:00Z", 90),
        (None, "2026-01-09T00:00:00Z", 70),  # a restart of the operator forgets, servers do not
    ],
)
def test_a_limit_changes_seldom(reject_after_s: float | None, now: str, expected: float) -> None:
    cluster = state(rejecting())
    learned(cluster, 0.07)
    build(cluster)
    learned(cluster, reject_after_s)
    assert limit_ms(cluster, now) == expected
    assert limit_ms(cluster, now) == expected
    assert planning.make(dataclasses.replace(observe(cluster), now=now), OPTIONS).applies == ()


def test_a_change_that_restarts_servers_anyhow_brings_the_newest() -> None:
    cluster = state(rejecting())
    learned(cluster, 0.07)
    build(cluster)
    learned(cluster, 0.072)
    assert limit_ms(cluster, "2026-01-01T00:01:00Z") == 70
    spec = rejecting(resources={"memory": "8Gi"})
    assert limit_ms(cluster, "2026-01-01T00:01:00Z", spec) == 72
    assert limit_ms(cluster, "2026-01-01T00:01:01Z") == 72


def test_another_target_or_none_is_followed_at_once() -> None:
    cluster = fresh()
    assert limit_ms(cluster, "2026-01-01T00:01:00Z", rejecting("200ms")) == 100
    assert limit_ms(cluster, "2026-01-01T00:01:00Z", raw()) is None


def test_a_limit_is_never_longer_than_the_target() -> None:
    cluster = state(rejecting())
    learned(cluster, 5.0)  # for a target that was longer
    build(cluster)
    assert limit_ms(cluster, "2026-01-01T00:00:01Z") == 100


@pytest.mark.parametrize(
    "note",
    ["", "x", "0us of 9us guessed since now", "9us of 8us measured since now", "9" * 99],
)
def test_a_note_that_somebody_changed_is_written_again(note: str) -> None:
    cluster = fresh()
    deployment = cluster.child(KEY, "Deployment", KEY.name)
    assert deployment is not None
    meta = deployment["metadata"]
    annotations = {**meta["annotations"], names.ANNOTATION_QUEUE_LIMIT: note}
    edited = {**meta, "annotations": annotations, "resourceVersion": "6"}
    cluster.set_child({**deployment, "metadata": edited})
    assert limit_ms(cluster, "2026-01-01T01:00:00Z") == 50
    written = cluster.child(KEY, "Deployment", KEY.name)
    assert written is not None
    since = written["metadata"]["annotations"][names.ANNOTATION_QUEUE_LIMIT]
    assert since == "50000us of 100000us guessed since 2026-01-01T01:00:00Z"


def test_a_time_that_is_none_does_not_keep_a_limit_for_ever() -> None:
    cluster = fresh()
    deployment = cluster.child(KEY, "Deployment", KEY.name)
    assert deployment is not None
    text = "50000us of 100000us guessed since yesterday"
    annotations = {**deployment["metadata"]["annotations"], names.ANNOTATION_QUEUE_LIMIT: text}
    edited = {**deployment["metadata"], "annotations": annotations, "resourceVersion": "6"}
    cluster.set_child({**deployment, "metadata": edited})
    learned(cluster, 0.07)
    assert limit_ms(cluster, "2026-01-01T00:00:01Z") == 70
