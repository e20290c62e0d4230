"""`conch trace` and `conch simulate --from-cluster` against a cluster: real proxying, real Triton.

As a user whom RBAC gives what docs/simulate.md says, and nothing else.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from conch.twin import traces
from e2e.testbed import Cluster, ClusterSpec, Progress
from e2e.testbed.images import operator, triton

pytestmark = [pytest.mark.node, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
CONCH = Path(sys.executable).with_name("conch")
IMAGE, TAG = operator.TAG.rsplit(":", 1)
VALUES = {
    "image": {"repository": IMAGE, "tag": TAG},
    "runtime": {"image": triton.TAG, "release": "24.10"},
    "resources": {"requests": {"cpu": "10m", "memory": "128Mi"}},
    "replicas": 1,
}
RATE, LOAD_S = 12, 40


@pytest.fixture(scope="module")
def running() -> Iterator[Cluster]:
    """The chart with one operator, and a service that has answered for a while."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("the test bed's node needs root on Linux")
    spec = ClusterSpec(name="test-trace", images=("operator", "triton"))
    with Cluster(spec, Progress(quiet=True)) as cluster:
        cluster.kubectl("create", "namespace", "conch-system")
        _checked(
            cluster,
            ["helm", "install", "conch", str(ROOT / "charts/conch"), "-n", "conch-system"],
            ["--wait", "--timeout=180s", "-f", "-"],
            stdin=json.dumps(VALUES),
        )
        cluster.kubectl("apply", "-f", str(ROOT / "examples/simple.yaml"))
        cluster.kubectl("wait", "--for=condition=Ready", "infs/resnet", "--timeout=180s")
        address = cluster.kubectl("get", "svc", "resnet", "-o", "jsonpath={.spec.clusterIP}")
        _checked(
            cluster,
            [sys.executable, "-m", "e2e.load", "--http", f"http://{address}:8000"],
            ["--model", "resnet", "--phases", f"{RATE}x{LOAD_S}", "--target-ms", "400"],
            ["--every", "60"],
        )
        yield cluster


@pytest.fixture(scope="module")
def user(running: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A kubeconfig of somebody who may edit in `default`, and has the documented Role."""
    text = (ROOT / "docs/simulate.md").read_text()
    role = text.split("```yaml\n", 1)[1].split("```", 1)[0]
    running.kubectl("apply", "-f", "-", stdin=role)
    running.kubectl("create", "serviceaccount", "reader")
    account = "--serviceaccount=default:reader"
    running.kubectl("create", "rolebinding", "edit", "--clusterrole=edit", account)
    running.kubectl(
        "create", "rolebinding", "trace", "-n", "conch-system", "--role=conch-trace", account
    )
    config: dict[str, Any] = yaml.safe_load(running.kubeconfig.read_text())
    token = running.kubectl("create", "token", "reader").strip()
    config["users"] = [{"name": u["name"], "user": {"token": token}} for u in config["users"]]
    file = tmp_path_factory.mktemp("user") / "config"
    file.write_text(yaml.safe_dump(config))
    return file


def _checked(cluster: Cluster, *command: list[str], stdin: str | None = None) -> str:
    words = [word for part in command for word in part]
    done = cluster.run(words, input=stdin, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr
    return str(done.stdout)


def _conch(user: Path, *arguments: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [CONCH, *arguments, "--kubeconfig", str(user)], capture_output=True, text=True
    )
    return done.returncode, done.stdout, done.stderr


def test_what_arrived_comes_back_and_is_simulated(user: Path, tmp_path: Path) -> None:
    file = tmp_path / "resnet.csv"
    code, _, err = _conch(user, "trace", "resnet", "-n", "default", "-o", str(file))
    assert code == 0, err
    trace = traces.load(file)
    assert trace.requests == pytest.approx(RATE * LOAD_S, rel=0.2)  # Poisson arrivals
    assert 0.5 * RATE < max(trace.rates) < 3 * RATE

    code, out, err = _conch(
        user, "simulate", "resnet", "-n", "default", "--from-cluster", "--trace", str(file),
        "--compare", "keda", "--json", "-o", str(tmp_path / "report.html"),
    )  # fmt: skip
    assert code == 0, err
    found = json.loads(out)
    # The example's model sleeps for 40 ms + 10 ms per request; a busy machine adds to it.
    assert 0.05 <= found["service"]["service_s"][0] < 0.25
    assert 0 < found["scenario"]["cold_start_s"] < 120
    assert (tmp_path / "report.html").read_text().startswith("<!doctype html>")


def test_who_may_not_is_told_what_it_takes(running: Cluster, user: Path) -> None:
    running.kubectl("delete", "rolebinding", "trace", "-n", "conch-system")
    code, out, err = _conch(user, "trace", "resnet", "-n", "default")
    assert (code, out) == (1, "")
    assert (
        err == "conch: you may not do that: it takes `get` on leases in namespace conch-system.\n"
    )
