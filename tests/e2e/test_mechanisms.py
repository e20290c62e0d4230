"""How a unit is asked for: claimed devices, capacity types, sites, priorities, queues, schedulers.

KWOK's nodes play the hardware; what the API server and kube-scheduler make of it is real. Kueue is
not installed: of its queue only the label is seen.
"""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from conch.api import names
from conch.kube.transport import path
from conch.kube.views import Object
from tests.e2e.bed import Bed
from tests.e2e.cases import Cases
from tests.e2e.room import Room, fake

pytestmark = [pytest.mark.node, pytest.mark.timeout(600)]

case = Cases()

_DRA = "resource.k8s.io/v1"
_DRIVER = "gpu.conch.test"
# Nodes of other cases' models: what is published on them, or written on them, is of these cases.
_L40S, _L4 = "kwok-gpu-0002", "kwok-gpu-0003"


def _slice(node: str, *devices: tuple[str, str, str]) -> Object:
    """A ResourceSlice of (name, product, memory)."""
    return {
        "apiVersion": _DRA,
        "kind": "ResourceSlice",
        "metadata": {"name": f"{node}-{_DRIVER}"},
        "spec": {
            "driver": _DRIVER,
            "nodeName": node,
            "pool": {"name": node, "generation": 1, "resourceSliceCount": 1},
            "devices": [
                {
                    "name": name,
                    "attributes": {"productName": {"string": product}},
                    "capacity": {"memory": {"value": memory}},
                }
                for name, product, memory in devices
            ],
        },
    }


_DEVICE_CLASS: Object = {
    "apiVersion": _DRA,
    "kind": "DeviceClass",
    "metadata": {"name": _DRIVER},
    "spec": {"selectors": [{"cel": {"expression": f"device.driver == '{_DRIVER}'"}}]},
}
_CLASS: Object = {
    "apiVersion": names.API_VERSION,
    "kind": "AcceleratorClass",
    "metadata": {"name": "claimed-l4"},
    "spec": {
        "memory": "24Gi",
        "deviceClassName": _DRIVER,
        "deviceSelectors": [
            f"device.attributes['{_DRIVER}'].productName == 'NVIDIA L4'",
            f"device.capacity['{_DRIVER}'].memory.compareTo(quantity('24Gi')) >= 0",
        ],
    },
}


async def _publish(room: Room, node: str, *devices: tuple[str, str, str]) -> None:
    await room.api.create(path(_DRA, "resourceslices"), _slice(node, *devices))
    room.now()


async def _versions(room: Room) -> dict[str, str]:
    """What would change if Conch wrote anything."""
    found = [await room.get("web", kind) for kind in ("Deployment", "Service", "InferenceService")]
    found += await room.api.list(path(_DRA, "resourceclaimtemplates", room.name))
    return {o["metadata"]["uid"]: o["metadata"]["resourceVersion"] for o in found}


@case
async def devices_are_claimed(room: Room) -> None:
    """The device that fits is allocated, replicas are as many as devices, nothing is left over."""
    await room.api.create(path(_DRA, "deviceclasses"), _DEVICE_CLASS)
    await room.api.create(path(names.API_VERSION, "acceleratorclasses"), _CLASS)
    try:
        await _claim(room)
    finally:
        gone = [
            path(_DRA, "deviceclasses", None, _DRIVER),
            path(names.API_VERSION, "acceleratorclasses", None, "claimed-l4"),
            *(path(_DRA, "resourceslices", None, f"{n}-{_DRIVER}") for n in (_L4, _L40S)),
        ]
        await asyncio.gather(*map(room.api.delete, gone), return_exceptions=True)


async def _claim(room: Room) -> None:
    await room.create("web", fake(["claimed-l4"]))
    await room.reports("web", "Placed", "False", "NoCapacity", "claimed-l4")
    await _publish(room, _L4, ("t4-0", "Tesla T4", "16Gi"), ("l4-0", "NVIDIA L4", "24Gi"))
    await room.ready("web")
    assert (await room.get("web"))["status"]["accelerator"] == "claimed-l4"
    (pod,) = await room.pods()
    assert pod["spec"]["nodeName"] == _L4
    (claim,) = await room.api.list(path(_DRA, "resourceclaims", room.name))
    (device,) = claim["status"]["allocation"]["devices"]["results"]
    assert (device["device"], device["pool"]) == ("l4-0", _L4)

    await room.change("web", {"spec": {"scaling": {"mode": "Fixed", "replicas": 2}}})
    await room.reports("web", "Available", "True", "Unschedulable", "1 of 2", within_s=30)
    await _publish(room, _L40S, ("l4-1", "NVIDIA L4", "24Gi"))

    async def on_both() -> bool:
        return {p["spec"].get("nodeName") for p in await room.pods()} == {_L4, _L40S}

    # As long as one of them serves it is Ready: not what is waited for.
    await room.until(on_both, 30, room.nothing, "a device each")
    await room.reports("web", "Available", "True", "Available")

    before = await _versions(room)
    await asyncio.sleep(3)  # at rest: longer than anything waits to be written together
    assert await _versions(room) == before

    accelerators = {"classes": ["l40s"]}
    await room.change("web", {"spec": {"placement": {"accelerators": accelerators}}})

    async def requested_instead() -> bool:
        left = await room.api.list(path(_DRA, "resourceclaimtemplates", room.name))
        left += await room.api.list(path(_DRA, "resourceclaims", room.name))
        status = (await room.get("web"))["status"]
        return not left and status["accelerator"] == "l40s" and status["readyReplicas"] == 2

    await room.until(requested_instead, 90, room.nothing, "requested, and nothing is claimed")


async def _labelled(room: Room, node: str, labels: dict[str, str | None]) -> None:
    await room.api.merge_patch(path("v1", "nodes", None, node), {"metadata": {"labels": labels}})
    room.now()


def _anywhere(**placement: Any) -> Object:
    body = fake()
    return {**body, "placement": {**body["placement"], **placement}}


@case
async def spot_only_and_never_spot(room: Room) -> None:
    await _labelled(room, _L40S, {"karpenter.sh/capacity-type": "spot"})
    await room.create("web", _anywhere(capacityTypes=["Spot"]))
    await room.ready("web")
    assert {p["spec"]["nodeName"] for p in await room.pods()} == {_L40S}
    await room.change("web", {"spec": {"placement": {"capacityTypes": ["OnDemand"]}}})

    async def elsewhere() -> bool:
        on = {p["spec"].get("nodeName") for p in await room.pods()}
        return len(on) == 1 and on != {_L40S}

    await room.until(elsewhere, 60, room.nothing, "on demand, and no more on spot")
    await room.ready("web")
    await _labelled(room, _L40S, {"karpenter.sh/capacity-type": None})


@case
async def pinned_to_a_site(room: Room) -> None:
    await room.create("web", _anywhere(sites=["oslo"]))
    await room.reports("web", "Ready", "False", "NoCapacity")
    await _labelled(room, _L4, {names.LABEL_SITE: "oslo"})
    await room.ready("web")
    assert {p["spec"]["nodeName"] for p in await room.pods()} == {_L4}
    assert (await room.get("web"))["status"]["sites"] == [
        {"name": "oslo", "replicas": 1, "readyReplicas": 1, "connected": True}
    ]
    await _labelled(room, _L4, {names.LABEL_SITE: None})


@case
async def priority_queue_and_scheduler(room: Room) -> None:
    classes = path("scheduling.k8s.io/v1", "priorityclasses")
    kind = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass"}
    chosen = {"priorityClassName": "conch-test", "queueName": "vision"}
    await room.create("web", _anywhere(**chosen, schedulerName="nobody"))
    await room.fails("web", "ApplyRefused", "conch-test")
    await room.api.create(classes, {**kind, "metadata": {"name": "conch-test"}, "value": 4321})
    try:

        async def waits() -> bool:
            pods = await room.pods()
            return [p["spec"]["schedulerName"] for p in pods] == ["nobody"]

        await room.until(waits, 60, room.nothing, "a pod for the other scheduler")
        (pod,) = await room.pods()
        assert "nodeName" not in pod["spec"]
        assert pod["spec"]["priority"] == 4321
        deployment = await room.get("web", "Deployment")
        assert deployment["metadata"]["labels"][names.LABEL_QUEUE] == "vision"
        nobody = {"schedulerName": None, "queueName": None}
        await room.change("web", {"spec": {"placement": nobody}})
        await room.ready("web")
        deployment = await room.get("web", "Deployment")
        assert names.LABEL_QUEUE not in deployment["metadata"]["labels"]
    finally:
        await room.api.delete(f"{classes}/conch-test")


@pytest.mark.parametrize("name", case.names)
def test_mechanism(name: str, bed: Bed, request: pytest.FixtureRequest) -> None:
    case.judge(name, bed, request)
