"""Devices per node: what is published, what is taken, and what is too doubtful to count."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from conch.api.v1alpha1 import AcceleratorClassSpec
from conch.kube import views
from conch.observe.dra import claimed
from conch.observe.inventory import InventoryBuilder

DRIVER = "gpu.nvidia.com"
L4 = {
    "productName": {"string": "NVIDIA L4"},
    "type": {"string": "gpu"},
    "cudaComputeCapability": {"version": "8.9.0"},
}
T4 = {**L4, "productName": {"string": "Tesla T4"}, "cudaComputeCapability": {"version": "7.5.0"}}
MEMORY = {"memory": {"value": "23034Mi"}}
DECLARED = {
    "l4": AcceleratorClassSpec(
        memory="22Gi",
        device_class_name=DRIVER,
        device_selectors=[
            f"device.attributes['{DRIVER}'].productName == 'NVIDIA L4'",
            f"device.capacity['{DRIVER}'].memory.compareTo(quantity('22Gi')) >= 0",
        ],
    )
}


def device(name: str, attributes: dict[str, Any] = L4, **more: Any) -> dict[str, Any]:
    return {"name": name, "attributes": attributes, "capacity": MEMORY, **more}


def slice_(
    *devices: dict[str, Any], name: str = "s1", node: str = "n1", generation: int = 1, of: int = 1
) -> views.ResourceSlice:
    pool = {"name": node, "generation": generation, "resourceSliceCount": of}
    spec = {"driver": DRIVER, "pool": pool, "nodeName": node, "devices": list(devices)}
    return msgspec.convert({"metadata": {"name": name}, "spec": spec}, views.ResourceSlice)


def claim(uid: str, *devices: str, pool: str = "n1", **more: Any) -> views.ResourceClaim:
    results = [{"driver": DRIVER, "pool": pool, "device": d, **more} for d in devices]
    status = {"allocation": {"devices": {"results": results}}} if devices else {}
    return msgspec.convert({"metadata": {"uid": uid}, "status": status}, views.ResourceClaim)


def device_class(*expressions: str) -> views.DeviceClass:
    selectors = [{"cel": {"expression": e}} for e in expressions]
    content = {"metadata": {"name": DRIVER}, "spec": {"selectors": selectors}}
    return msgspec.convert(content, views.DeviceClass)


def node(name: str) -> views.Node:
    ready = views.StatusCondition("Ready", "True")
    status = views.NodeStatus(allocatable={"cpu": "8"}, conditions=(ready,))
    return views.Node(metadata=views.Metadata(name=name), status=status)


class World:
    """A builder fed as the watches feed it."""

    def __init__(self) -> None:
        self.builder = InventoryBuilder()
        for name in ("n1", "n2"):
            self.builder.upsert_node(node(name))
        self.devices = self.builder.devices
        self.units()
        self.tell(self.devices.set_class(device_class(f"device.driver == '{DRIVER}'")))

    def tell(self, changed: bool) -> bool:
        if changed:
            self.builder.books_changed()
        return changed

    def units(self, name: str = "n1") -> tuple[int, int]:
        """(all, free) devices of the class on a node."""
        nodes = {n.name: n for n in self.builder.inventory(DECLARED).nodes}
        resource = claimed("l4")
        return nodes[name].allocatable.get(resource, 0), nodes[name].free(resource)


@pytest.fixture
def world() -> World:
    return World()


def test_devices_that_match_are_units_of_their_node(world: World) -> None:
    assert world.tell(world.devices.set_slice(slice_(device("0"), device("1"), device("2", T4))))
    assert world.units() == (2, 2)
    assert world.units("n2") == (0, 0)
    (kind,) = world.builder.inventory(DECLARED).kinds
    assert (kind.resource, kind.device_class) == (claimed("l4"), DRIVER)


def test_what_any_claim_holds_is_taken_until_it_is_given_back(world: World) -> None:
    world.tell(world.devices.set_slice(slice_(device("0"), device("1"))))
    assert not world.tell(world.devices.set_claim(claim("c1")))
    assert world.tell(world.devices.set_claim(claim("c1", "0")))
    assert not world.tell(world.devices.set_claim(claim("c1", "0")))
    assert world.units() == (2, 1)
    world.tell(world.devices.set_claim(claim("c2", "1", pool="elsewhere")))
    world.tell(world.devices.set_claim(claim("admin", "1", adminAccess=True)))
    assert world.units() == (2, 1)
    world.tell(world.devices.set_claim(claim("c1", "1")))
    assert world.units() == (2, 1)
    assert world.tell(world.devices.remove_claim("c1"))
    assert world.units() == (2, 2)


def test_a_claim_may_be_told_of_before_its_devices(world: World) -> None:
    world.tell(world.devices.set_claim(claim("c1", "0")))
    world.tell(world.devices.set_slice(slice_(device("0"), device("1"))))
    assert world.units() == (2, 1)


def test_only_the_newest_generation_counts_once_it_is_whole(world: World) -> None:
    world.tell(world.devices.set_slice(slice_(device("0"))))
    assert world.units() == (1, 1)
    world.tell(world.devices.set_slice(slice_(device("0"), name="s2", generation=2, of=2)))
    assert world.units() == (0, 0)
    world.tell(world.devices.set_slice(slice_(device("1"), name="s3", generation=2, of=2)))
    assert world.units() == (2, 2)
    assert world.tell(world.devices.remove_slice("s3"))
    assert world.units() == (0, 0)


@pytest.mark.parametrize(
    "doubtful",
    [
        device("0", taints=[{"key": "broken", "effect": "NoSchedule"}]),
        device("0", consumesCounters=[{"counterSet": "gpu-0", "counters": {}}]),
        device("0", attributes={"productName": {"string": "NVIDIA L4"}}, capacity={}),
        device("0", attributes={}),
    ],
    ids=["tainted", "shares counters", "no memory", "no attributes"],
)
def test_doubtful_devices_do_not_count(world: World, doubtful: dict[str, Any]) -> None:
    world.tell(world.devices.set_slice(slice_(doubtful, device("1"))))
    assert world.units() == (1, 1)


def test_devices_of_no_single_node_do_not_count(world: World) -> None:
    world.tell(world.devices.set_slice(slice_(device("0"), node="")))
    assert world.units() == (0, 0)


def test_absurd_attributes_are_no_reason_to_fail(world: World) -> None:
    odd = {**L4, "cudaComputeCapability": {"version": "new"}, "a/b/c": {"int": 1}}
    broken = device("0", odd)
    broken["capacity"] = {**MEMORY, "engines": {"value": "many"}}
    world.tell(world.devices.set_slice(slice_(broken)))
    assert world.units() == (1, 1)


def test_a_class_that_is_not_there_or_not_understood_has_nothing_and_says_why() -> None:
    world = World()
    world.tell(world.devices.set_slice(slice_(device("0"))))

    def problem() -> str:
        (kind,) = world.builder.inventory(DECLARED).kinds
        return kind.device_problem

    assert problem() == ""
    assert world.tell(world.devices.set_class(device_class("device.all(d, d)")))
    assert world.units() == (0, 0)
    assert "device selector" in problem()
    assert world.tell(world.devices.remove_class(DRIVER))
    assert world.units() == (0, 0)
    assert problem() == f"there is no DeviceClass {DRIVER}"


def test_an_event_touches_its_node_only(world: World) -> None:
    world.tell(world.devices.set_slice(slice_(device("0"))))
    world.tell(world.devices.set_slice(slice_(device("0"), name="s2", node="n2")))
    before = {n.name: n for n in world.builder.inventory(DECLARED).nodes}
    world.tell(world.devices.set_claim(claim("c1", "0", pool="n2")))
    after = {n.name: n for n in world.builder.inventory(DECLARED).nodes}
    assert after["n1"] is before["n1"]
    assert after["n2"] is not before["n2"]


def test_nobody_is_woken_where_no_class_claims() -> None:
    devices = InventoryBuilder().devices
    assert not devices.set_slice(slice_(device("0")))
    assert not devices.set_claim(claim("c1", "0"))
    assert not devices.set_class(device_class("true"))
