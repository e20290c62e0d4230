"""Each source's client against a server that speaks its documented API."""

import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest

from conch.errors import GridError
from conch.grid.carbon_aware import CarbonAware
from conch.grid.electricity_maps import ElectricityMaps
from conch.grid.intensity import Intensity, Kind, checked
from conch.grid.service import Service
from conch.grid.watttime import WattTime
from tests.grid.servers import Server

NOW_S = 1_790_000_000.0  # 2026-09-21T14:13:20Z
MAPS = {
    "zone": "DE",
    "carbonIntensity": 302,
    "datetime": "2026-09-21T14:00:00.000Z",
    "updatedAt": "2026-09-21T13:45:00.000Z",
    "emissionFactorType": "lifecycle",
    "isEstimated": False,
    "estimationMethod": None,
}
MOER = {
    "data": [{"point_time": "2026-09-21T14:10:00+00:00", "value": 870.0}],
    "meta": {"region": "CAISO_NORTH", "signal_type": "co2_moer", "units": "lbs_co2_per_mwh"},
}
RATINGS = [
    {"location": "eastus", "time": "2026-09-21T13:00:00+00:00", "rating": 70, "duration": "01:00"},
    {"location": "eastus", "time": "2026-09-21T14:00:00+00:00", "rating": 65.5},
    {"location": "eastus", "time": "2026-09-21T12:00:00+00:00", "rating": 90},
]


@pytest.fixture
async def service(server: Server) -> AsyncIterator[Service]:
    made = Service(server.url, timeout_s=1, first_wait_s=0.001)
    yield made
    await made.aclose()


# --- Electricity Maps -----------------------------------------------------------------------------


async def test_electricity_maps(server: Server, service: Service, token: str) -> None:
    server.answers = [MAPS]
    source = ElectricityMaps(service, token)
    assert await source.ask("DE", NOW_S) == Intensity(302.0, Kind.AVERAGE)
    assert server.paths == ["/v3/carbon-intensity/latest"]
    assert server.queries == [{"zone": "DE", "disableCallerLookup": "true"}]
    assert server.headers[0]["auth-token"] == "me:s3cr3t"


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (MAPS | {"zone": "FR"}, "does not know zone DE"),  # it answered for the caller's place
        ({}, "does not know zone DE"),
        ([], "does not know zone DE"),
        (MAPS | {"carbonIntensity": None}, "gives no number: None"),
        (MAPS | {"carbonIntensity": "302"}, "gives no number"),
        (MAPS | {"carbonIntensity": -1}, "cannot be"),
        (MAPS | {"carbonIntensity": 302000}, "cannot be"),
        (MAPS | {"carbonIntensity": True}, "gives no number"),
    ],
)
async def test_electricity_maps_nonsense(
    server: Server, service: Service, token: str, answer: Any, told: str
) -> None:
    server.answers = [answer]
    with pytest.raises(GridError, match=told):
        await ElectricityMaps(service, token).ask("DE", NOW_S)


# --- WattTime -------------------------------------------------------------------------------------


async def test_watttime_logs_in_once(server: Server, service: Service, token: str) -> None:
    server.answers = [{"token": "t1"}, MOER, MOER]
    source = WattTime(service, token)
    found = await source.ask("CAISO_NORTH", NOW_S)
    assert found.kind is Kind.MARGINAL
    assert found.g_per_kwh == pytest.approx(394.625, abs=0.01)
    await source.ask("CAISO_NORTH", NOW_S)
    assert server.paths == ["/login", "/v3/forecast", "/v3/forecast"]
    basic = base64.b64encode(b"me:s3cr3t").decode()
    assert server.headers[0]["Authorization"] == f"Basic {basic}"
    assert server.headers[1]["Authorization"] == "Bearer t1"
    assert server.queries[1] == {
        "region": "CAISO_NORTH",
        "signal_type": "co2_moer",
        "horizon_hours": "0",
    }


async def test_watttime_logs_in_again_when_its_token_has_expired(
    server: Server, service: Service, token: str
) -> None:
    server.answers = [{"token": "t1"}, 401, {"token": "t2"}, MOER]
    await WattTime(service, token).ask("CAISO_NORTH", NOW_S)
    assert server.headers[3]["Authorization"] == "Bearer t2"


async def test_watttime_a_region_outside_the_plan_is_refused_for_good(
    server: Server, service: Service, token: str
) -> None:
    server.answers = [{"token": "t1"}, 403, {"token": "t2"}, 403]
    with pytest.raises(GridError, match="HTTP 403"):
        await WattTime(service, token).ask("DE", NOW_S)
    assert len(server.paths) == 4


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ([{}], "login gives no token"),
        ([{"token": "a\nb"}], "login gives no token"),
        ([{"token": "t"}, {}], "gives no forecast"),
        ([{"token": "t"}, MOER | {"data": []}], "gives no forecast"),
        ([{"token": "t"}, MOER | {"meta": {"units": "percentile"}}], "counts in 'percentile'"),
        ([{"token": "t"}, MOER | {"data": [{"value": "870"}]}], "gives no number"),
        ([{"token": "t"}, MOER | {"data": [{"value": 1e6}]}], "cannot be"),
    ],
)
async def test_watttime_nonsense(
    server: Server, service: Service, token: str, answers: list[Any], told: str
) -> None:
    server.answers = answers
    with pytest.raises(GridError, match=told):
        await WattTime(service, token).ask("CAISO_NORTH", NOW_S)


async def test_watttime_needs_a_user_and_a_password(
    service: Service, tmp_path: Any, server: Server
) -> None:
    file = tmp_path / "token"
    file.write_text("only-a-token")
    with pytest.raises(GridError, match="must hold USER:PASSWORD") as caught:
        await WattTime(service, str(file)).ask("DE", NOW_S)
    assert "only-a-token" not in str(caught.value)
    assert server.paths == []


# --- Carbon Aware SDK -----------------------------------------------------------------------------


async def test_carbon_aware_takes_the_newest(server: Server, service: Service) -> None:
    server.answers = [RATINGS]
    source = CarbonAware(service, Kind.MARGINAL)
    assert await source.ask("eastus", NOW_S) == Intensity(65.5, Kind.MARGINAL)
    assert server.paths == ["/emissions/bylocation"]
    assert server.queries == [
        {"location": "eastus", "time": "2026-09-21T12:13Z", "toTime": "2026-09-21T14:13Z"}
    ]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        ([], "no data"),
        (204, "no data"),  # what it says for none
        ({}, "no data"),
        ([{"rating": 5}], "without a time"),
        ([7], "without a time"),
        ([{"time": "now", "rating": 5}], "without a time"),
        ([{"time": "2026-09-21T12:00:00", "rating": None}], "gives no number"),
    ],
)
async def test_carbon_aware_nonsense(
    server: Server, service: Service, answer: Any, told: str
) -> None:
    server.answers = [answer]
    with pytest.raises(GridError, match=told):
        await CarbonAware(service, Kind.AVERAGE).ask("eastus", NOW_S)


def test_a_number_that_can_be() -> None:
    assert checked(0, "x") == 0.0
    assert checked(1200, "x") == 1200.0


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.1, 5001])
def test_a_number_that_cannot_be(value: float) -> None:
    with pytest.raises(GridError, match="the grid"):
        checked(value, "the grid")
