"""Install, use, upgrade, uninstall on a real cluster, with the namespace's pod security enforced.

What the chart grants is enough when a service becomes Ready; what it leaves behind is counted.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from typing import Any

import pytest

from e2e.testbed import Cluster, ClusterSpec, Progress
from e2e.testbed.images import operator, triton
from tests.chart.conftest import CHART

pytestmark = [pytest.mark.node, pytest.mark.timeout(900)]

NAMESPACE = "conch-system"
EXAMPLE = CHART.parents[1] / "examples" / "simple.yaml"
REPOSITORY, TAG = operator.TAG.rsplit(":", 1)
VALUES = {
    "image": {"repository": REPOSITORY, "tag": TAG},
    "runtime": {"image": triton.TAG, "release": "24.10"},
    "resources": {"requests": {"cpu": "10m", "memory": "128Mi"}},
}


@pytest.fixture(scope="module")
def running() -> Iterator[Cluster]:
    """A real node with both images; the operator's namespace admits only restricted pods."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("the test bed's node needs root on Linux")
    spec = ClusterSpec(name="test-chart", images=("operator", "triton"))
    with Cluster(spec, Progress(quiet=True)) as cluster:
        cluster.kubectl("create", "namespace", NAMESPACE)
        label = "pod-security.kubernetes.io/enforce=restricted"
        cluster.kubectl("label", "namespace", NAMESPACE, label)
        yield cluster


def _helm(cluster: Cluster, verb: str, *options: str, **values: Any) -> str:
    command = ["helm", verb, "conch", "-n", NAMESPACE, "--wait", "--timeout=180s", *options]
    if verb != "uninstall":
        command += [str(CHART), "-f", "-"]
    result = cluster.run(command, input=json.dumps(VALUES | values), capture_output=True, text=True)
    assert result.returncode == 0, result.stderr + _operator(cluster)
    return str(result.stdout)


def _operator(cluster: Cluster) -> str:
    """What the operator's pods say, for a failure's message."""
    selector = "-lapp.kubernetes.io/component=operator"
    return "\n".join(
        str(cluster.run(["kubectl", "-n", NAMESPACE, *what], capture_output=True, text=True).stdout)
        for what in (["get", "pods", "-o", "wide"], ["logs", selector, "--tail=40"])
    )


def _get(cluster: Cluster, *what: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = json.loads(cluster.kubectl("get", *what, "-o", "json"))["items"]
    return items


def _ready(cluster: Cluster, name: str) -> None:
    result = cluster.run(
        ["kubectl", "wait", "--for=condition=Ready", f"infs/{name}", "--timeout=120s"],
        capture_output=True, text=True,
    )  # fmt: skip
    why = cluster.kubectl("get", "infs", name, "-o", "yaml")
    assert result.returncode == 0, f"{result.stderr}\n{why}\n{_operator(cluster)}"


def _serving(cluster: Cluster) -> set[str]:
    pods = _get(cluster, "pods", "-l", "conch.dev/service")
    return {p["metadata"]["uid"] for p in pods if "deletionTimestamp" not in p["metadata"]}


def _operators(cluster: Cluster) -> set[str]:
    selector = "app.kubernetes.io/component=operator"
    return {p["metadata"]["name"] for p in _get(cluster, "pods", "-n", NAMESPACE, "-l", selector)}


def _leads(cluster: Cluster) -> None:
    """One of the operator's present pods gets the Lease; the old leader may just have left it."""
    deadline = time.monotonic() + 60
    while True:
        leases = _get(cluster, "lease", "-n", NAMESPACE)
        holders = {lease["spec"].get("holderIdentity") for lease in leases}
        if len(holders) == 1 and holders <= _operators(cluster):
            return
        assert time.monotonic() < deadline, f"led by {holders}\n{_operator(cluster)}"
        time.sleep(0.5)


def test_from_install_to_uninstall(running: Cluster) -> None:
    cluster = running

    # Install: both replicas are admitted and ready, one of them leads.
    assert "kubectl conch why" in _helm(cluster, "install")
    assert len(_operators(cluster)) == 2
    _leads(cluster)

    # Use: the roles are enough to serve a model.
    cluster.kubectl("apply", "-f", str(EXAMPLE))
    _ready(cluster, "resnet")
    serving = _serving(cluster)
    assert serving

    # Upgrade: another operator takes over, what serves is not touched.
    _helm(cluster, "upgrade", logLevel="debug")
    _leads(cluster)
    assert _serving(cluster) == serving

    # Narrow: Roles in the watched namespace replace the ClusterRole, and are enough as well.
    _helm(cluster, "upgrade", watchNamespaces=["default"])
    second = EXAMPLE.read_text().replace("name: resnet\nspec", "name: second\nspec")
    cluster.kubectl("apply", "-f", "-", stdin=second)
    _ready(cluster, "second")
    serving = _serving(cluster)

    # Uninstall: the services stay and serve; install again takes them over as they are.
    _helm(cluster, "uninstall")
    kept = {o["kind"] for o in _get(cluster, "all", "-n", NAMESPACE)}
    assert kept <= {"Pod"}  # on their way out
    _ready(cluster, "resnet")
    assert _serving(cluster) == serving
    _helm(cluster, "install")
    assert _serving(cluster) == serving

    # Nothing of ours holds a deletion up, with or without an operator.
    _helm(cluster, "upgrade", crds={"keep": False})
    _helm(cluster, "uninstall")
    cluster.kubectl("wait", "--for=delete", "crd/inferenceservices.conch.dev", "--timeout=60s")
    cluster.kubectl("wait", "--for=delete", "pods", "-lconch.dev/service", "--timeout=120s")
    for kind in ("deployments", "services", "networkpolicies", "poddisruptionbudgets"):
        assert _get(cluster, kind, "-l", "app.kubernetes.io/managed-by=conch") == []
