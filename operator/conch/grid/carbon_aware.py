"""The Green Software Foundation's Carbon Aware SDK, run by somebody in or near the cluster.

Its Web API's `emissions/bylocation` gives g/kWh. Whether that is average or marginal depends on the
data source it was given, and it does not say: so the admin has to.
https://github.com/Green-Software-Foundation/carbon-aware-sdk
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

from conch.errors import GridError
from conch.grid.intensity import Intensity, Kind, checked
from conch.grid.service import Service

_LOOK_BACK: Final = timedelta(hours=2)


class CarbonAware:
    """Locations are its own: by default regions of clouds, such as westeurope."""

    def __init__(self, service: Service, kind: Kind) -> None:
        self._service = service
        self.kind = kind

    async def ask(self, zone: str, now_s: float) -> Intensity:
        """The newest that has been observed. Raises GridError."""
        now = datetime.fromtimestamp(now_s, UTC)
        answer = await self._service.get(
            "/emissions/bylocation",
            {
                "location": zone,
                "time": (now - _LOOK_BACK).strftime("%Y-%m-%dT%H:%MZ"),
                "toTime": now.strftime("%Y-%m-%dT%H:%MZ"),
            },
        )
        where = f"the Carbon Aware SDK, location {zone},"
        if not isinstance(answer, list) or not answer:
            raise GridError(f"{where} has no data of the last two hours")
        newest = max(answer, key=lambda entry: _time(entry, where))
        return Intensity(checked(newest.get("rating"), where), self.kind)

    async def aclose(self) -> None:
        """End connections."""
        await self._service.aclose()


def _time(entry: Any, where: str) -> datetime:
    try:
        found = datetime.fromisoformat(entry["time"])
    except (KeyError, TypeError, ValueError) as error:
        raise GridError(f"{where} gives an entry without a time") from error
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
