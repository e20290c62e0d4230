"""Which source of grid intensity is asked, and what was last heard of each zone.

What cannot be had is unknown, never a guess and never another source's number: without an
intensity there is no carbon figure, and everything else goes on (fail open).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from conch.errors import GridError
from conch.grid import electricity_maps, watttime
from conch.grid.carbon_aware import CarbonAware
from conch.grid.intensity import Intensity, Kind
from conch.grid.service import Service
from conch.settings import Settings

logger = logging.getLogger(__name__)

# Sources publish every five minutes at most, most of them every hour.
_EVERY_S: Final = 300.0
# An hour's number is published within the next; older ones say nothing about now.
_GOOD_FOR_S: Final = 2 * 3600.0
# Each is a request: a cluster lies in a few grids, and a mistake must not become a flood.
_MOST_ZONES: Final = 64
_AT_ONCE: Final = 4
EVERYWHERE: Final = "*"
"""In settings: all zones that are not named."""


class Source(Protocol):
    """Somebody who knows the intensity of zones."""

    @property
    def kind(self) -> Kind:
        """Of everything it says."""
        ...

    async def ask(self, zone: str, now_s: float) -> Intensity:
        """What it says of now (seconds since 1970). Raises GridError."""
        ...

    async def aclose(self) -> None:
        """End connections."""
        ...


def make(settings: Settings) -> Source | None:
    """The source that the settings name; None: there is none to ask."""
    name, token = settings.carbon_source, settings.carbon_token_file
    if name == "ElectricityMaps":
        url = settings.carbon_url or electricity_maps.URL
        return electricity_maps.ElectricityMaps(Service(url), token)
    if name == "WattTime":
        return watttime.WattTime(Service(settings.carbon_url or watttime.URL), token)
    if name == "CarbonAwareSDK":
        return CarbonAware(Service(settings.carbon_url), Kind(settings.carbon_kind))
    return None


@dataclass(slots=True)
class _Heard:
    intensity: Intensity | None = None
    at_s: float = float("-inf")
    asked_s: float = float("-inf")
    problem: str = ""


class Grid:
    """What is known of every zone that somebody asked for."""

    def __init__(
        self, source: Source | None, fixed: Mapping[str, float], kind: Kind = Kind.AVERAGE
    ) -> None:
        """``fixed``: g/kWh by zone, EVERYWHERE for all others, of ``kind``; without a source."""
        self._source = source
        fallback = kind if fixed else None
        self.kind = source.kind if source is not None else fallback
        """Of everything that is known here; None: nothing ever will be."""
        self._fixed = {zone: Intensity(value, kind) for zone, value in fixed.items()}
        self._heard: dict[str, _Heard] = {}

    def intensity(self, zone: str, now_s: float) -> Intensity | None:
        """Of a zone ("": nothing tells which), None while it is not known."""
        if self._source is None:
            return self._fixed.get(zone) or self._fixed.get(EVERYWHERE)
        heard = self._heard.get(zone)
        # A clock that was set back makes nothing young.
        fresh = heard is not None and 0 <= now_s - heard.at_s < _GOOD_FOR_S
        return heard.intensity if heard is not None and fresh else None

    async def refresh(self, zones: Collection[str], now_s: float) -> None:
        """Ask for those of ``zones`` that are due; forget all others. Never raises GridError."""
        if self._source is None:
            return
        wanted = sorted(zones)[:_MOST_ZONES]
        for zone in self._heard.keys() - set(wanted):
            del self._heard[zone]
        due = [
            zone
            for zone in wanted
            if not 0 <= now_s - self._heard.setdefault(zone, _Heard()).asked_s < _EVERY_S
        ]
        places = asyncio.Semaphore(_AT_ONCE)
        await asyncio.gather(*(self._ask(self._source, places, zone, now_s) for zone in due))

    async def _ask(
        self, source: Source, places: asyncio.Semaphore, zone: str, now_s: float
    ) -> None:
        heard = self._heard[zone]
        heard.asked_s = now_s
        try:
            async with places:
                heard.intensity, heard.at_s = await source.ask(zone, now_s), now_s
            problem = ""
        except GridError as error:
            problem = str(error)
        if problem != heard.problem:
            heard.problem = problem
            logger.warning("carbon intensity of %s: %s", zone, problem or "known again")

    async def aclose(self) -> None:
        """End connections."""
        if self._source is not None:
            await self._source.aclose()
