"""The test bed on this machine: up, used, killed in the middle, and gone without a trace."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.testbed import Cluster, ClusterSpec, Progress, TestbedError, layout, machine, namespaces
from e2e.testbed.layout import Layout

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(300),
    pytest.mark.skipif(
        sys.platform != "linux" or os.geteuid() != 0, reason="the test bed needs Linux and root"
    ),
]

QUIET = Progress(quiet=True)


def traces(place: Layout) -> list[str]:
    """Whatever on this machine still belongs to the cluster."""
    found = [str(path) for path in Path("/sys/fs/cgroup").glob(f"*/{place.cgroup}")]
    found += [str(path) for path in (place.state, place.namespace_file) if path.exists()]
    found += [line for line in Path("/proc/mounts").read_text().splitlines() if place.name in line]
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if f"{place.state}/" in command or f"{place.namespace_file} " in command:
                found.append(command)
    return found


@pytest.fixture
def spec() -> Iterator[ClusterSpec]:
    spec = ClusterSpec(name="test-bed", real_node=False, kwok_nodes=3, audit=True)
    Cluster(spec, QUIET).down()
    yield spec
    Cluster(spec, QUIET).down()


def test_a_cluster_comes_up_twice_serves_and_leaves_no_trace(spec: ClusterSpec) -> None:
    cluster = Cluster(spec, QUIET)
    cluster.up()
    holder = namespaces.find_holder(cluster.place)
    Cluster(spec, QUIET).up()
    assert namespaces.find_holder(cluster.place) == holder, (
        "up on a cluster that is up made another"
    )

    nodes = json.loads(cluster.kubectl("get", "nodes", "-o", "json"))["items"]
    assert len(nodes) == 3
    cluster.kubectl("create", "namespace", "seen")
    writes = [json.loads(line) for line in cluster.audit_log.read_text().splitlines()]
    assert [
        (one["verb"], one["user"]["username"], one["responseStatus"]["code"])
        for one in writes
        if one["objectRef"]["resource"] == "namespaces" and one["objectRef"].get("name") == "seen"
    ][:1] == [("create", "admin", 201)]
    assert not {one["verb"] for one in writes} & {"get", "list", "watch"}

    outside = ["kubectl", "--kubeconfig", str(cluster.kubeconfig), "get", "--raw", "/readyz"]
    environment = cluster.environment()
    answer = subprocess.run(outside, env=environment, capture_output=True, text=True, check=True)
    assert answer.stdout == "ok"

    sleeper = cluster.popen(["sleep", "1000"])
    cluster.down()
    assert sleeper.wait(10) == -signal.SIGKILL
    assert traces(cluster.place) == []


def test_nothing_leads_out_of_the_namespace(spec: ClusterSpec) -> None:
    with Cluster(spec, QUIET) as cluster:
        routes = cluster.run(["ip", "route"], capture_output=True, text=True, check=True).stdout
    assert "default" not in routes


def test_two_clusters_stand_side_by_side(spec: ClusterSpec) -> None:
    other = ClusterSpec(name="test-bed-2", real_node=False)
    with Cluster(spec, QUIET) as one:
        with Cluster(other, QUIET) as two:
            two.kubectl("create", "namespace", "only-here")
            with pytest.raises(TestbedError, match="not found"):
                one.kubectl("get", "namespace", "only-here")
        assert traces(two.place) == []
        assert one.kubectl("get", "--raw", "/readyz") == "ok"


@pytest.mark.parametrize("line", ["namespaces", "starting the control plane", "API server ready"])
def test_a_tool_killed_in_the_middle_leaves_what_down_removes(spec: ClusterSpec, line: str) -> None:
    place = Layout(spec.name)
    command = [sys.executable, "-m", "e2e.testbed", "up", f"--name={spec.name}"]
    with subprocess.Popen(
        command, cwd=layout.REPOSITORY, stderr=subprocess.PIPE, text=True
    ) as tool:
        assert tool.stderr is not None
        for said in tool.stderr:
            if line in said:
                tool.kill()
                break
        else:
            pytest.fail(f"the tool never said {line!r}")
    assert not place.spec.exists()
    Cluster(spec, QUIET).down()
    assert traces(place) == []


def test_up_heals_what_a_killed_component_broke(spec: ClusterSpec) -> None:
    cluster = Cluster(spec, QUIET)
    cluster.up()
    holder = namespaces.find_holder(cluster.place)
    assert holder is not None
    machine.kill_and_wait(holder)
    cluster.up()
    assert cluster.kubectl("get", "--raw", "/readyz") == "ok"


def test_down_without_a_cluster_is_no_error(spec: ClusterSpec) -> None:
    Cluster(spec, QUIET).down()
    with pytest.raises(TestbedError, match="is not up"):
        Cluster(spec, QUIET).kubectl("get", "nodes")


@pytest.mark.parametrize("program", ["kube-apiserver", "etcd", "kwok"])
def test_a_restarted_program_goes_on_with_the_state(spec: ClusterSpec, program: str) -> None:
    with Cluster(spec, QUIET) as cluster:
        cluster.restart(program)
        assert cluster.is_up()
        assert len(cluster.kubectl("get", "nodes", "-o", "name").split()) == spec.kwok_nodes
