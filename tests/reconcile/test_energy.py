"""The energy loop: from pods, nodes and looks to bills, metrics and the report."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from conch.api import names
from conch.grid.intensity import Kind
from conch.grid.meters import Meters
from conch.grid.sources import Grid
from conch.kube import views
from conch.observe.state import ClusterState
from conch.observe.types import AcceleratorKind, Inventory, ModelCounters, NodeCapacity, PodSample
from conch.reconcile.carbon import CarbonLoop
from conch.reconcile.energy import EnergyLoop
from conch.reconcile.queue import WorkQueue
from conch.settings import Settings
from conch.telemetry.catalog import Metrics
from conch.triton.power import GpuPower
from conch.triton.sample import BatchStat
from tests.reconcile import builders
from tests.reconcile.builders import KEY, UID

L4 = AcceleratorKind(
    "l4",
    {},
    "nvidia.com/gpu",
    24 << 30,
    (8, 9),
    False,
    price_per_h=0.8,
    spot_price_per_h=0.3,
    idle_watts=16,
    max_watts=72,
)
START_S = 1_800_000_000.0
LABELS = ("team", "resnet", "l4")


def node(name: str, capacity_type: str = "OnDemand", zone: str = "z1") -> NodeCapacity:
    return NodeCapacity(name, {}, (), True, False, {}, {}, capacity_type=capacity_type, zone=zone)


def pod(name: str, where: str = "n1", class_name: str = "l4") -> views.Pod:
    made = builders.pod(name)
    labels = {**made.metadata.labels, names.LABEL_ACCELERATOR: class_name}
    container = views.Container(
        name="triton", resources=views.ResourceRequirements(requests={"nvidia.com/gpu": "1"})
    )
    return views.Pod(
        metadata=views.Metadata(
            name=name,
            namespace=KEY.namespace,
            uid=made.metadata.uid,
            creation_timestamp=made.metadata.creation_timestamp,
            labels=labels,
        ),
        spec=views.PodSpec(node_name=where, containers=(container,)),
        status=made.status,
    )


class World:
    """One service, its pods, and time in rounds of ten seconds."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, grid: Grid | None = None, **settings: Any
    ) -> None:
        self.state = builders.state()
        self.inventory = Inventory((node("n1"), node("n2", "Spot")), (L4,))
        monkeypatch.setattr(ClusterState, "inventory", lambda _: self.inventory)
        self.queue = WorkQueue()
        self.metrics = Metrics()
        self.looks: dict[str, PodSample] = {}
        self.loop = EnergyLoop(
            self.state,
            self.queue,
            Settings(**settings),
            self.metrics,
            lambda uid: self.looks if uid == UID else {},
            grid or Grid(None, {}),
        )
        self.now_s = 100.0

    def place(self, *pods: views.Pod) -> None:
        for made in pods:
            self.state.set_pod(made)

    def worked(
        self, name: str, inferences: float, busy_s: float, gpus: dict[str, GpuPower] | None = None
    ) -> None:
        counters = ModelCounters(
            success=inferences,
            failure=0,
            inferences=inferences,
            executions=inferences,
            request_s=busy_s,
            queue_s=0,
            pending=0,
            batches={1: BatchStat(int(inferences), busy_s)},
        )
        self.looks[f"uid-{name}"] = PodSample(
            f"uid-{name}", self.now_s, {"resnet": counters}, gpus=gpus or {}
        )

    def round(self, read: Meters | None = None) -> None:
        self.loop.round(self.now_s, START_S + self.now_s, read or Meters())
        self.now_s += 10.0

    def value(self, name: str, *labels: str, kind: str = "") -> float | None:
        keys = {"namespace": labels[0], "service": labels[1], "class": labels[2]}
        return self.metrics.registry.get_sample_value(name, keys | ({"kind": kind} if kind else {}))


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


async def test_price_power_and_energy_of_pods_at_work(world: World) -> None:
    world.place(pod("a"), pod("b", "n2"))
    for i in range(4):
        world.worked("a", 100.0 * i, 5.0 * i)
        world.worked("b", 0, 0)
        world.round()
    bill = world.state.bills[KEY]
    assert bill.pods == 2
    assert bill.dollars_per_h == pytest.approx(0.8 + 0.3)  # one on demand, one on spot
    assert bill.watts == pytest.approx(16 + 0.5 * 56 + 16)
    assert bill.estimated
    assert bill.inferences == 300
    assert bill.joules == pytest.approx(60 * 30)
    assert (bill.grams_per_h, bill.carbon_kind) == (None, "")
    assert world.value("conch_service_cost_dollars_per_hour", *LABELS) == pytest.approx(1.1)
    assert world.value("conch_service_power_watts", *LABELS) == pytest.approx(60)
    assert world.value("conch_service_power_estimated", *LABELS) == 1
    assert world.value("conch_service_energy_joules_total", *LABELS) == pytest.approx(1800)
    assert world.value("conch_service_inferences_total", *LABELS) == 300


async def test_tritons_meters_are_believed(world: World) -> None:
    world.place(pod("a"))
    for i in range(3):
        world.worked("a", 0, 0, {"GPU-1": GpuPower(40.0, 1000.0 + 550.0 * i)})
        world.round()
    bill = world.state.bills[KEY]
    assert bill.watts == pytest.approx(55)  # the counter's mean, not the last reading
    assert not bill.estimated


async def test_a_gpu_without_an_energy_counter_is_read_off_its_gauge(world: World) -> None:
    world.place(pod("a"))
    for _ in range(3):
        world.worked("a", 0, 0, {"GPU-1": GpuPower(40.0, 0.0)})
        world.round()
    assert world.state.bills[KEY].watts == pytest.approx(40)


async def test_meters_in_prometheus(world: World) -> None:
    world.place(pod("a"), pod("b"))
    read = Meters(
        gpus={("team", "a"): {"GPU-1": 33.0}, ("team", "b"): {"GPU-2": 99.0}},
        pod_gpu_w={("team", "b"): 44.0},
    )
    for _ in range(3):
        world.worked("a", 0, 0)
        world.worked("b", 0, 0)
        world.round(read)
    bill = world.state.bills[KEY]
    assert bill.watts == pytest.approx(33 + 44)
    assert not bill.estimated


async def test_carbon_of_a_known_grid(monkeypatch: pytest.MonkeyPatch) -> None:
    grid = Grid(None, {"DE": 400.0}, Kind.AVERAGE)
    world = World(
        monkeypatch,
        grid,
        carbon_source="Static",
        carbon_intensity=("DE=400",),
        carbon_zones=("z1=DE",),
        pue=1.25,
    )
    world.place(pod("a"))
    for _ in range(3):
        world.worked("a", 0, 0)
        world.round()
    bill = world.state.bills[KEY]
    assert bill.grams_per_h == pytest.approx(0.016 * 1.25 * 400)
    assert bill.carbon_kind == "Average"
    carbon = world.value("conch_service_carbon_grams_total", *LABELS, kind="Average")
    assert carbon == pytest.approx(8.0 * 20 / 3600)


async def test_where_no_label_tells_the_grid_the_number_for_all_holds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(monkeypatch, Grid(None, {"*": 400.0}), pue=1.5)
    bare = NodeCapacity("n1", {}, (), True, False, {"nvidia.com/gpu": 1}, {})
    world.inventory = Inventory((bare,), (L4,))
    world.place(pod("a"))
    for _ in range(3):
        world.round()
    assert world.state.bills[KEY].grams_per_h == pytest.approx(16 / 1000 * 1.5 * 400)


async def test_a_grid_that_is_not_known_costs_the_carbon_figure_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = World(monkeypatch, Grid(None, {"FR": 50.0}), carbon_zones=("z1=DE",))
    world.place(pod("a"))
    for _ in range(3):
        world.round()
    bill = world.state.bills[KEY]
    assert (bill.grams_per_h, bill.carbon_kind) == (None, "")
    assert bill.watts == pytest.approx(16)


async def test_a_server_that_restarted_begins_anew(world: World) -> None:
    world.place(pod("a"))
    for inferences in (1000.0, 1100.0, 7.0, 17.0):
        world.worked("a", inferences, inferences / 100)
        world.round()
    assert world.state.bills[KEY].inferences == 110


async def test_a_pod_not_heard_of_for_a_minute_is_taken_as_idle(world: World) -> None:
    world.place(pod("a"))
    for i in range(3):
        world.worked("a", 100.0 * i, 10.0 * i)
        world.round()
    assert world.value("conch_service_power_watts", *LABELS) == pytest.approx(72)
    for _ in range(3):
        world.round()  # metrics are down for a moment: as before, but nothing is counted twice
    assert world.value("conch_service_power_watts", *LABELS) == pytest.approx(72)
    assert world.value("conch_service_inferences_total", *LABELS) == 200
    for _ in range(4):
        world.round()
    assert world.value("conch_service_power_watts", *LABELS) == pytest.approx(16)


async def test_what_has_no_price_and_no_watts_has_no_figures(world: World) -> None:
    world.place(pod("a", class_name="cpu"))
    for _ in range(3):
        world.round()
    assert world.state.bills[KEY].dollars_per_h is None
    assert world.value("conch_service_cost_dollars_per_hour", "team", "resnet", "cpu") is None
    assert len(world.queue) == 0


async def test_pods_without_a_node_are_left_out(world: World) -> None:
    world.place(pod("a", where=""), pod("b", where="gone"))
    for _ in range(3):
        world.round()
    assert world.state.bills[KEY].pods == 0


async def test_a_pod_of_a_class_that_is_gone_costs_nobody_knows_what(world: World) -> None:
    world.place(pod("a"), pod("b", class_name="gone"))
    for _ in range(3):
        world.round()
    bill = world.state.bills[KEY]
    assert (bill.pods, bill.dollars_per_h, bill.watts) == (2, None, None)
    assert world.value("conch_service_cost_dollars_per_hour", *LABELS) == pytest.approx(0.8)


async def test_a_defect_costs_figures_and_not_the_process(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    world = World(monkeypatch, Grid(None, {"DE": 400.0}))
    monkeypatch.setattr("conch.reconcile.energy._EVERY_S", 0.001)
    monkeypatch.setattr("conch.reconcile.carbon._REFRESH_S", 0.001)
    twice = asyncio.Semaphore(0)

    def fail(*_: object) -> None:
        twice.release()
        raise RuntimeError("boom")

    monkeypatch.setattr(world.loop, "round", fail)
    monkeypatch.setattr(CarbonLoop, "publish", fail)
    running = asyncio.create_task(world.loop.run())
    for _ in range(6):
        await twice.acquire()
    assert not running.done()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert {"figures of carbon failed", "figures of power and cost failed"} <= {
        record.getMessage() for record in caplog.records
    }


async def test_the_service_is_woken_once_and_again_only_for_news(world: World) -> None:
    world.place(pod("a"))
    for _ in range(3):
        world.round()
    assert await world.queue.get() == KEY
    world.queue.done(KEY)
    raw = world.state.services[KEY].raw
    told = {"perHour": "$0.80", "power": "16W", "estimated": True}
    world.state.set_service({**raw, "status": {"cost": told}})
    for i in range(30):
        world.worked("a", 0, 0.1 * i)  # a little work: less than a fifth
        world.round()
    assert len(world.queue) == 0
    for i in range(30):
        world.worked("a", 0, 3.0 + 8.0 * i)
        world.round()
    assert len(world.queue) == 1


async def test_a_class_that_was_left_has_no_gauges_any_more(world: World) -> None:
    t4 = AcceleratorKind("t4", {}, "nvidia.com/gpu", 0, None, False, price_per_h=0.5)
    world.inventory = Inventory(world.inventory.nodes, (L4, t4))
    world.place(pod("a"))
    for _ in range(2):
        world.round()
    world.state.remove_pod("uid-a")
    world.place(pod("b", class_name="t4"))
    world.round()
    assert world.value("conch_service_cost_dollars_per_hour", *LABELS) is None
    assert world.value("conch_service_cost_dollars_per_hour", "team", "resnet", "t4") == 0.5
    assert world.value("conch_service_cost_dollars_total", *LABELS) is not None
    world.metrics.forget_service("team", "resnet")
    assert b"resnet" not in world.metrics.exposition()


async def test_the_report(world: World) -> None:
    world.place(pod("a"))
    for i in range(3):
        world.worked("a", 100.0 * i, 0)
        world.round()
    report = world.loop.report()
    assert report["carbon_kind"] == ""
    (service,) = report["services"]
    assert (service["namespace"], service["name"]) == ("team", "resnet")
    (part,) = service["parts"]
    assert part[1:] == [20.0, 200.0, pytest.approx(0.8 * 20 / 3600), pytest.approx(320.0), None]


async def test_a_service_that_is_gone_is_forgotten(world: World) -> None:
    world.place(pod("a"))
    for _ in range(3):
        world.round()
    world.state.remove_service(KEY, UID)
    world.round()
    assert KEY not in world.state.bills
    assert world.loop.report()["services"] == []
