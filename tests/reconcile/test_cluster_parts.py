"""One service on two classes, on a real API server, its Deployment controller and kube-scheduler.

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

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(480)]

NAMESPACE = "parts"
SETTINGS = {"CONCH_PLACEMENT_STEADY_S": "5"}
SERVICES = path(names.API_VERSION, "inferenceservices", NAMESPACE)
DEPLOYMENTS = path("apps/v1", "deployments", NAMESPACE)


def service() -> Object:
    placement = {
        "accelerators": {"classes": ["parts-first", "parts-second"]},
        "tolerations": [{**OWN, "operator": "Exists"}],
    }
    made = raw({"placement": placement, "scaling": {"mode": "Fixed", "replicas": 6}})
    return {**made, "metadata": {"name": "splitter", "namespace": NAMESPACE}}


async def test_a_service_is_on_two_classes_while_neither_has_room_for_all(
    cluster: Cluster, api: Api, operator: None
) -> None:
    """Three here and three there; all on one when there is room; on both when that goes again."""
    here = (
        (CLASSES, accelerator("parts-first", added=False)),
        (CLASSES, accelerator("parts-second", added=False)),
        (NODES, node("parts-a", "parts-first", 3)),
        (NODES, node("parts-b", "parts-second", 3)),
    )
    apart = ["parts-a"] * 3 + ["parts-b"] * 3

    async def deployments() -> dict[str, int]:
        live = await api.list(DEPLOYMENTS)
        return {d["metadata"]["name"]: d["spec"]["replicas"] for d in live}

    async def is_apart() -> bool:
        return await nodes_of_ready(api, NAMESPACE) == apart

    async def nodes_are_up() -> bool:
        nodes = [await api.get(f"{NODES}/{name}") for name in ("parts-a", "parts-b")]
        return all(node["spec"]["taints"] == [OWN] for node in nodes)

    async with there(api, *here), asyncio.TaskGroup() as tasks:
        over = asyncio.Event()
        tasks.create_task(heartbeats(api, over))
        tasks.create_task(kubelet(api, cluster, NAMESPACE, over))
        await until(nodes_are_up)
        await api.create(SERVICES, service())
        await until(is_apart)
        assert await deployments() == {"splitter": 3, "splitter-on-parts-second": 3}

        async def told() -> Object | None:
            status: Object = (await api.get(f"{SERVICES}/splitter")).get("status", {})
            ready = {c["type"]: c["status"] for c in status.get("conditions", ())}.get("Ready")
            return status if ready == "True" and status.get("readyReplicas") == 6 else None

        status = await until(told)
        assert [(p["accelerator"], p["readyReplicas"]) for p in status["parts"]] == [
            ("parts-first", 3),
            ("parts-second", 3),
        ]
        placed = next(c for c in status["conditions"] if c["type"] == "Placed")
        assert placed["message"].endswith("; 3 replicas on parts-first, 3 replicas on parts-second")

        async with there(api, (NODES, node("parts-more", "parts-first", 3))):
            fewest = 6

            async def gathered() -> bool:
                nonlocal fewest
                ready = await nodes_of_ready(api, NAMESPACE)
                fewest = min(fewest, len(ready))
                return ready == ["parts-a"] * 3 + ["parts-more"] * 3

            await until(gathered, 120)
            assert fewest == 6, "each new one was ready before an old one ended"

            async def one_deployment() -> bool:
                return await deployments() == {"splitter": 6}

            await until(one_deployment)
        # The node is gone, and with it half of the replicas.

        async def is_served_again() -> bool:
            return [n for n in await nodes_of_ready(api, NAMESPACE) if n != "parts-more"] == apart

        await until(is_served_again, 120)
        over.set()
