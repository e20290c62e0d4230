"""What is free, stranded and fragmented, what fits, and what is advised."""

from __future__ import annotations

from dataclasses import replace

import pytest

from conch.cli import capacity, snapshot
from conch.cli.capacity import ClassLine, Fleet, User, default_host, fleet, mig_advice
from conch.cli.capacity_screen import notes
from conch.observe.types import Inventory, Provisioning
from tests.cli import fleets
from tests.cli.fleets import GPU, Object, node, pod


def inventory(nodes: list[Object], pods: list[Object] | None = None) -> Inventory:
    read = snapshot.Snapshot(kind="", version=1, taken="", nodes=nodes, pods=pods or [])
    return snapshot.state(read).inventory()


def counted(nodes: list[Object], pods: list[Object] | None = None) -> Fleet:
    return fleet(inventory(nodes, pods), [], default_host())


def only(nodes: list[Object], pods: list[Object] | None = None) -> ClassLine:
    (line,) = counted(nodes, pods).classes
    return line


def test_free_and_fragmented_units() -> None:
    nodes = [node("a", "NVIDIA-L4"), node("b", "NVIDIA-L4")]
    line = only(nodes, [pod("p", "a", gpus=1)])
    assert (line.nodes, line.units, line.free, line.fragmented) == (2, 8, 7, 3)
    assert line.fits == {1: 7, 2: 3, 4: 1, 8: 0}


def test_units_without_cpu_or_memory_beside_them_are_stranded() -> None:
    nodes = [node("a", "NVIDIA-L4"), node("b", "NVIDIA-L4")]
    line = only(nodes, [pod("p", "a", gpus=1, cpu="7"), pod("q", "b", gpus=0, memory="63Gi")])
    assert (line.free, line.stranded, line.fragmented) == (7, 6, 1)
    assert line.fits[1] == 1


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        ({"unschedulable": True}, "cordoned"),
        ({"taints": [{"key": "team", "value": "x", "effect": "NoSchedule"}]}, "tainted team"),
        (
            {"taints": [{"key": "karpenter.sh/disrupted", "effect": "NoSchedule"}]},
            "being reclaimed",
        ),
    ],
)
def test_nodes_that_take_no_pods_say_why(spec: Object, reason: str) -> None:
    line = only([node("a", "NVIDIA-L4", **spec)])
    assert (line.free, line.unusable, line.usable_nodes) == (0, 4, 0)
    assert line.why_unusable == {reason: 1}


def test_gpu_and_spot_taints_keep_nobody_off() -> None:
    taints = [
        {"key": GPU, "value": "present", "effect": "NoSchedule"},
        {"key": "kubernetes.azure.com/scalesetpriority", "value": "spot", "effect": "NoSchedule"},
    ]
    assert only([node("a", "NVIDIA-L4", taints=taints)]).usable_nodes == 1


def test_what_a_node_autoscaler_may_add_is_told() -> None:
    added = Provisioning(max_nodes=3, units_per_node=4, wait_s=600.0)
    here = inventory([node("a", "NVIDIA-L4")])
    kinds = tuple(replace(kind, provisioning=added) for kind in here.kinds)
    found = fleet(replace(here, kinds=kinds), [], default_host())
    assert [line.addable for line in found.classes] == [2]
    (told,) = [note for note in notes(found) if "added" in note]
    assert told == "l4: up to 2 nodes can be added by a node autoscaler."
    assert only([node("a", "NVIDIA-L4")]).addable == 0


def test_money() -> None:
    spot = {"eks.amazonaws.com/capacityType": "SPOT"}
    nodes = [node("a", "NVIDIA-L4"), node("b", "NVIDIA-L4", labels=spot), node("c", "NVIDIA-Z9")]
    found = counted(nodes, [pod("p", "a", gpus=3)])
    l4, unknown = found.classes
    assert (l4.price_per_h, l4.spot_price_per_h, l4.spot_nodes) == (0.8048, 0.3973, 1)
    assert unknown.price_per_h is None
    assert found.cost_per_h == pytest.approx(4 * 0.8048 + 4 * 0.3973)
    assert found.free_cost_per_h == pytest.approx(0.8048 + 4 * 0.3973)
    assert found.unpriced_units == 4


def test_nodes_without_accelerator_are_a_class_without_units() -> None:
    line = only([node("a")])
    assert (line.name, line.counted, line.units) == ("cpu", False, 0)
    assert line.fits == {1: 8}


def test_accelerators_of_no_known_class_are_told() -> None:
    found = counted([node("a", allocatable={GPU: "2"})])
    assert (found.classes, found.unknown_nodes) == ((), 1)


# --- MIG ----------------------------------------------------------------------------------------

GI = 1024**3
A100 = "NVIDIA-A100-SXM4-40GB"


def advised(product: str, *users: User) -> list[str]:
    seen = inventory([node("a", product, gpus=7)])
    return list(mig_advice(seen, fleet(seen, users, default_host()).classes, users))


def test_small_models_on_whole_gpus_are_better_off_on_slices() -> None:
    on = "a100-sxm4-40gb"
    (told,) = advised(
        A100,
        User("x/a", on, 5, 1, 4 * GI),
        User("x/b", on, 2, 1, 9 * GI),
        User("x/large", on, 2, 1, 39 * GI),
        User("x/silent", on, 9, 1, 0),
        User("x/two", on, 9, 2, GI),
    )
    assert told.startswith(
        "a100-sxm4-40gb: 7 replicas on a GPU each ask for no more than a slice has; "
        "2 x 1g.10gb, 5 x 1g.5gb would take 2 GPUs."
    )


def test_nothing_is_advised_that_saves_nothing() -> None:
    assert advised(A100, User("x/a", "a100-sxm4-40gb", 1, 1, 4 * GI)) == []
    assert advised("NVIDIA-L4", User("x/a", "l4", 5, 1, GI)) == []


def test_unused_slices_while_somebody_waits_for_more_memory() -> None:
    waits = User("x/large", "", 1, 1, 30 * GI)
    (told,) = advised(f"{A100}-MIG-1g.5gb", waits)
    assert "none of 7 slices is used, and x/large waits" in told
    assert advised(f"{A100}-MIG-1g.5gb", User("x/small", "", 1, 1, GI)) == []


def test_users_are_the_services_of_the_cluster() -> None:
    placement = {"accelerators": {"count": 2, "minMemory": "12Gi"}}
    raw = fleets.service("s", placement=placement)
    raw["status"] = {"accelerator": "l4", "desiredReplicas": 3}
    read = snapshot.Snapshot(kind="", version=1, taken="", nodes=[], pods=[], services=[raw])
    assert capacity.users(snapshot.state(read)) == [User("demo/s", "l4", 3, 2, 12 * GI)]
    raw["status"]["gpuMemory"] = "5120Mi"
    assert capacity.users(snapshot.state(read)) == [User("demo/s", "l4", 3, 2, 12 * GI)]
    del raw["spec"]["placement"]["accelerators"]["minMemory"]
    assert capacity.users(snapshot.state(read)) == [User("demo/s", "l4", 3, 2, 5 * GI)]
