"""What the live figures share: a cluster of KWOK, its nodes' bodies, pods as seen by a watch.

Nodes have one or two GPUs here, not a machine's eight: so that there are many nodes, and scarcity.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any

from e2e.bench import services
from e2e.bench.client import DEPLOYMENTS, PODS, SERVICES, Client, Object
from e2e.testbed import ClusterSpec, gpus, kwok

CLUSTER = ClusterSpec(name="bench-place", real_node=False, kwok=True)
NODES = "/api/v1/nodes"
OWN_PODS = PODS.format(services.NAMESPACE)
OWN_DEPLOYMENTS = DEPLOYMENTS.format(services.NAMESPACE)
OWN_SERVICES = SERVICES.format(services.NAMESPACE)
_AT_ONCE = 8


def node(index: int, model: gpus.GpuModel, units: int) -> Object:
    """A KWOK node with that many GPUs of a model; the index makes its name."""
    body = kwok.nodes(1, first=index)[0]
    body["metadata"]["labels"] |= gpus.labels(model, units)
    body["metadata"]["labels"]["node.kubernetes.io/instance-type"] = model.machine
    for amounts in (body["status"]["capacity"], body["status"]["allocatable"]):
        amounts[gpus.RESOURCE] = str(units)
    return body


def taints(*more: Object) -> Object:
    """A patch that gives a node KWOK's own taint and those; a merge patch replaces the list."""
    own = {"key": kwok.NODE_ANNOTATION, "value": "fake", "effect": "NoSchedule"}
    return {"spec": {"taints": [own, *more]}}


async def at_once(work: Iterable[Coroutine[Any, Any, Any]]) -> None:
    """Do all of it, a few at a time."""
    free = asyncio.Semaphore(_AT_ONCE)

    async def one(part: Coroutine[Any, Any, Any]) -> None:
        async with free:
            await part

    await asyncio.gather(*map(one, work))


async def clear_nodes(client: Client) -> None:
    """Delete every node, and what other figures left on them."""
    await client.delete(NODES)
    await client.until(NODES, lambda there: not there)


def alive(pod: Object) -> bool:
    """Whether nobody has asked for its end, and it has not ended by itself."""
    ended = pod.get("status", {}).get("phase") in ("Succeeded", "Failed")
    return not ended and "deletionTimestamp" not in pod["metadata"]


def is_ready(pod: Object) -> bool:
    """Whether it serves, and will go on."""
    conditions = pod.get("status", {}).get("conditions", [])
    return alive(pod) and any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
