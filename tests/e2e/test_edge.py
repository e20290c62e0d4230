"""A site that is cut off from the API server: it serves on, nothing is replaced or scaled down.

The node is real, and so is the cut: its programs' packets vanish, nobody is told. Requests and the
operator's looks at the pod come from inside the same machine and still pass. On reconnection
kube-proxy hears for a moment that the pod is not ready, until its kubelet has said otherwise: what
is sent then is not judged.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from conch.api import names
from e2e.bench import real_world, services
from e2e.bench.audit import AuditLog
from e2e.bench.client import DEPLOYMENTS, PODS, SERVICES, Client, Object, Objects, is_ready
from e2e.bench.figure import Context
from e2e.bench.inside import run
from e2e.bench.real_load import Told, load
from e2e.testbed import Cluster, Progress, layout

CLUSTER = os.environ.get("CONCH_E2E_CLUSTER", "e2e") + "-edge"
_NODES = "/api/v1/nodes"
_NAME, _SITE = "web", "oslo"
_CUT_S = 50.0
_GRACE_S = 16
_LIMIT_S = 240.0
# Kubernetes notices after the grace; the kubelet comes back with the next retransmission.
_NOTICED_S, _BACK_S = 40.0, 60.0


@pytest.mark.node
@pytest.mark.timeout(400)
def test_a_site_that_is_cut_off_serves_on_and_comes_back_as_it_was(tmp_path: Path) -> None:
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("the test bed's node needs root on Linux")
    with contextlib.closing(Context(Progress(quiet=True), tmp_path)) as ctx:
        cluster = real_world.prepared(ctx, CLUSTER, gpus=2, node_grace_s=_GRACE_S)
        operator = real_world.operator(ctx, cluster, "edge")
        with operator:
            loads, writes = run(cluster, _cut_off(cluster), _LIMIT_S)
        assert operator.tracebacks() == []
    for told in loads:
        assert told.summary["sent"] > 10
        assert told.failed == 0, told.why
    assert writes == [], "a pod was made, evicted or deleted, or a Deployment changed"


async def _cut_off(cluster: Cluster) -> tuple[tuple[Told, ...], list[str]]:
    async with Client(cluster) as client:
        site = {"metadata": {"labels": {names.LABEL_SITE: _SITE}}}
        await client.patch(f"{_NODES}/{layout.NODE}", site)
        address = await real_world.serve(client, _NAME, [_SITE], mode="Fixed", replicas=1)
        before = await _pods(client)
        assert before.values(), "no pod"
        log = AuditLog(cluster.audit_log)
        sending = asyncio.create_task(load(cluster, address, f"5x{_CUT_S:.0f}"))
        try:
            with cluster.cut_off():
                await _until(client, _NODES, lambda all_: not _node_is_ready(all_), _NOTICED_S)
                await _until(client, _PATH, lambda all_: _site(all_)["connected"] is False, 10)
                # Of a site that is cut off Kubernetes would end the pod first.
                await real_world.change(client, _NAME, {"scaling": {"replicas": 0}})
                await _until(client, _PATH, _is_held, 10)
                await real_world.change(client, _NAME, {"scaling": {"replicas": 1}})
                assert not sending.done()
                meanwhile = await sending
            # What the node has to say comes late, and is no reason to do anything.
            await _until(client, _NODES, _node_is_ready, _BACK_S)
            await _until(client, _PATH, _at_rest, 20)
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)
        afterwards = await load(cluster, address, "5x5")
        assert await _pods(client) == before, "the pod is another, or a container restarted"
        writes = [
            f"{w.user_agent}: {w.verb} {w.resource} {w.name}"
            for w in log.new()
            if w.namespace == services.NAMESPACE and w.resource in _NOT_WRITTEN
        ]
    return (meanwhile, afterwards), writes


_PATH = SERVICES.format(services.NAMESPACE)
_NOT_WRITTEN = ("pods", "pods/eviction", DEPLOYMENTS.rpartition("/")[2], "replicasets")


async def _until(
    client: Client, path: str, done: Callable[[Objects], Any], within_s: float
) -> None:
    async with asyncio.timeout(within_s):
        await client.until(path, done)


async def _pods(client: Client) -> dict[str, list[int]]:
    """Every pod's containers' restarts, by uid; none of them is on its way out."""
    pods = await client.items(PODS.format(services.NAMESPACE))
    assert not [p for p in pods if "deletionTimestamp" in p["metadata"]]
    return {
        p["metadata"]["uid"]: [c["restartCount"] for c in p["status"]["containerStatuses"]]
        for p in pods
    }


def _node_is_ready(nodes: Objects) -> bool:
    conditions = nodes[layout.NODE]["status"]["conditions"]
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def _site(there: Objects) -> Object:
    (site,) = there[_NAME]["status"]["sites"]
    found: Object = site
    return found


def _is_held(there: Objects) -> bool:
    status = there[_NAME]["status"]
    scaling = next(c for c in status["conditions"] if c["type"] == "Scaling")
    held = f"1 replicas. (not scaled down while {_SITE} is cut off)"
    return status["desiredReplicas"] == 1 and held in scaling["message"]


def _at_rest(there: Objects) -> bool:
    connected = {"name": _SITE, "replicas": 1, "readyReplicas": 1, "connected": True}
    return is_ready(there[_NAME]) and _site(there) == connected
