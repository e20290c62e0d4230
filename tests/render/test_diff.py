from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conch.api import names
from conch.kube.views import Object
from conch.render import digest, first_difference, needs_apply, revision
from tests.render.cases import CASES, L4, MINIMAL_SPEC, RUNTIME, Case, options


def _deployment(**changes: Any) -> Object:
    return Case("x", MINIMAL_SPEC, RUNTIME, L4, options(**changes)).render()[2]


def _as_stored(child: Object) -> Object:
    """The object with what an API server and other controllers add to it."""
    live = copy.deepcopy(child)
    live["metadata"] |= {"resourceVersion": "7", "generation": 1, "managedFields": []}
    live["metadata"]["annotations"]["deployment.kubernetes.io/revision"] = "1"
    live["spec"]["replicas"] = 3
    pod = live["spec"]["template"]["spec"]
    pod |= {"dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler"}
    pod["containers"].insert(0, {"name": "sidecar", "image": "mesh"})
    pod["containers"][1]["terminationMessagePath"] = "/dev/termination-log"
    return live


def test_defaults_and_other_owners_are_no_difference() -> None:
    wanted = _deployment()
    assert needs_apply(wanted, _as_stored(wanted)) is None


def test_first_difference_names_the_place_and_both_values() -> None:
    wanted = _deployment()
    live = _as_stored(wanted)
    live["spec"]["template"]["spec"]["containers"][1]["image"] = "evil:1"
    assert first_difference(wanted, live) == (
        "spec.template.spec.containers[triton].image: "
        "evil:1 → nvcr.io/nvidia/tritonserver:24.10-py3"
    )


@pytest.mark.parametrize(
    ("desired", "live", "difference"),
    [
        ({"a": 1}, {"a": 1, "b": 2}, None),
        ({"a": 1}, {}, "a: absent → 1"),
        ({"a": True}, {"a": 1}, "a: 1 → True"),
        ({"egress": []}, {}, None),
        ({"egress": []}, {"egress": [{}]}, "egress: [{}] → []"),
        # another kind of volume under the same name is not the one we want
        (
            {"volumes": [{"name": "m", "emptyDir": {}}]},
            {"volumes": [{"name": "m", "hostPath": {"path": "/"}}]},
            "volumes[m].emptyDir: absent → {}",
        ),
        ({"limits": {"memory": "1Gi"}}, {"limits": {"memory": "1024Mi"}}, None),
        ({"limits": {"cpu": 2}}, {"limits": {"cpu": "2"}}, None),
        ({"limits": {"cpu": "2"}}, {"limits": {"cpu": "3"}}, "limits.cpu: 3 → 2"),
        ({"limits": {"cpu": "2"}}, {"limits": {}}, "limits.cpu: absent → 2"),
        (
            {"emptyDir": {"sizeLimit": "1Gi"}},
            {"emptyDir": {"sizeLimit": "1024Mi", "medium": ""}},
            None,
        ),
        ({"image": "1Gi"}, {"image": "1024Mi"}, "image: 1024Mi → 1Gi"),
        (
            {"ports": [{"name": "http", "port": 80, "protocol": "TCP"}]},
            {"ports": [{"name": "x", "port": 1, "protocol": "TCP"}]},
            "ports[80]: absent → {'name': 'http', 'port': 80, 'protocol': 'TCP'}",
        ),
        # ports of a NetworkPolicy are no list-map: one more is a hole
        (
            {"ports": [{"port": 1, "protocol": "TCP"}]},
            {"ports": [{"port": 1, "protocol": "TCP"}, {"port": 2, "protocol": "TCP"}]},
            "ports: [{'port': 1, 'protocol': 'TCP'}, {'port': 2, 'protocol': 'TCP'}]"
            " → [{'port': 1, 'protocol': 'TCP'}]",
        ),
        ({"args": ["a", "b"]}, {"args": ["b", "a"]}, "args[0]: b → a"),
        ({"a": "x" * 200}, {"a": 1}, f"a: 1 → {'x' * 79}…"),
    ],
)
def test_differences(desired: Object, live: Object, difference: str | None) -> None:
    assert first_difference(desired, live) == difference


def test_a_field_no_longer_wanted_is_seen_by_the_digest() -> None:
    before = _deployment()
    wanted = copy.deepcopy(before)
    del wanted["spec"]["template"]["spec"]["enableServiceLinks"]
    wanted["metadata"]["annotations"][names.ANNOTATION_APPLIED] = digest(wanted)
    assert first_difference(wanted["spec"], before["spec"]) is None
    assert needs_apply(wanted, before) == f"last applied {digest(before)}, wanted {digest(wanted)}"


def test_an_object_nobody_applied() -> None:
    wanted = _deployment()
    live = copy.deepcopy(wanted)
    del live["metadata"]["annotations"]
    assert needs_apply(wanted, live) == f"last applied by nobody, wanted {digest(wanted)}"


def test_digest_ignores_only_its_own_annotation() -> None:
    wanted = _deployment()
    other = copy.deepcopy(wanted)
    other["metadata"]["annotations"][names.ANNOTATION_APPLIED] = "x"
    assert digest(other) == digest(wanted)
    other["metadata"]["annotations"]["a"] = "b"
    assert digest(other) != digest(wanted)


def test_revision_follows_the_pod_template_and_nothing_else() -> None:
    assert revision(_deployment()) == revision(_deployment(surge=0, replicas=5))
    assert revision(_deployment()) != revision(_deployment(drain_s=30))


def _scalar_paths(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict):
        return [p for k, v in value.items() for p in _scalar_paths(v, (*path, k))]
    if isinstance(value, list):
        return [p for i, v in enumerate(value) for p in _scalar_paths(v, (*path, i))]
    return [path]


@given(st.data())
def test_any_changed_field_is_found_and_named(data: st.DataObject) -> None:
    case = data.draw(st.sampled_from(CASES))
    wanted = data.draw(st.sampled_from(case.render()))
    path = data.draw(st.sampled_from(_scalar_paths(wanted)))
    live = copy.deepcopy(wanted)
    parent = live
    for step in path[:-1]:
        parent = parent[step]
    parent[path[-1]] = "7777"  # a legal quantity, too
    difference = needs_apply(wanted, live)
    assert difference is not None
    assert "→" in difference or "last applied 7777" in difference


def test_the_same_input_gives_the_same_objects() -> None:
    for case in CASES:
        assert case.render() == case.render()
