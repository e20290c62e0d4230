"""Areas that pods prefer, from what is seen of nodes to what is written; and where pods are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from conch.api import names
from conch.kube import views
from conch.observe.state import ClusterState
from conch.observe.types import Tiers
from conch.reconcile import placement
from conch.reconcile import plan as planning
from conch.reconcile.moves import LOOK_S, STEADY_S
from conch.reconcile.placement import PlacementLoop
from conch.reconcile.queue import WorkQueue
from conch.reconcile.steps import figures
from conch.render.areas import preferred
from conch.settings import Settings
from conch.telemetry.catalog import Metrics
from tests.reconcile.builders import KEY, OPTIONS, build, observe, placed, pod, raw, state
from tests.reconcile.test_moves_ready import CALM, READY, replica

NORTH, SOUTH = (names.LABEL_ZONE, "north"), (names.LABEL_ZONE, "south")
SOUTH_FIRST, NORTH_FIRST = ((SOUTH,), (NORTH,)), ((NORTH,), (SOUTH,))
GRIDS = {"l4": {NORTH: 60.0, SOUTH: 600.0}}


def on(node: str, name: str, *, ready: bool = True) -> views.Pod:
    made = replica(name, ready=ready)
    return msgspec.structs.replace(made, spec=views.PodSpec(node_name=node))


def add_node(cluster: ClusterState, zone: str, gpus: int = 8) -> None:
    labels = {"nvidia.com/gpu.product": "NVIDIA-L4", names.LABEL_ZONE: zone}
    allocatable: dict[str, Any] = {"cpu": "64", "memory": "256Gi", "nvidia.com/gpu": str(gpus)}
    ready = views.StatusCondition("Ready", "True")
    status = views.NodeStatus(allocatable=allocatable, conditions=(ready,))
    node = views.Node(metadata=views.Metadata(name=f"in-{zone}", labels=labels), status=status)
    cluster.inventory_builder.upsert_node(node)


def world(tiers: Tiers = SOUTH_FIRST) -> ClusterState:
    """Two replicas in the south; its Deployment was made when that was cleaner."""
    spec = {"placement": {"optimise": "Carbon"}}
    cluster = state({**raw(spec), **READY}, replace(placed(), tiers=tiers))
    for zone in ("south", "north"):
        add_node(cluster, zone)
    build(cluster, replicas=2)
    for name in ("a", "b"):
        cluster.set_pod(on("in-south", name))
    cluster.decisions[KEY] = CALM
    cluster.carbon, cluster.grids = {"l4": 330.0}, GRIDS
    return cluster


def written(cluster: ClusterState) -> Tiers | None:
    """What a reconcile would have its pods prefer; None: it writes no Deployment."""
    for action in planning.make(observe(cluster), OPTIONS).applies:
        if action.obj["kind"] == "Deployment":
            return preferred(action.obj)
    return None


def test_another_order_alone_restarts_nothing() -> None:
    cluster = world()
    cluster.assignments[KEY] = replace(placed(), tiers=NORTH_FIRST)
    assert written(cluster) is None


def test_it_comes_with_whatever_makes_the_pods_anew() -> None:
    cluster = world()
    cluster.assignments[KEY] = replace(placed(), tiers=NORTH_FIRST)
    service = raw({"placement": {"optimise": "Carbon"}, "resources": {"cpu": "3"}})
    cluster.set_service({**service, **READY})
    assert written(cluster) == NORTH_FIRST


def test_or_when_it_is_worth_it() -> None:
    cluster = world()
    cluster.assignments[KEY] = replace(placed(), tiers=NORTH_FIRST, relocates=True)
    assert written(cluster) == NORTH_FIRST
    build(cluster, replicas=2)
    assert written(cluster) is None


@pytest.fixture
async def queue() -> AsyncIterator[WorkQueue]:  # async: timers need the loop
    made = WorkQueue()
    yield made
    made.close()


async def test_from_grids_and_bound_pods_to_a_move(
    queue: WorkQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = world()
    loop = PlacementLoop(cluster, queue, Settings(), Metrics())
    for look in range(int(STEADY_S / LOOK_S) + 1):
        now_s = 1_800_000_000.0 + look * LOOK_S
        monkeypatch.setattr(placement, "_epoch_s", lambda now_s=now_s: now_s)
        assert written(cluster) is None
        await loop.replan()
    assert cluster.assignments[KEY].message == (
        "moves to north: 60 g CO2e/kWh there, 600 where it is"
    )
    assert written(cluster) == NORTH_FIRST


async def test_a_plan_made_again_moves_nothing(queue: WorkQueue) -> None:
    cluster = world(NORTH_FIRST)
    loop = PlacementLoop(cluster, queue, Settings(), Metrics())
    await loop.replan()
    first = cluster.assignments[KEY]
    await loop.replan()
    assert cluster.assignments[KEY] == first
    assert written(cluster) is None


# --- where pods are -------------------------------------------------------------------------------


def test_the_status_tells_the_zones_that_pods_are_bound_in() -> None:
    cluster = world()
    cluster.set_pod(on("in-north", "c", ready=False))
    cluster.set_pod(on("", "waits", ready=False))
    assert figures.zones(observe(cluster)) == {
        "zones": [
            {"name": "north", "replicas": 1, "readyReplicas": 0},
            {"name": "south", "replicas": 2, "readyReplicas": 2},
        ]
    }


def test_where_some_nodes_tell_no_zone_that_is_said() -> None:
    cluster = world()
    cluster.set_pod(on("unheard-of", "c"))
    shown = figures.zones(observe(cluster))["zones"]
    assert [zone["name"] for zone in shown] == ["none", "south"]


def test_where_no_node_tells_one_nothing_is_said() -> None:
    cluster = state()
    cluster.set_pod(pod())
    assert figures.zones(observe(cluster)) == {}


def test_carbon_is_that_of_the_grids_its_pods_are_on() -> None:
    cluster = world()
    assert observe(cluster).carbon == 600.0
    cluster.set_pod(on("in-north", "b"))
    assert observe(cluster).carbon == 330.0
    cluster.set_pod(on("in-north", "a"))
    assert observe(cluster).carbon == 60.0
    cluster.set_pod(on("nobody-knows", "a"))
    assert observe(cluster).carbon == 60.0, "of one that is somewhere unknown nothing counts"
    cluster.grids = {}
    assert observe(cluster).carbon == 330.0
