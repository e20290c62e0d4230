"""Cleaner zones on a real API server: kube-scheduler follows what pods prefer, as far as there is
room, and nobody waits for it.

Nothing runs on the nodes: a few lines here tell of pods what a kubelet would.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from conch.api import names
from conch.kube.transport import Api, Object, path
from conch.render.areas import preferred
from tests.reconcile.added_nodes import (
    CLASSES,
    NODES,
    OWN,
    POOL,
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

NAMESPACE = "zones"
SETTINGS = {
    "CONCH_PLACEMENT_STEADY_S": "5",
    "CONCH_CARBON_SOURCE": "Static",
    "CONCH_CARBON_INTENSITY": "zones-north=60,zones-south=600,*=475",
}
REPLICAS = 3
SERVICES = path(names.API_VERSION, "inferenceservices", NAMESPACE)
DEPLOYMENTS = path("apps/v1", "deployments", NAMESPACE)
EVENTS = path("v1", "events", NAMESPACE)
NORTH, SOUTH = (names.LABEL_ZONE, "zones-north"), (names.LABEL_ZONE, "zones-south")


def at(zone: tuple[str, str], gpus: int) -> tuple[str, Object]:
    made = node(zone[1], "zones-gpu", gpus)
    made["metadata"]["labels"] |= dict([zone])
    return NODES, made


def service(name: str, replicas: int) -> tuple[str, Object]:
    placement = {
        "accelerators": {"classes": ["zones-gpu"]},
        "optimise": "Carbon",
        "tolerations": [{**OWN, "operator": "Exists"}],
    }
    made = raw({"placement": placement, "scaling": {"mode": "Fixed", "replicas": replicas}})
    return SERVICES, {**made, "metadata": {"name": name, "namespace": NAMESPACE}}


async def test_pods_go_where_it_is_cleaner_and_stay_there(
    cluster: Cluster, api: Api, operator: None
) -> None:
    gpu = accelerator("zones-gpu", added=False)
    assert gpu["spec"]["nodeSelector"] == {POOL: "zones-gpu"}
    here = ((CLASSES, gpu), at(SOUTH, 5), service("green", REPLICAS))
    async with there(api, *here), asyncio.TaskGroup() as tasks:
        over = asyncio.Event()
        tasks.create_task(heartbeats(api, over))
        tasks.create_task(kubelet(api, cluster, NAMESPACE, over))

        async def where(expected: Counter[str]) -> bool:
            return Counter(await nodes_of_ready(api, NAMESPACE)) == expected

        await until(lambda: where(Counter({SOUTH[1]: REPLICAS})))
        async with there(api, at(NORTH, 2)):
            fewest = REPLICAS

            async def arrived() -> bool:
                nonlocal fewest
                ready = await nodes_of_ready(api, NAMESPACE)
                fewest = min(fewest, len(ready))
                return Counter(ready) == Counter({NORTH[1]: 2, SOUTH[1]: 1})

            await until(arrived, 120)
            assert fewest == REPLICAS, "each new one was ready before an old one ended"

            async def told() -> list[str]:
                events = await api.list(EVENTS)
                return [e["message"] for e in events if e["reason"] == "Moving"]

            # A site of which nothing is known adds half: 60 and 600 g at the machines.
            moved = "moves to zones-north: 94 g CO2e/kWh there, 936 where it is"
            assert await until(told) == [moved]

            async def settled() -> bool:
                live = await api.get(f"{SERVICES}/green")
                conditions = {c["type"]: c for c in live["status"]["conditions"]}
                return bool(
                    conditions["Placed"]["reason"] == "Placed"
                    and conditions["Ready"]["status"] == "True"
                    and live["status"].get("zones")
                    == [
                        {"name": NORTH[1], "replicas": 2, "readyReplicas": 2},
                        {"name": SOUTH[1], "replicas": 1, "readyReplicas": 1},
                    ]
                )

            await until(settled)
            before = await api.get(f"{DEPLOYMENTS}/green")
            assert preferred(before) == ((NORTH,), (SOUTH,))
            # The north is full: one that comes now prefers it as well, and does not wait for it.
            async with there(api, service("late", 1)):
                await until(lambda: where(Counter({NORTH[1]: 2, SOUTH[1]: 2})))
                late = await api.get(f"{DEPLOYMENTS}/late")
                assert preferred(late) == preferred(before)
            after = await api.get(f"{DEPLOYMENTS}/green")
            assert after["metadata"]["generation"] == before["metadata"]["generation"]
        over.set()
