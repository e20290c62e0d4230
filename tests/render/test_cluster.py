"""What we render, on a real API server: accepted as it is, and read back without a difference."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from conch.api import names
from conch.kube.views import Object
from conch.render import needs_apply
from tests.render.cases import CASES, Case

pytestmark = pytest.mark.cluster

NAMESPACE = "render"


@pytest.fixture(scope="module")
def namespace(cluster: Any) -> str:
    """A namespace that warns about and refuses pods below Pod Security level `restricted`."""
    labels = {
        f"pod-security.kubernetes.io/{mode}": "restricted" for mode in ("enforce", "warn", "audit")
    }
    _apply(
        cluster,
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": NAMESPACE, "labels": labels},
        },
    )
    return NAMESPACE


def _apply(cluster: Any, child: Object) -> None:
    cluster.kubectl(
        "apply",
        "--server-side",
        "--field-manager=conch",
        "--validate=strict",
        "--warnings-as-errors",
        "-f",
        "-",
        stdin=json.dumps(child),
    )


def _read(cluster: Any, child: Object) -> Object:
    meta = child["metadata"]
    live: Object = json.loads(
        cluster.kubectl("-n", meta["namespace"], "get", child["kind"], meta["name"], "-o", "json")
    )
    return live


def _in_test_namespace(child: Object, case: Case, namespace: str) -> Object:
    moved = copy.deepcopy(child)
    # No owner: the garbage collector would take what belongs to a service that does not exist.
    name = case.name + child["metadata"]["name"].removeprefix(
        child["metadata"]["labels"][names.LABEL_SERVICE]
    )
    moved["metadata"] |= {"namespace": namespace, "name": name, "ownerReferences": []}
    return moved


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_accepted_and_stored_as_rendered(case: Case, cluster: Any, namespace: str) -> None:
    for child in case.render():
        wanted = _in_test_namespace(child, case, namespace)
        _apply(cluster, wanted)
        live = _read(cluster, wanted)
        assert needs_apply(wanted, live) is None
        _apply(cluster, wanted)
        again = _read(cluster, wanted)
        for part in ("spec", "endpoints", "ports"):
            assert again.get(part) == live.get(part)
