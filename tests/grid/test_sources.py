"""Which source is asked, how often, and what is believed for how long."""

import logging

import pytest

from conch.errors import GridError
from conch.grid import sources
from conch.grid.carbon_aware import CarbonAware
from conch.grid.electricity_maps import ElectricityMaps
from conch.grid.intensity import Intensity, Kind
from conch.grid.sources import Grid
from conch.grid.watttime import WattTime
from conch.settings import Settings


class Source:
    """Knows what it is told to know."""

    kind = Kind.MARGINAL

    def __init__(self) -> None:
        self.known: dict[str, float] = {}
        self.asked: list[str] = []
        self.closed = False

    async def ask(self, zone: str, now_s: float) -> Intensity:
        self.asked.append(zone)
        if zone not in self.known:
            raise GridError(f"no {zone} here")
        return Intensity(self.known[zone], self.kind)

    async def aclose(self) -> None:
        self.closed = True


async def test_a_zone_is_asked_for_every_five_minutes() -> None:
    source = Source()
    source.known = {"DE": 300.0}
    grid = Grid(source, {})
    assert grid.kind is Kind.MARGINAL
    await grid.refresh({"DE"}, 1000.0)
    assert grid.intensity("DE", 1000.0) == Intensity(300.0, Kind.MARGINAL)
    source.known = {"DE": 310.0}
    await grid.refresh({"DE"}, 1200.0)
    assert grid.intensity("DE", 1200.0) == Intensity(300.0, Kind.MARGINAL)
    await grid.refresh({"DE"}, 1300.0)
    assert grid.intensity("DE", 1300.0) == Intensity(310.0, Kind.MARGINAL)
    assert source.asked == ["DE", "DE"]


async def test_an_old_answer_is_no_answer() -> None:
    source = Source()
    source.known = {"DE": 300.0}
    grid = Grid(source, {})
    await grid.refresh({"DE"}, 0.0)
    source.known = {}
    await grid.refresh({"DE"}, 7000.0)
    assert grid.intensity("DE", 7100.0) is not None
    assert grid.intensity("DE", 7201.0) is None


async def test_a_clock_that_is_set_back_makes_nothing_young() -> None:
    source = Source()
    source.known = {"DE": 300.0}
    grid = Grid(source, {})
    await grid.refresh({"DE"}, 100_000.0)
    assert grid.intensity("DE", 50_000.0) is None
    await grid.refresh({"DE"}, 50_000.0)
    assert grid.intensity("DE", 50_000.0) is not None


async def test_one_zone_that_fails_costs_no_other_and_is_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    source = Source()
    source.known = {"DE": 300.0}
    grid = Grid(source, {})
    for moment in range(5):
        await grid.refresh({"DE", "XX"}, 300.0 * moment)
    assert grid.intensity("DE", 1200.0) is not None
    assert grid.intensity("XX", 1200.0) is None
    assert caplog.text.count("no XX here") == 1
    source.known["XX"] = 5.0
    await grid.refresh({"DE", "XX"}, 1500.0)
    assert "XX: known again" in caplog.text


async def test_zones_nobody_is_in_are_forgotten_and_a_flood_is_cut() -> None:
    source = Source()
    source.known = {"DE": 300.0}
    grid = Grid(source, {})
    await grid.refresh({"DE"}, 0.0)
    await grid.refresh({f"A{i:03}" for i in range(500)}, 1.0)
    assert grid.intensity("DE", 2.0) is None
    assert len(source.asked) == 1 + 64
    await grid.aclose()
    assert source.closed


async def test_static_numbers_need_nobody() -> None:
    grid = Grid(None, {"DE": 350.0, "*": 475.0}, Kind.AVERAGE)
    await grid.refresh({"DE"}, 0.0)
    assert grid.intensity("DE", 1e12) == Intensity(350.0, Kind.AVERAGE)
    assert grid.intensity("FR", 0.0) == Intensity(475.0, Kind.AVERAGE)
    assert Grid(None, {"DE": 350.0}).intensity("FR", 0.0) is None
    assert Grid(None, {}).kind is None


def test_the_settings_name_the_source() -> None:
    assert sources.make(Settings()) is None
    assert sources.make(Settings(carbon_source="Static", carbon_intensity=("*=475",))) is None
    maps = sources.make(Settings(carbon_source="ElectricityMaps", carbon_token_file="/t"))
    assert isinstance(maps, ElectricityMaps)
    assert isinstance(
        sources.make(Settings(carbon_source="WattTime", carbon_token_file="/t")), WattTime
    )
    aware = sources.make(
        Settings(carbon_source="CarbonAwareSDK", carbon_url="http://sdk", carbon_kind="Marginal")
    )
    assert isinstance(aware, CarbonAware)
    assert aware.kind is Kind.MARGINAL
