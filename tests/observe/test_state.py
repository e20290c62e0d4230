"""The picture of the cluster: answers and watches arrive in any order and it stays true."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from conch.api import names
from conch.kube import views
from conch.observe.state import ClusterState
from conch.observe.types import Key
from tests.reconcile.builders import BUILTIN, KEY, NOW, container, decision, pod, raw, state


def child(version: int, uid: str = "d1", kind: str = "Deployment", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {
            "name": KEY.name,
            "namespace": KEY.namespace,
            "uid": uid,
            "resourceVersion": str(version),
            "labels": names.service_labels(KEY.name),
        },
        "spec": spec,
    }


def version(cluster: ClusterState) -> str:
    return str(cluster.services[KEY].raw["metadata"]["resourceVersion"])


def mount_event(name: str = "p1") -> views.Event:
    return views.Event(
        involved_object=views.ObjectReference(uid=f"uid-{name}"), message="no such secret"
    )


# --- services -------------------------------------------------------------------------------------


def test_an_older_version_never_replaces_a_newer_one() -> None:
    cluster = ClusterState()
    cluster.set_service(raw(resourceVersion="20"))
    cluster.set_service(raw(resourceVersion="19"))
    assert version(cluster) == "20"
    cluster.set_service(raw(resourceVersion="21"))
    assert version(cluster) == "21"


def test_a_late_answer_does_not_bring_a_deleted_service_back() -> None:
    cluster = state(raw(uid="u1", resourceVersion="20"))
    assert cluster.remove_service(KEY, "u1")
    cluster.set_service(raw(uid="u1", resourceVersion="21"))
    assert cluster.services == {}


def test_a_late_deletion_spares_the_service_made_since() -> None:
    cluster = state(raw(uid="u1", resourceVersion="20"))
    cluster.set_service(raw(uid="u2", resourceVersion="30"))
    assert not cluster.remove_service(KEY, "u1")
    assert cluster.services[KEY].raw["metadata"]["uid"] == "u2"
    cluster.set_service(raw(uid="u1", resourceVersion="21"))
    assert cluster.services[KEY].raw["metadata"]["uid"] == "u2"


def test_a_namesake_inherits_no_decisions() -> None:
    cluster = state(raw(uid="u1"))
    cluster.decisions[KEY] = decision(7)
    cluster.set_service(raw(uid="u2", resourceVersion="11"))
    assert (cluster.assignments, cluster.decisions) == ({}, {})


def test_a_spec_that_cannot_be_read_is_kept_with_its_problem() -> None:
    cluster = ClusterState()
    cluster.set_service(raw({"models": "none"}))
    record = cluster.services[KEY]
    assert record.service is None
    assert record.problem.startswith("spec.models")


def test_a_status_change_keeps_the_parsed_spec_and_takes_the_new_metadata() -> None:
    cluster = ClusterState()
    cluster.set_service(raw())
    before = cluster.services[KEY].service
    cluster.set_service(raw(resourceVersion="11", deletionTimestamp=NOW))
    after = cluster.services[KEY].service
    assert before is not None
    assert after is not None
    assert after.spec is before.spec
    assert after.metadata.deletion_timestamp == NOW


# --- runtimes and classes -------------------------------------------------------------------------


def named(name: str, spec: dict[str, Any], version: int = 1) -> dict[str, Any]:
    return {"metadata": {"name": name, "resourceVersion": str(version)}, "spec": spec}


A_CLASS = {"nodeSelector": {"gpu": "x"}, "resourceName": "nvidia.com/gpu", "memory": "24Gi"}
A_RUNTIME = {"image": "x", "release": "24.10"}


def test_a_class_with_a_number_nobody_can_read_hurts_no_other() -> None:
    cluster = state()
    cluster.set_class(named("good", A_CLASS))
    cluster.set_class(named("bad", {**A_CLASS, "memory": "lots"}))
    assert [kind.name for kind in cluster.inventory().kinds] == ["good"]


def test_a_late_deletion_spares_the_runtime_and_the_class_made_since() -> None:
    cluster = state()
    assert cluster.set_runtime(named("r", A_RUNTIME, 20))
    assert cluster.set_class(named("c", A_CLASS, 20))
    assert not cluster.remove_runtime(named("r", A_RUNTIME, 19))
    assert not cluster.remove_class(named("c", A_CLASS, 19))
    assert (set(cluster.runtimes), set(cluster.classes)) == ({"r"}, {"c"})
    assert cluster.remove_runtime(named("r", A_RUNTIME, 21))
    assert cluster.remove_class(named("c", A_CLASS, 21))
    assert not cluster.set_runtime(named("r", A_RUNTIME, 20))
    assert not cluster.set_class(named("c", A_CLASS, 20))
    assert (cluster.runtimes, cluster.classes) == ({}, {})


def test_a_runtime_is_found_by_name_by_default_or_built_in() -> None:
    cluster = state(raw({"runtime": "other"}))
    record = cluster.services[KEY]
    spec, problem = cluster.runtime_of(record, BUILTIN)
    assert spec is None
    assert "there is no TritonRuntime other; known: triton" in problem

    cluster.set_runtime(named("other", {"image": "x", "release": "twenty"}))
    spec, problem = cluster.runtime_of(record, BUILTIN)
    assert spec is None
    assert problem.startswith("TritonRuntime other: release")

    cluster.set_runtime(named("other", A_RUNTIME))
    spec, problem = cluster.runtime_of(record, BUILTIN)
    assert spec is cluster.runtimes["other"]
    assert problem == ""

    unnamed = state().services[KEY]
    assert cluster.runtime_of(unnamed, BUILTIN) == (BUILTIN[1], "")
    cluster.set_runtime(named("preferred", {**A_RUNTIME, "default": True}))
    assert cluster.runtime_of(unnamed, BUILTIN)[0] is cluster.runtimes["preferred"]


# --- children -------------------------------------------------------------------------------------


def test_the_echo_of_an_older_child_is_ignored() -> None:
    cluster = state()
    cluster.set_child(child(50, replicas=3))
    cluster.set_child(child(49, replicas=1))
    assert cluster.live_replicas(KEY) == 3


def test_a_late_answer_does_not_bring_a_deleted_child_back() -> None:
    cluster = state()
    cluster.set_child(child(50))
    cluster.remove_child(child(51))
    assert cluster.set_child(child(50)) == KEY
    assert cluster.child(KEY, "Deployment", KEY.name) is None


def test_a_child_that_only_lost_its_label_comes_back() -> None:
    cluster = state()
    cluster.set_child(child(50))
    cluster.remove_child(child(50))
    cluster.set_child(child(52))
    assert cluster.child(KEY, "Deployment", KEY.name) is not None


def test_the_deletion_of_an_earlier_child_spares_its_namesake() -> None:
    cluster = state()
    cluster.set_child(child(50, uid="d2"))
    cluster.remove_child(child(49, uid="d1"))
    assert cluster.child(KEY, "Deployment", KEY.name) is not None


def test_objects_without_our_label_concern_nobody() -> None:
    cluster = state()
    foreign = child(1)
    foreign["metadata"].pop("labels")
    assert cluster.set_child(foreign) is None
    assert cluster.remove_child(foreign) is None
    assert cluster.set_pod(views.Pod()) is None


# --- pods -----------------------------------------------------------------------------------------


def test_pods_are_listed_oldest_first_and_forgotten() -> None:
    cluster = state()
    for name in ("b", "a"):
        cluster.set_pod(pod(name))
    assert [p.metadata.name for p in cluster.pods(KEY)] == ["a", "b"]
    assert cluster.remove_pod("uid-a") == KEY
    assert cluster.remove_pod("uid-a") is None
    assert [p.metadata.name for p in cluster.pods(KEY)] == ["b"]


def test_a_pod_given_to_another_service_leaves_the_first() -> None:
    cluster = state()
    first = pod()
    cluster.set_pod(first)
    other = msgspec.structs.replace(
        first,
        metadata=msgspec.structs.replace(first.metadata, labels=names.service_labels("other")),
    )
    assert cluster.set_pod(other) == Key(KEY.namespace, "other")
    assert cluster.pods(KEY) == ()


@pytest.mark.parametrize("pods_first", [True, False])
def test_nothing_is_remembered_of_what_is_gone(pods_first: bool) -> None:
    cluster = state(raw(uid="u1"))
    cluster.set_pod(pod())
    cluster.set_child(child(50))
    if not pods_first:
        cluster.remove_service(KEY, "u1")
    cluster.remove_pod("uid-p1")
    cluster.remove_child(child(51))
    if pods_first:
        cluster.remove_service(KEY, "u1")
    assert cluster._families == {}
    assert cluster._pod_owner == {}


def test_an_inventory_is_the_same_object_until_something_changes() -> None:
    cluster = ClusterState()
    bare = cluster.inventory()
    assert cluster.inventory() is bare
    cluster.carbon = {"l4": 50.0}
    known = cluster.inventory()
    assert known.carbon == {"l4": 50.0}
    cluster.carbon = {"l4": 50.0}  # told again
    assert cluster.inventory() is known
    cluster.carbon = {"l4": 60.0}
    assert cluster.inventory().carbon == {"l4": 60.0}
    node = views.Node(metadata=views.Metadata(name="n1"))
    cluster.inventory_builder.upsert_node(node)
    assert [n.name for n in cluster.inventory().nodes] == ["n1"]
    assert cluster.inventory().carbon == {"l4": 60.0}


def test_cold_starts_are_measured_once_a_pod_and_not_after_a_crash() -> None:
    cluster = state()
    ready = views.StatusCondition("Ready", "True", last_transition_time="2026-01-01T00:01:30Z")
    for _ in range(2):
        cluster.set_pod(pod("a", conditions=(ready,)))
    crashed = views.ContainerStatus(name="triton", restart_count=1)
    cluster.set_pod(pod("b", conditions=(ready,), container_statuses=(crashed,)))
    assert cluster.cold_starts_s(KEY) == (90.0,)
    cluster.remove_pod("uid-a")
    assert cluster.cold_starts_s(KEY) == (90.0,), "the measurement outlives the pod"


def test_only_the_last_cold_starts_are_kept() -> None:
    cluster = state()
    for second in range(30):
        at = f"2026-01-01T00:01:{second:02d}Z"
        ready = views.StatusCondition("Ready", "True", last_transition_time=at)
        cluster.set_pod(pod(f"p{second}", conditions=(ready,)))
    assert cluster.cold_starts_s(KEY) == tuple(float(60 + s) for s in range(10, 30))


def test_a_mount_problem_is_told_until_a_container_starts() -> None:
    cluster = state()
    cluster.set_pod(pod(ready=False))
    assert cluster.set_mount_event(mount_event()) == KEY
    seen = cluster.observe(KEY, BUILTIN, NOW)
    assert seen is not None
    assert seen.mount_problems == {"uid-p1": "no such secret"}

    running = msgspec.structs.replace(
        container(name="fetch"), state=views.ContainerState(running=views.Running())
    )
    cluster.set_pod(pod(ready=False, init_container_statuses=(running,)))
    assert cluster.set_mount_event(mount_event()) is None, "events outlive what they tell of"
    seen = cluster.observe(KEY, BUILTIN, NOW)
    assert seen is not None
    assert seen.mount_problems == {}


def test_a_mount_event_of_an_unknown_pod_concerns_nobody() -> None:
    assert state().set_mount_event(mount_event()) is None


def test_a_models_problem_is_news_once() -> None:
    cluster = state()
    cluster.set_pod(pod(ready=False))
    assert cluster.set_model_problem("uid-p1", "") is None
    assert cluster.set_model_problem("uid-p1", "resnet: bad") == KEY
    assert cluster.set_model_problem("uid-p1", "resnet: bad") is None
    assert cluster.set_model_problem("uid-p1", "") == KEY
