import copy
from typing import Any

import pytest

from e2e.bench.audit import Write
from e2e.bench.crash import oracle

_DEPLOYMENT: dict[str, Any] = {
    "metadata": {
        "name": "c001",
        "uid": "u-1",
        "resourceVersion": "7",
        "generation": 1,
        "annotations": {"conch.dev/applied": "abc"},
        "managedFields": [
            {
                "manager": "conch",
                "time": "2026-11-22T12:00:00Z",
                "fieldsV1": {"f:metadata": {'k:{"uid":"u-1"}': {}}},
            },
            {"manager": "kube-controller-manager", "fieldsV1": {"f:status": {}}},
        ],
    },
    "spec": {"replicas": 2, "conditions": [{"type": "Ready", "status": "True"}]},
}


def _changed(path: str, value: Any, name: str = "c001") -> oracle.State:
    changed = copy.deepcopy(_DEPLOYMENT)
    target = changed
    *way, last = path.split("/")
    for step in way:
        target = target[int(step) if step.isdigit() else step]
    target[int(last) if last.isdigit() else last] = value
    return oracle.flat("Deployment", changed, name)


_REFERENCE = oracle.flat("Deployment", _DEPLOYMENT, "c001")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata/uid", "u-2"),
        ("metadata/resourceVersion", "99"),
        ("metadata/annotations", {"conch.dev/applied": "def"}),
        ("metadata/managedFields/0/time", "later"),
        ("metadata/managedFields/0/fieldsV1", {"f:metadata": {'k:{"uid":"u-2"}': {}}}),
        ("metadata/managedFields/1/fieldsV1", {"f:other": {}}),
    ],
)
def test_what_differs_between_any_two_runs_is_no_difference(path: str, value: Any) -> None:
    assert oracle.differences(_REFERENCE, _changed(path, value), frozenset()) == []


@pytest.mark.parametrize(
    ("path", "value", "shown"),
    [
        ("spec/replicas", 3, "Deployment.spec.replicas: 2 → 3"),
        ("metadata/generation", 2, "Deployment.metadata.generation: 1 → 2"),
        ("metadata/annotations", {}, "Deployment.metadata.annotations: absent → {}"),
        ("spec/conditions/0/status", "False", "conditions[Ready].status: 'True' → 'False'"),
        ("metadata/managedFields/0/manager", "conch-scaler", "managers.conch-scaler/"),
    ],
)
def test_anything_else_is_named(path: str, value: Any, shown: str) -> None:
    found = oracle.differences(_REFERENCE, _changed(path, value), frozenset())
    assert any(shown in one for one in found), found


def test_names_are_made_alike() -> None:
    other = copy.deepcopy(_DEPLOYMENT)
    other["metadata"]["name"] = "c002"
    assert oracle.flat("Deployment", other, "c002") == _REFERENCE


def test_only_paths_that_vary_undisturbed_are_ignored() -> None:
    first, second = {"a": "1", "b": "1"}, {"a": "1", "b": "2", "c": "1"}
    ignored = oracle.varying([first, second])
    assert ignored == {"b", "c"}
    assert oracle.differences(first, {"a": "2", "b": "9"}, ignored) == ["a: 1 → 2"]


def test_an_event_told_twice_is_seen() -> None:
    about = {"kind": "InferenceService", "name": "c001"}
    placed = {"involvedObject": about, "type": "Normal", "reason": "Placed"}
    foreign = {**placed, "involvedObject": {"kind": "InferenceService", "name": "c002"}}
    assert oracle.events([placed, foreign], "c001") == {"event.Normal.Placed": "1"}
    assert oracle.events([placed, placed], "c001") == {"event.Normal.Placed": "2"}


def _write(verb: str, resource: str, name: str, code: int, namespace: str = "ns") -> Write:
    return Write("any", verb, resource, namespace, name, code, 0.0, 0.0)


def test_effort_counts_objects_not_requests() -> None:
    writes = [
        _write("patch", "deployments", "c001", 201),
        _write("patch", "deployments", "c001", 200),
        _write("create", "replicasets", "c001-5d", 201),
        _write("create", "pods", "", 201),
        _write("create", "pods/binding", "c001-5d-x", 201),
        _write("delete", "pods", "c001-5d-x", 200),
        _write("delete", "pods", "c001-5d-x", 200),
        _write("delete", "pods", "c001-5d-y", 404),
        _write("create", "replicasets", "c0011-5d", 201),
        _write("create", "replicasets", "c001-5d", 201, "elsewhere"),
        _write("create", "events", "c001.1", 201),
    ]
    assert oracle.effort(writes, "c001", "ns") == {
        "create deployments": "1",
        "create replicasets": "1",
        "create pods": "1",
        "delete pods": "1",
    }
