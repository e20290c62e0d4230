"""Every pod we render passes Pod Security level `restricted`, by a check of our own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from conch.kube.views import Object
from tests.render.cases import CASES, Case

# https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
ALLOWED_VOLUMES = {
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "persistentVolumeClaim",
    "projected",
    "secret",
}


def violations(pod: Object) -> Iterator[str]:
    """Everything in a pod spec that `restricted` forbids or requires and that does not hold."""
    for field in ("hostNetwork", "hostPID", "hostIPC"):
        if pod.get(field):
            yield field
    for volume in pod.get("volumes", []):
        if kinds := set(volume) - {"name"} - ALLOWED_VOLUMES:
            yield f"volume {volume['name']}: {kinds}"
    shared = pod.get("securityContext", {})
    for container in [*pod.get("initContainers", []), *pod["containers"]]:
        yield from _container_violations(container, shared)


def _container_violations(container: Object, shared: Object) -> Iterator[str]:
    name = container["name"]
    own: dict[str, Any] = container.get("securityContext", {})
    effective = {**shared, **own}
    if effective.get("runAsNonRoot") is not True or not effective.get("runAsUser"):
        yield f"{name}: may run as root"
    if own.get("allowPrivilegeEscalation") is not False:
        yield f"{name}: privilege escalation"
    if own.get("privileged"):
        yield f"{name}: privileged"
    if own.get("capabilities", {}).get("drop") != ["ALL"] or own["capabilities"].get("add"):
        yield f"{name}: capabilities"
    if effective.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
        yield f"{name}: seccomp"
    if own.get("readOnlyRootFilesystem") is not True:
        yield f"{name}: writable root file system"
    for port in container.get("ports", []):
        if port.get("hostPort"):
            yield f"{name}: host port"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_restricted(case: Case) -> None:
    deployments = [child for child in case.render() if child["kind"] == "Deployment"]
    assert deployments
    for pod in (deployment["spec"]["template"]["spec"] for deployment in deployments):
        assert list(violations(pod)) == []
        assert pod["automountServiceAccountToken"] is False


def test_the_check_finds_what_it_looks_for() -> None:
    bad = {
        "hostNetwork": True,
        "volumes": [{"name": "root", "hostPath": {"path": "/"}}],
        "containers": [
            {
                "name": "c",
                "securityContext": {"privileged": True},
                "ports": [{"containerPort": 1, "hostPort": 1}],
            }
        ],
    }
    assert len(list(violations(bad))) == 9
