"""Nodes made by hand on a real API server, as a node autoscaler would make them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from conch.api import names
from conch.errors import ConchError, NotFound
from conch.kube.transport import Api, Object, path

if TYPE_CHECKING:
    from e2e.testbed import Cluster

CLASSES = path(names.API_VERSION, "acceleratorclasses")
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


async def heartbeats(api: Api, over: asyncio.Event) -> None:
    """What kubelets would tell, for those of our nodes that are there: that they live."""
    while not over.is_set():
        for live in await api.list(NODES):
            if any(t["key"] == OWN["key"] for t in live["spec"].get("taints", ())):
                now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
                ready = {**READY, "lastHeartbeatTime": now}
                body = {"status": {"conditions": [ready]}}
                with contextlib.suppress(NotFound):
                    await api.merge_patch(f"{NODES}/{live['metadata']['name']}/status", body)
        await rest(over, 5)


async def rest(over: asyncio.Event, at_most_s: float) -> None:
    """Until it is over. A request that is cancelled would leave its connection behind."""
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(over.wait(), at_most_s)


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


async def kubelet(api: Api, cluster: Cluster, namespace: str, over: asyncio.Event) -> None:
    """Pods that are bound become ready; those that end are gone."""
    at_once = (
        "delete",
        "pod",
        "--force",
        "--grace-period=0",
        "--ignore-not-found",
        "-n",
        namespace,
    )
    all_pods = path("v1", "pods", namespace)
    while not over.is_set():
        pods = await api.list(all_pods)
        ending = [p["metadata"]["name"] for p in pods if "deletionTimestamp" in p["metadata"]]
        if ending:
            await asyncio.to_thread(cluster.kubectl, *at_once, *ending)
        for pod in pods:
            name = f"{all_pods}/{pod['metadata']['name']}"
            with contextlib.suppress(ConchError):
                if "deletionTimestamp" in pod["metadata"]:
                    continue
                if pod["spec"].get("nodeName") and not is_ready(pod):
                    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
                    ready = {"type": "Ready", "status": "True", "lastTransitionTime": now}
                    status = {"phase": "Running", "podIP": "10.0.0.1", "conditions": [ready]}
                    await api.merge_patch(f"{name}/status", {"status": status})
        await rest(over, 0.3)


def is_ready(pod: Object) -> bool:
    conditions = pod["status"].get("conditions", ())
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    return ready and "deletionTimestamp" not in pod["metadata"]


async def nodes_of_ready(api: Api, namespace: str) -> list[str]:
    """Where the pods that are ready and not ending are."""
    pods = await api.list(path("v1", "pods", namespace))
    return sorted(p["spec"]["nodeName"] for p in pods if is_ready(p))
