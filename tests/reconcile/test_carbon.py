"""Grids of the nodes: which are asked for, and who is told of what is known."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping

import pytest

from conch.api import names
from conch.grid.intensity import Kind
from conch.grid.sources import Grid
from conch.observe.state import ClusterState
from conch.observe.types import AcceleratorKind, Inventory, NodeCapacity
from conch.reconcile.carbon import CarbonLoop, Place
from conch.settings import Settings
from conch.telemetry.catalog import Metrics

L4 = AcceleratorKind("l4", {}, "nvidia.com/gpu", 24 << 30, (8, 9), False)
BERLIN, PARIS = (names.LABEL_ZONE, "berlin"), (names.LABEL_ZONE, "paris")
NOW_S = 1_800_000_000.0


def world(
    numbers: Mapping[str, float], kind: Kind = Kind.AVERAGE, zones: tuple[str, ...] = ()
) -> tuple[CarbonLoop, ClusterState, Callable[[str, Kind], float | None]]:
    """The loop, the state that it tells, and what a grid's gauge says."""
    state, metrics = ClusterState(), Metrics()
    loop = CarbonLoop(state, Settings(carbon_zones=zones), metrics, Grid(None, numbers, kind))

    def gauge(zone: str, kind: Kind) -> float | None:
        labels = {"zone": zone, "kind": kind.value}
        return metrics.registry.get_sample_value("conch_grid_intensity_grams_per_kwh", labels)

    return loop, state, gauge


def test_placement_is_told_of_every_class_or_of_none() -> None:
    loop, state, gauge = world({"DE": 400.0, "FR": 50.0}, Kind.MARGINAL)
    places: dict[str, Counter[Place]] = {
        "l4": Counter({("DE", 1.5, BERLIN): 1, ("FR", 1.2, PARIS): 2, ("FR", 0.9, PARIS): 1}),
        "t4": Counter({("FR", 1.0, PARIS): 1}),
        "cpu": Counter({("", 1.0, None): 5}),  # a service on CPU has no other class to choose
    }
    loop.publish(places, NOW_S)
    assert state.carbon["l4"] == pytest.approx((600 + 2 * 60 + 45) / 4)
    assert state.carbon["t4"] == 50.0
    assert state.grids == {"l4": {BERLIN: 600.0, PARIS: pytest.approx(55.0)}}, "t4 has no choice"
    assert gauge("DE", Kind.MARGINAL) == 400.0
    loop.publish({"l4": places["l4"], "t4": Counter({("SE", 1.0, None): 1})}, NOW_S)
    assert (state.carbon, state.grids) == ({}, {})
    assert gauge("DE", Kind.MARGINAL) == 400.0


def test_what_holds_everywhere_holds_where_no_label_tells_the_grid() -> None:
    loop, state, gauge = world({"*": 400.0})
    loop.publish({"l4": Counter({("", 1.5, None): 1})}, NOW_S)
    assert state.carbon == {"l4": pytest.approx(600.0)}
    assert gauge("*", Kind.AVERAGE) == 400.0


async def test_the_grids_that_the_nodes_are_on_are_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[set[str]] = []

    async def refresh(_: Grid, zones: set[str], now_s: float) -> None:
        asked.append(zones)

    monkeypatch.setattr(Grid, "refresh", refresh)
    loop, state, _ = world({"DE": 400.0, "FR": 50.0}, zones=("z1=DE", "z2=FR"))
    gpu = {"nvidia.com/gpu": 1}
    nodes = tuple(
        NodeCapacity(f"n{i}", {names.LABEL_ZONE: zone}, (), True, False, gpu, {}, zone=zone)
        for i, zone in enumerate(("z1", "z2"))
    )
    monkeypatch.setattr(ClusterState, "inventory", lambda _: Inventory(nodes, (L4,)))
    told = asyncio.Event()
    publish = loop.publish

    def telling(places: Mapping[str, Counter[Place]], wall_s: float) -> None:
        publish(places, wall_s)
        told.set()

    monkeypatch.setattr(loop, "publish", telling)
    running = asyncio.create_task(loop.run())
    await told.wait()
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert asked == [{"DE", "FR"}]
    assert state.carbon["l4"] == pytest.approx(1.56 * 225)
    here, there = ((names.LABEL_ZONE, zone) for zone in ("z1", "z2"))
    assert state.grids["l4"] == {here: pytest.approx(624.0), there: pytest.approx(78.0)}


async def test_without_a_source_there_is_nothing_to_do() -> None:
    loop, _, _ = world({})
    await loop.run()
