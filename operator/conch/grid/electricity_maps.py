"""Electricity Maps: average intensity of a zone's consumption, lifecycle emission factors.

API v3, `carbon-intensity/latest`: https://app.electricitymaps.com/developer-hub/api/reference
"""

from __future__ import annotations

from typing import Final

from conch.errors import GridError
from conch.grid.intensity import Intensity, Kind, checked
from conch.grid.service import Service, secret

URL: Final = "https://api.electricitymaps.com"


class ElectricityMaps:
    """Zones are its own: DE, US-CAL-CISO."""

    kind = Kind.AVERAGE

    def __init__(self, service: Service, token_file: str) -> None:
        self._service = service
        self._token_file = token_file

    async def ask(self, zone: str, now_s: float) -> Intensity:
        """The newest hour's. Raises GridError."""
        answer = await self._service.get(
            "/v3/carbon-intensity/latest",
            # For a zone it does not know it would answer for where the caller seems to be.
            {"zone": zone, "disableCallerLookup": "true"},
            {"auth-token": secret(self._token_file)},
        )
        if not isinstance(answer, dict) or answer.get("zone") != zone:
            raise GridError(f"Electricity Maps does not know zone {zone}")
        where = f"Electricity Maps, zone {zone},"
        return Intensity(checked(answer.get("carbonIntensity"), where), self.kind)

    async def aclose(self) -> None:
        """End connections."""
        await self._service.aclose()
