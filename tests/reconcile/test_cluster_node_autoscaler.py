"""The operator and kube-scheduler, with nodes that a node autoscaler would make: made by hand.

Nothing runs on these nodes; what counts is where kube-scheduler binds the pods.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from conch.api import names
from conch.errors import NotFound
from conch.kube.transport import Api, Object, path
from tests.reconcile.builders import raw

if TYPE_CHECKING:
    from e2e.testbed import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]

NAMESPACE = "added-nodes"
OPERATOR = Path(__file__).parents[2] / "operator"
SERVICES = path(names.API_VERSION, "inferenceservices", NAMESPACE)
CLASSES = path(names.API_VERSION, "acceleratorclasses")
PODS = path("v1", "pods", NAMESPACE)
NODES = path("v1", "nodes")
GPU = "nvidia.com/gpu"
POOL = "karpenter.sh/nodepool"
# Other tests' pods stay off these nodes.
OWN = {"key": "conch.test/added-nodes", "effect": "NoSchedule"}
READY = {
    "type": "Ready",
    "status": "True",
    "reason": "KubeletReady",
    "lastTransitionTime": "2026-01-01T00:00:00Z",
}
WAIT_S = 30.0


@pytest.fixture
async def api(cluster: Cluster) -> AsyncIterator[Api]:
    async with await Api.connect(cluster.kubeconfig) as client:
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}
        await client.apply(path("v1", "namespaces", name=NAMESPACE), namespace, "test")
        yield client


@pytest.fixture
async def operator(cluster: Cluster, api: Api) -> AsyncIterator[None]:
    settings = {
        "PYTHONPATH": str(OPERATOR),
        "KUBECONFIG": str(cluster.kubeconfig),
        "CONCH_NAMESPACES": NAMESPACE,
        "CONCH_OPERATOR_NAMESPACE": NAMESPACE,
        "CONCH_PROBE_PORT": "0",
        "CONCH_METRICS_PORT": "0",
        "CONCH_BIND_ADDRESS": "127.0.0.1",
    }
    run = "import sys; from conch.cli import main; sys.exit(main())"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", run, "run", env={**os.environ, **settings}
    )
    yield
    assert process.returncode is None, "the operator ended by itself"
    process.kill()
    await process.wait()


def node(name: str, pool: str, gpus: int) -> Object:
    amounts = {"cpu": "32", "memory": "128Gi", "pods": "110"} | ({GPU: str(gpus)} if gpus else {})
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "labels": {POOL: pool, "kubernetes.io/os": "linux"}},
        "spec": {"taints": [OWN]},
        "status": {
            "capacity": amounts,
            "allocatable": amounts,
            "conditions": [READY],
        },
    }


def accelerator(name: str, *, added: bool) -> Object:
    spec: Object = {"nodeSelector": {POOL: name}, "memory": "24Gi"}
    if added:
        spec["provisioning"] = {"maxNodes": 1, "unitsPerNode": 1, "waitFor": f"{WAIT_S:.0f}s"}
    meta = {"name": name}
    return {
        "apiVersion": names.API_VERSION,
        "kind": names.ACCELERATOR_CLASS,
        "metadata": meta,
        "spec": spec,
    }


def service(name: str, *classes: str) -> Object:
    placement = {
        "accelerators": {"classes": list(classes)},
        "tolerations": [{**OWN, "operator": "Exists"}],
    }
    made = raw({"placement": placement, "scaling": {"mode": "Fixed", "replicas": 1}})
    return {**made, "metadata": {"name": name, "namespace": NAMESPACE}}


async def heartbeats(api: Api) -> None:
    """What kubelets would tell, for those of our nodes that are there: that they live."""
    while True:
        for live in await api.list(NODES):
            if any(t["key"] == OWN["key"] for t in live["spec"].get("taints", ())):
                now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
                ready = {**READY, "lastHeartbeatTime": now}
                body = {"status": {"conditions": [ready]}}
                with contextlib.suppress(NotFound):
                    await api.merge_patch(f"{NODES}/{live['metadata']['name']}/status", body)
        await asyncio.sleep(5)


@asynccontextmanager
async def there(api: Api, *objects: tuple[str, Object]) -> AsyncIterator[None]:
    """These objects, for as long as the test lasts."""
    for collection, body in objects:
        await api.create(collection, body)
    try:
        yield
    finally:
        for collection, body in reversed(objects):
            await api.delete(f"{collection}/{body['metadata']['name']}")


async def until(look: Callable[[], Awaitable[Any]], within_s: float = 60) -> Any:
    """What ``look`` finds, as soon as it finds anything."""
    async with asyncio.timeout(within_s):
        while True:
            if found := await look():
                return found
            await asyncio.sleep(0.2)


async def placed(api: Api, name: str) -> tuple[str, str]:
    """Reason and message of the service's condition Placed."""
    live = await api.get(f"{SERVICES}/{name}")
    for condition in live.get("status", {}).get("conditions", []):
        if condition["type"] == "Placed":
            return condition["reason"], condition["message"]
    return "", ""


async def own_pods(api: Api, name: str) -> list[Object]:
    pods = await api.list(PODS)
    return [p for p in pods if p["metadata"]["labels"].get(names.LABEL_SERVICE) == name]


def age_s(pod: Object) -> float:
    made = datetime.fromisoformat(pod["metadata"]["creationTimestamp"])
    return (datetime.now(UTC) - made).total_seconds()


async def test_a_node_comes_and_another_never_does(api: Api, operator: None) -> None:
    """Two services prefer classes without nodes to t4; only one of the classes gets a node."""
    new = node("new", "l4-comes", 0)
    world = (
        (CLASSES, accelerator("l4-comes", added=True)),
        (CLASSES, accelerator("l4-never", added=True)),
        (CLASSES, accelerator("t4-here", added=False)),
        (NODES, node("old", "t4-here", 2)),
        (SERVICES, service("comes", "l4-comes", "t4-here")),
        (SERVICES, service("never", "l4-never", "t4-here")),
        (NODES, new),
    )
    async with there(api, *world[:-1]), asyncio.TaskGroup() as tasks:
        beating = tasks.create_task(heartbeats(api))
        for name in ("comes", "never"):

            async def waits(name: str = name) -> bool:
                reason, message = await placed(api, name)
                return reason == "WaitingForNode" and "up to 30 s for a node" in message

            await until(waits)
        first = (await until(lambda: own_pods(api, "comes")))[0]
        async with there(api, world[-1]):

            async def starts() -> bool:
                return "1 starting" in (await placed(api, "comes"))[1]

            await until(starts)

            # The other class's service turns to t4, and not before its time.
            async def elsewhere() -> list[Object]:
                pods = await own_pods(api, "never")
                return [p for p in pods if p["spec"].get("nodeName") == "old"]

            oldest = (await own_pods(api, "never"))[0]
            await until(elsewhere, WAIT_S + 60)
            assert age_s(oldest) >= WAIT_S
            assert (await placed(api, "never"))[0] == "Placed"

            # Its own deadline passes as well: its node is there, and it stays.
            await asyncio.sleep(max(0.0, WAIT_S + 5 - age_s(first)))
            (pod,) = await own_pods(api, "comes")
            assert pod["metadata"]["uid"] == first["metadata"]["uid"]
            assert "nodeName" not in pod["spec"]

            amounts = {**new["status"]["allocatable"], GPU: "1"}
            units = {"status": {"capacity": amounts, "allocatable": amounts}}
            await api.merge_patch(f"{NODES}/new/status", units)

            async def bound() -> list[str]:
                live = await api.get(f"{SERVICES}/comes")
                names_: list[str] = live.get("status", {}).get("nodes", {}).get("names", [])
                return names_

            assert await until(bound) == ["new"]
            (pod,) = await own_pods(api, "comes")
            assert pod["metadata"]["uid"] == first["metadata"]["uid"], "no pod was made in vain"
            assert (await placed(api, "comes"))[0] == "Placed"
        beating.cancel()
    with pytest.raises(NotFound):
        await api.get(f"{NODES}/new")
