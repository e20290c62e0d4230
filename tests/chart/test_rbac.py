"""The roles against the code: what the operator watches and holds, it may."""

from __future__ import annotations

from typing import Any

import pytest

from conch.api import names
from conch.observe.state import ClusterState
from conch.reconcile import memory
from conch.reconcile.queue import WorkQueue
from conch.wiring import runtime
from conch.wiring.changes import Changes
from conch.wiring.watches import watches
from tests.chart.conftest import Render, of_kind

OWN_KINDS = ("inferenceservices", "tritonruntimes", "acceleratorclasses")


def _granted(objects: list[dict[str, Any]]) -> set[tuple[str, str, str]]:
    """(group, resource, verb) of every rule of the operator's own roles."""
    return {
        (group, resource, verb)
        for role in of_kind(objects, "ClusterRole") + of_kind(objects, "Role")
        if not role["metadata"]["name"].endswith(("-view", "-edit", "-activator"))
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


def _resource(path: str) -> tuple[str, str]:
    parts = path.strip("/").split("/")
    return ("", parts[2]) if parts[0] == "api" else (parts[1], parts[3])


@pytest.mark.parametrize("values", [{}, {"watchNamespaces": ["team"]}], ids=["cluster", "one"])
def test_everything_that_is_watched_may_be_watched(render: Render, values: dict[str, Any]) -> None:
    granted = _granted(render(values))
    changes = Changes(ClusterState(), WorkQueue(), lambda: None)
    mirrors = watches(None, changes, ())  # type: ignore[arg-type]
    watched = {_resource(mirror._path) for mirror in mirrors}
    assert ("", "nodes") in watched
    watched |= {(names.GROUP, kind) for kind in OWN_KINDS}
    # kopf's: without these it waits for ever, and says so only in its log.
    watched |= {("apiextensions.k8s.io", "customresourcedefinitions")}
    watched |= {("", "namespaces")} if values else set()
    missing = {(g, r, v) for g, r in watched for v in ("list", "watch")} - granted
    assert missing == set()


def test_children_may_be_made_and_removed(render: Render) -> None:
    granted = _granted(render())
    for group, resource in (
        ("apps", "deployments"),
        ("", "services"),
        ("networking.k8s.io", "networkpolicies"),
        ("discovery.k8s.io", "endpointslices"),
        ("policy", "poddisruptionbudgets"),
        ("resource.k8s.io", "resourceclaimtemplates"),
    ):
        for verb in ("get", "create", "patch", "delete"):  # server-side apply: create and patch
            assert (group, resource, verb) in granted


def test_the_operator_never_writes_what_users_own(render: Render) -> None:
    writes = {
        (group, resource)
        for group, resource, verb in _granted(render())
        if verb not in ("get", "list", "watch")
    }
    users = {(names.GROUP, kind) for kind in OWN_KINDS} | {("", "pods"), ("", "nodes")}
    assert not writes & users


def test_the_lease_and_the_memory_are_those_the_operator_holds(render: Render) -> None:
    named = {
        (group, resource, verb): rule["resourceNames"]
        for role in of_kind(render(), "Role")
        for rule in role["rules"]
        if "resourceNames" in rule
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }
    assert named == {
        ("coordination.k8s.io", "leases", "get"): [runtime.LEASE_NAME],
        ("coordination.k8s.io", "leases", "update"): [runtime.LEASE_NAME],
        ("", "configmaps", "get"): [memory.CONFIG_MAP],
        ("", "configmaps", "patch"): [memory.CONFIG_MAP],
    }
    anywhere = {r for _, r, _ in _granted(of_kind(render(), "ClusterRole"))}
    assert "configmaps" not in anywhere
