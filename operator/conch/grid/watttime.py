"""WattTime: marginal operating emission rate of a grid region.

API v3, `login` and `forecast`: https://docs.watttime.org. The first point of a forecast without a
horizon is the rate now, at most five minutes old.
"""

from __future__ import annotations

import base64
from typing import Any, Final

from conch.errors import GridError
from conch.grid.intensity import Intensity, Kind, checked
from conch.grid.service import Refused, Service, secret

URL: Final = "https://api.watttime.org"
_G_PER_KWH: Final = 453.59237 / 1000  # of a pound per megawatt-hour
_UNIT: Final = "lbs_co2_per_mwh"


class WattTime:
    """Regions are its own: CAISO_NORTH, DE."""

    kind = Kind.MARGINAL

    def __init__(self, service: Service, token_file: str) -> None:
        self._service = service
        self._token_file = token_file
        self._token = ""

    async def ask(self, zone: str, now_s: float) -> Intensity:
        """The rate now. Raises GridError."""
        if not self._token:
            await self._login()
        try:
            answer = await self._forecast(zone)
        except Refused:  # tokens live for half an hour; a region outside the plan is refused, too
            await self._login()
            answer = await self._forecast(zone)
        where = f"WattTime, region {zone},"
        try:
            unit, value = answer["meta"]["units"], answer["data"][0]["value"]
        except (KeyError, IndexError, TypeError) as error:
            raise GridError(f"{where} gives no forecast") from error
        if str(unit).lower() != _UNIT:
            raise GridError(f"{where} counts in {unit!r:.30}, not in {_UNIT}")
        if isinstance(value, int | float) and not isinstance(value, bool):
            value *= _G_PER_KWH
        return Intensity(checked(value, where), self.kind)

    async def aclose(self) -> None:
        """End connections."""
        await self._service.aclose()

    async def _forecast(self, zone: str) -> Any:
        return await self._service.get(
            "/v3/forecast",
            {"region": zone, "signal_type": "co2_moer", "horizon_hours": "0"},
            {"Authorization": f"Bearer {self._token}"},
        )

    async def _login(self) -> None:
        user, colon, password = secret(self._token_file).partition(":")
        if not colon:
            raise GridError(f"the token file {self._token_file} must hold USER:PASSWORD")
        self._token = ""
        basic = base64.b64encode(f"{user}:{password}".encode()).decode()
        answer = await self._service.get("/login", {}, {"Authorization": f"Basic {basic}"})
        token = answer.get("token") if isinstance(answer, dict) else None
        if not isinstance(token, str) or not token or not token.isprintable():
            raise GridError("WattTime's login gives no token")
        self._token = token
