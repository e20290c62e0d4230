"""The operator and kube-scheduler, with nodes that a node autoscaler would make: made by hand.

Nothing runs on these nodes; what counts is where kube-scheduler binds the pods.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from conch.api import names
from conch.errors import NotFound
from conch.kube.transport import Api, Object, path
from tests.reconcile.added_nodes import (
    CLASSES,
    GPU,
    NODES,
    OWN,
    WAIT_S,
    accelerator,
    heartbeats,
    node,
    there,
    until,
)
from tests.reconcile.builders import raw

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]

NAMESPACE = "added-nodes"
SERVICES = path(names.API_VERSION, "inferenceservices", NAMESPACE)
PODS = path("v1", "pods", NAMESPACE)


def service(name: str, *classes: str) -> Object:
    placement = {
        "accelerators": {"classes": list(classes)},
        "tolerations": [{**OWN, "operator": "Exists"}],
    }
    made = raw({"placement": placement, "scaling": {"mode": "Fixed", "replicas": 1}})
    return {**made, "metadata": {"name": name, "namespace": NAMESPACE}}


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
        over = asyncio.Event()
        tasks.create_task(heartbeats(api, over))
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

            async def told() -> bool:
                return (await placed(api, "never"))[0] == "Placed"

            await until(told)

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

            async def no_more() -> bool:
                return (await placed(api, "comes"))[0] == "Placed"

            await until(no_more)
        over.set()
    with pytest.raises(NotFound):
        await api.get(f"{NODES}/new")
