"""Carbon intensity of the grids that feed the nodes: kept fresh, told to metrics and placement.

It asks the source that the settings name and writes nothing. What is not known is left out.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from conch.energy import rates
from conch.grid.sources import EVERYWHERE, Grid
from conch.observe.state import ClusterState
from conch.observe.types import CPU_CLASS, Area
from conch.settings import Settings
from conch.telemetry.catalog import Metrics

logger = logging.getLogger(__name__)

_REFRESH_S: Final = 30.0

Place = tuple[str, float, Area | None]
"""A grid, in the source's words ("": nothing tells), the site's power usage effectiveness, and the
area of the nodes there."""


@dataclass(slots=True)
class _Mean:
    sum: float = 0.0
    nodes: int = 0


class CarbonLoop:
    """One look at all nodes every half a minute."""

    def __init__(
        self, state: ClusterState, settings: Settings, metrics: Metrics, grid: Grid
    ) -> None:
        self._state = state
        self._metrics = metrics
        self._grid = grid
        self._zones = settings.carbon_zone_map
        self._pue = settings.pue

    async def run(self) -> None:
        """Look until cancelled; ends where there is no source at all."""
        while self._grid.kind is not None:
            with costs_figures_only("carbon"):
                places = await self._places()
                zones = {zone for counts in places.values() for zone, *_ in counts if zone}
                await self._grid.refresh(zones, time.time())
                self.publish(places, time.time())
            await asyncio.sleep(_REFRESH_S)

    def publish(self, places: Mapping[str, Counter[Place]], wall_s: float) -> None:
        """Tell the metrics what is known of each grid, and placement of each class.

        Placement is told of all classes or of none: one whose grid happens to be known must not
        win or lose by that.
        """
        self._metrics.grid_intensity.clear()
        self._state.carbon, self._state.grids = {}, {}
        known: dict[str, float] = {}
        grids: dict[str, dict[Area, float]] = {}
        complete = True
        for class_name, counts in places.items():
            sums = 0.0
            areas: dict[Area, _Mean] = {}
            for (zone, effectiveness, area), nodes in counts.items():
                intensity = self._grid.intensity(zone, wall_s)
                if intensity is None:
                    complete &= class_name == CPU_CLASS.name
                    continue
                labels = (zone or EVERYWHERE, intensity.kind.value)
                self._metrics.grid_intensity.labels(*labels).set(intensity.g_per_kwh)
                grams = intensity.g_per_kwh * effectiveness * nodes
                sums += grams
                if area is not None:
                    there = areas.setdefault(area, _Mean())
                    there.sum += grams
                    there.nodes += nodes
            known[class_name] = sums / counts.total()
            if len(areas) > 1:
                grids[class_name] = {area: m.sum / m.nodes for area, m in areas.items()}
        if complete:
            self._state.carbon, self._state.grids = known, grids

    async def _places(self) -> dict[str, Counter[Place]]:
        """Where the nodes of each class that has any are, and how many nodes in each place."""
        inventory = self._state.inventory()
        found: dict[str, Counter[Place]] = {}
        for kind in (CPU_CLASS, *inventory.kinds):
            counts = Counter(
                (rates.carbon_zone(kind, node, self._zones), rates.pue(node, self._pue), node.area)
                for node in inventory.nodes
                if all(node.labels.get(key) == value for key, value in kind.node_selector.items())
                and (not kind.resource or node.allocatable.get(kind.resource))
            )
            if counts:
                found[kind.name] = counts
            await asyncio.sleep(0)  # thousands of nodes: others want their turn
        return found


@contextlib.contextmanager
def costs_figures_only(what: str) -> Iterator[None]:
    """A defect of ours in here is told and costs figures: the process, and services, go on."""
    try:
        yield
    except Exception:
        logger.exception("figures of %s failed", what)
