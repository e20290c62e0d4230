"""What cannot be placed, and nodes that say nonsense: a condition each, and nobody else's problem.

KWOK's nodes, each case on a GPU model of its own, so that none takes from another. Numbers that are
absurd are refused by the API server: tests/api/test_cluster_refusals.py.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from conch.api import names
from conch.kube.transport import path
from conch.kube.views import Object
from e2e.placement import live
from e2e.testbed.gpus import RESOURCE, GpuModel
from e2e.testbed.images import triton
from tests.e2e.bed import Bed
from tests.e2e.cases import Cases
from tests.e2e.room import LIMIT_S, Room, fake

pytestmark = [pytest.mark.node, pytest.mark.timeout(300)]

case = Cases()

A2 = GpuModel("NVIDIA-A2", 15356, "ampere", (8, 6), "a2-machine", 2)
A16 = GpuModel("NVIDIA-A16", 15356, "ampere", (8, 6), "a16-machine", 2)
A6000 = GpuModel("NVIDIA-RTX-A6000", 49140, "ampere", (8, 6), "a6000-machine", 2)
A40 = GpuModel("NVIDIA-A40", 46068, "ampere", (8, 6), "a40-machine", 2)
PRODUCT = "nvidia.com/gpu.product"
SLICES = path("resource.k8s.io/v1", "resourceslices")


@asynccontextmanager
async def _there(room: Room, collection: str, body: Object) -> AsyncIterator[str]:
    """An object that belongs to no namespace; gives its name."""
    await room.api.create(collection, body)
    name: str = body["metadata"]["name"]
    try:
        yield name
    finally:
        await room.api.delete(f"{collection}/{name}")


def _placed(accelerators: Object, **placement: Any) -> Object:
    body = fake()
    return {**body, "placement": {**body["placement"], "accelerators": accelerators, **placement}}


@case
async def preferences_that_contradict_each_other(room: Room) -> None:
    fake_node = {"conch.test/kind": "fake"}
    wanted = {
        "other-label": (
            _placed({"classes": ["l40s"]}, nodeSelector={**fake_node, PRODUCT: "Tesla-T4"}),
            "NoCapacity",
            "nodeSelector",
        ),
        "other-site": (
            _placed({}, sites=["oslo"], nodeSelector={**fake_node, names.LABEL_SITE: "rome"}),
            "NoCapacity",
            "nodeSelector",
        ),
        "too-small": (_placed({"classes": ["t4"], "minMemory": "40Gi"}), "NothingFits", "40Gi"),
        "no-such": (_placed({"classes": ["l4", "l5"], "minMemory": "900Gi"}), "NothingFits", "900"),
    }
    for name, (body, _, _) in wanted.items():
        await room.create(name, body)
    for name, (_, reason, says) in wanted.items():
        await room.reports(name, "Placed", "False", reason, says)
    assert await room.pods() == []


@case
async def a_class_that_matches_no_node(room: Room) -> None:
    moon = {
        "apiVersion": names.API_VERSION,
        "kind": "AcceleratorClass",
        "metadata": {"name": "moon"},
        "spec": {"nodeSelector": {"conch.test/where": "moon"}, "memory": "24Gi"},
    }
    async with _there(room, path(names.API_VERSION, "acceleratorclasses"), moon):
        await room.create("web", fake(["moon"]))
        await room.reports("web", "Placed", "False", "NoCapacity", "no node has the labels")
        assert await room.pods() == []
        await room.change("web", {"spec": {"placement": {"accelerators": {"classes": ["l40s"]}}}})
        await room.ready("web")


@case
async def nodes_with_wrong_labels(room: Room) -> None:
    odd = (
        {PRODUCT: "NVIDIA-A100-SXM4-40GB-MIG-INVALID", "nvidia.com/gpu.count": "0"},
        {"nvidia.com/gpu.count": "many", "nvidia.com/gpu.memory": "999999999999999999"},
        {PRODUCT: "NVIDIA-A2", "nvidia.com/gpu.replicas": "0", "nvidia.com/gpu.count": "0"},
        {"nvidia.com/mig.strategy": "mixed", "nvidia.com/mig-1g.5gb.count": "x"},
    )
    async with AsyncExitStack() as stack:
        for number, labels in enumerate(odd):
            body = live.node(9200 + number, A2, 2)
            body["metadata"]["labels"] |= labels
            for amounts in (body["status"]["capacity"], body["status"]["allocatable"]):
                amounts[RESOURCE] = "0"
            await stack.enter_async_context(_there(room, live.NODES, body))
        await room.create("odd", fake(["a2"]))
        await room.create("sane", fake(["l40s"]))
        await room.reports("odd", "Placed", "False", "NoCapacity", "a2")
        await room.ready("sane")


@case
async def nodes_that_the_image_does_not_run_on(room: Room) -> None:
    """kube-scheduler agrees: it would have spread over both nodes."""
    runtime = {
        "apiVersion": names.API_VERSION,
        "kind": "TritonRuntime",
        "metadata": {"name": "amd-alone"},
        "spec": {"image": triton.TAG, "release": "24.10", "architectures": ["amd64"]},
    }
    arm, amd = (live.node(9500 + number, A6000, 2) for number in range(2))
    arm["metadata"]["labels"] |= {names.LABEL_ARCH: "arm64"}
    amd["metadata"]["labels"] |= {names.LABEL_DRIVER: "450"}
    body = fake(["rtx-a6000"], runtime="amd-alone", scaling={"mode": "Fixed", "replicas": 2})
    runtimes = path(names.API_VERSION, "tritonruntimes")
    async with AsyncExitStack() as stack:
        name = await stack.enter_async_context(_there(room, runtimes, runtime))
        await stack.enter_async_context(_there(room, live.NODES, arm))
        await room.create("web", body)
        says = "1 node, 1 arm64, and the TritonRuntime is for amd64"
        await room.reports("web", "Placed", "False", "NoCapacity", says)
        node = await stack.enter_async_context(_there(room, live.NODES, amd))
        old = "1 with NVIDIA driver 450, and the TritonRuntime needs 470 or newer"

        async def told() -> bool:
            return old in str((await room.get("web")).get("status"))

        room.now()
        await room.until(told, 4 * LIMIT_S, room.nothing, "the driver is named")
        room.now()
        await room.api.merge_patch(f"{runtimes}/{name}", {"spec": {"minDriver": 450}})
        await room.ready("web")
        assert {p["spec"]["nodeName"] for p in await room.pods()} == {node}


@case
async def capacity_shrinks_under_running_pods(room: Room) -> None:
    async with _there(room, live.NODES, live.node(9300, A16, 2)) as node:
        await room.create("web", fake(["a16"], scaling={"mode": "Fixed", "replicas": 2}))
        await room.whole("web")
        before = {p["metadata"]["uid"] for p in await room.pods()}
        shrunk = {"status": {"allocatable": {RESOURCE: "1"}}}
        await room.api.merge_patch(f"{live.NODES}/{node}/status", shrunk)
        await room.change("web", {"spec": {"scaling": {"mode": "Fixed", "replicas": 3}}})
        await room.reports("web", "Available", "True", "Unschedulable", "2 of 3")
        assert before < {p["metadata"]["uid"] for p in await room.pods()}
        await room.reports("web", "Ready", "True", "Ready")


@case
async def slices_that_disagree_with_allocatable(room: Room) -> None:
    """Units are what the device plugin offers, whatever a DRA driver publishes of the same node."""
    devices = [{"name": f"gpu-{n}"} for n in range(5)]
    async with AsyncExitStack() as stack:
        node = await stack.enter_async_context(_there(room, live.NODES, live.node(9400, A40, 1)))
        for where in (node, "kwok-gpu-9999"):
            pool = {"name": where, "generation": 1, "resourceSliceCount": 1}
            body = {
                "apiVersion": "resource.k8s.io/v1",
                "kind": "ResourceSlice",
                "metadata": {"name": f"{where}-odd.conch.test"},
                "spec": {
                    "driver": "odd.conch.test",
                    "nodeName": where,
                    "pool": pool,
                    "devices": devices,
                },
            }
            await stack.enter_async_context(_there(room, SLICES, body))
        await room.create("web", fake(["a40"], scaling={"mode": "Fixed", "replicas": 2}))
        await room.reports("web", "Available", "True", "Unschedulable", "1 of 2", within_s=30)
        late = fake(["a40"])
        await room.create("late", late)
        await room.reports("late", "Placed", "False", "NoCapacity", "0 of 1 GPU free")


@pytest.mark.parametrize("name", case.names)
def test_bad_placement(name: str, bed: Bed, request: pytest.FixtureRequest) -> None:
    case.judge(name, bed, request)
