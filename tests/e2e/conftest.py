"""The cluster of these tests, with an operator and a neighbour that nothing may disturb."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from conch.api import names
from e2e.testbed import Cluster, ClusterSpec, Progress
from tests.e2e.bed import REPOSITORY, Bed

CRDS = sorted((REPOSITORY / "crds").glob("*.yaml"))


@pytest.fixture(scope="session")
def bed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bed]:
    """A real node with more GPUs than the cases need, and one KWOK node of every model."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("the test bed's node needs root on Linux")
    name = os.environ.get("CONCH_E2E_CLUSTER", "e2e")
    spec = ClusterSpec(name=name, gpus=64, kwok_nodes=5, images=("operator", "triton"))
    cluster = Cluster(spec, Progress(quiet=True))
    log = tmp_path_factory.mktemp("operator") / "operator.log"
    cluster.down()  # one that a killed run left is up, and full of its services
    with cluster:
        files = [part for crd in CRDS for part in ("-f", str(crd))]
        cluster.kubectl("apply", "--server-side", *files)
        cluster.kubectl("wait", "--for=condition=Established", "--timeout=30s", *files)
        cluster.kubectl("create", "namespace", "conch-system")
        whole = Bed(cluster, log)
        try:
            whole.operator.start()
            whole.operator.wait_until_it_acts()
            whole.run(whole.settle())
            yield whole
        finally:
            whole.operator.kill()
            whole.close()
            print(f"\n{_table(whole)}\n{names.GROUP} operator log: {log}")


def _table(bed: Bed) -> str:
    rows = sorted(bed.shared.times, key=lambda row: -row[2])
    return "\n".join(f"{took_s:6.1f} s  {room:24} {what}" for room, what, took_s in rows)


@pytest.fixture(scope="session")
def fleet(bed: Bed) -> Iterator[None]:
    """Servers that answer for KWOK's pods; steered through 127.0.0.1:8003 inside."""
    process = bed.cluster.popen(
        [sys.executable, "-m", "e2e.fleet", "--model", "m"],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        assert b"listens" in process.stdout.readline()
        yield
    finally:
        process.kill()
        process.wait()
        if process.stdout is not None:
            process.stdout.close()
