"""A move for a gain on a real API server: Deployment controller and kube-scheduler carry it out.

Nothing runs on the nodes: a few lines here tell of pods what a kubelet would.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from conch.api import names
from conch.kube.transport import Api, Object, path
from tests.reconcile.added_nodes import (
    CLASSES,
    NODES,
    OWN,
    accelerator,
    heartbeats,
    kubelet,
    node,
    nodes_of_ready,
    there,
    until,
)
from tests.reconcile.builders import raw

if TYPE_CHECKING:
    from e2e.testbed import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]

NAMESPACE = "moves"
SETTINGS = {"CONCH_PLACEMENT_STEADY_S": "5"}
REPLICAS = 3
SERVICES = path(names.API_VERSION, "inferenceservices", NAMESPACE)
EVENTS = path("v1", "events", NAMESPACE)


def service() -> Object:
    placement = {
        "accelerators": {"classes": ["moves-first", "moves-second"]},
        "tolerations": [{**OWN, "operator": "Exists"}],
    }
    made = raw({"placement": placement, "scaling": {"mode": "Fixed", "replicas": REPLICAS}})
    return {**made, "metadata": {"name": "mover", "namespace": NAMESPACE}}


async def test_a_service_goes_to_the_class_it_prefers_and_serves_on_meanwhile(
    cluster: Cluster, api: Api, operator: None
) -> None:
    here = (
        (CLASSES, accelerator("moves-first", added=False)),
        (CLASSES, accelerator("moves-second", added=False)),
        (NODES, node("moves-b", "moves-second", 4)),
        (SERVICES, service()),
    )
    async with there(api, *here), asyncio.TaskGroup() as tasks:
        over = asyncio.Event()
        tasks.create_task(heartbeats(api, over))
        tasks.create_task(kubelet(api, cluster, NAMESPACE, over))

        async def all_on(name: str) -> bool:
            return await nodes_of_ready(api, NAMESPACE) == [name] * REPLICAS

        await until(lambda: all_on("moves-b"))
        async with there(api, (NODES, node("moves-a", "moves-first", 4))):
            fewest = REPLICAS

            async def arrives() -> bool:
                nonlocal fewest
                ready = await nodes_of_ready(api, NAMESPACE)
                fewest = min(fewest, len(ready))
                return ready == ["moves-a"] * REPLICAS

            await until(arrives, 120)
            assert fewest == REPLICAS, "each new one was ready before an old one ended"

            async def told() -> list[str]:
                events = await api.list(EVENTS)
                return [e["message"] for e in events if e["reason"] == "Moving"]

            moved = "moves from moves-second to moves-first: it prefers moves-first"
            assert await until(told) == [moved]

            async def settled() -> bool:
                live = await api.get(f"{SERVICES}/mover")
                conditions = {c["type"]: c for c in live["status"]["conditions"]}
                return bool(
                    conditions["Placed"]["reason"] == "Placed"
                    and conditions["Ready"]["status"] == "True"
                    and live["status"]["accelerator"] == "moves-first"
                )

            await until(settled)
        over.set()
