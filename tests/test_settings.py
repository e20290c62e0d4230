"""Settings: read once, checked at once, and a mistake names the variable."""

from __future__ import annotations

import os
import socket
from dataclasses import fields

import pytest

from conch.errors import SettingsError
from conch.settings import Settings, from_environment


def test_an_empty_environment_gives_the_defaults() -> None:
    assert from_environment({}) == Settings()


def test_every_setting_can_be_given_back_as_text() -> None:
    defaults = Settings()
    environ = {}
    for spec in fields(Settings):
        value = getattr(defaults, spec.name)
        text = ",".join(value) if isinstance(value, tuple) else str(value)
        environ[f"CONCH_{spec.name.upper()}"] = text
    assert from_environment(environ) == defaults


def test_every_setting_is_documented() -> None:
    assert all(spec.metadata["doc"].endswith(".") for spec in fields(Settings))


def test_variables_are_read_as_their_type() -> None:
    found = from_environment(
        {
            "CONCH_NAMESPACES": " a, b,,a ",
            "CONCH_LEADER_ELECTION": "False",
            "CONCH_WORKERS": "3",
            "CONCH_RESYNC_S": "12.5",
        }
    )
    assert found.namespaces == ("a", "b")
    assert found.leader_election is False
    assert (found.workers, found.resync_s) == (3, 12.5)


def test_what_a_command_was_given_goes_first() -> None:
    environ = {"CONCH_LOG_LEVEL": "error", "CONCH_LOG_FORMAT": "json"}
    found = from_environment(environ, log_level="debug", log_format=None)
    assert (found.log_level, found.log_format) == ("debug", "json")


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("CONCH_LEADER_ELECTION", "yes"),
        ("CONCH_WORKERS", "many"),
        ("CONCH_WORKERS", "0"),
        ("CONCH_RESYNC_S", "nan"),
        ("CONCH_RESYNC_S", "inf"),
        ("CONCH_WRITES_PER_S", "-1"),
        ("CONCH_PLACEMENT_WINDOW_S", "nan"),
        ("CONCH_PROBE_PORT", "65536"),
        ("CONCH_STARTUP_BUDGET_S", "0"),
        ("CONCH_LEASE_DURATION_S", "1"),
        ("CONCH_SCRAPE_SOURCE", "pods"),
        ("CONCH_PROMETHEUS_URL", "prometheus:9090"),
        ("CONCH_PROMETHEUS_URL", "https://[::1/"),
        ("CONCH_PROMETHEUS_URL", "https:///path"),
        ("CONCH_PROMETHEUS_URL", "https://prometheus/?query=up"),
    ],
)
def test_a_mistake_names_its_variable(variable: str, text: str) -> None:
    with pytest.raises(SettingsError, match=variable):
        from_environment({variable: text})


@pytest.mark.parametrize("namespace", ["team-*", "Team", "-a", "a" * 64, "!kube-system"])
def test_only_names_of_namespaces_are_served(namespace: str) -> None:
    with pytest.raises(SettingsError, match="namespace"):
        from_environment({"CONCH_NAMESPACES": namespace})


def test_replicas_have_names_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings(identity="me").name == "me"
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    assert Settings().name == f"{socket.gethostname()}_{os.getpid()}"
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert Settings().name == socket.gethostname()


def test_forcing_prometheus_needs_one() -> None:
    with pytest.raises(SettingsError, match="CONCH_PROMETHEUS_URL"):
        from_environment({"CONCH_SCRAPE_SOURCE": "Prometheus"})
    found = from_environment(
        {"CONCH_SCRAPE_SOURCE": "Prometheus", "CONCH_PROMETHEUS_URL": "https://prometheus:9090/p"}
    )
    assert found.prometheus_url == "https://prometheus:9090/p"


def test_a_password_in_a_url_is_refused_and_not_repeated() -> None:
    with pytest.raises(SettingsError, match="CONCH_PROMETHEUS_TOKEN_FILE") as caught:
        from_environment({"CONCH_PROMETHEUS_URL": "https://me:hunter2@prometheus"})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({"SOURCE": "Guess"}, "CONCH_CARBON_SOURCE must be Static, ElectricityMaps"),
        ({"SOURCE": "WattTime", "TOKEN_FILE": "/t", "KIND": "Average"}, "must be Marginal with"),
        ({"SOURCE": "ElectricityMaps", "TOKEN_FILE": "/t", "KIND": "Marginal"}, "must be Average"),
        ({"SOURCE": "CarbonAwareSDK", "URL": "http://sdk"}, "must be Average or Marginal with"),
        ({"SOURCE": "CarbonAwareSDK", "KIND": "Average"}, "needs CONCH_CARBON_URL"),
        ({"SOURCE": "WattTime"}, "needs CONCH_CARBON_TOKEN_FILE"),
        ({"SOURCE": "Static"}, "needs CONCH_CARBON_INTENSITY"),
        ({"SOURCE": "Static", "INTENSITY": "DE"}, "'DE' is not NAME=VALUE"),
        ({"SOURCE": "Static", "INTENSITY": "DE=lots"}, "DE must be 0 to 5000"),
        ({"SOURCE": "Static", "INTENSITY": "DE=nan"}, "DE must be 0 to 5000"),
        ({"SOURCE": "Static", "INTENSITY": "DE=-1"}, "DE must be 0 to 5000"),
        ({"INTENSITY": "DE=300"}, "only for CONCH_CARBON_SOURCE=Static"),
        ({"ZONES": "eu-1="}, "CONCH_CARBON_ZONES"),
        ({"URL": "ftp://x"}, "CONCH_CARBON_URL must be http"),
        ({"URL": "https://me:hunter2@x"}, "CONCH_CARBON_TOKEN_FILE"),
    ],
)
def test_carbon_settings_that_cannot_work(environ: dict[str, str], told: str) -> None:
    with pytest.raises(SettingsError, match=told) as caught:
        from_environment({f"CONCH_CARBON_{name}": value for name, value in environ.items()})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("pue", ["0.9", "-1", "7", "nan", "inf"])
def test_a_site_cannot_use_less_than_its_machines(pue: str) -> None:
    with pytest.raises(SettingsError, match="CONCH_PUE"):
        from_environment({"CONCH_PUE": pue})


def test_carbon_maps() -> None:
    found = from_environment(
        {
            "CONCH_CARBON_SOURCE": "Static",
            "CONCH_CARBON_INTENSITY": "DE=350, *=475",
            "CONCH_CARBON_ZONES": "eu-central-1=DE,*=WORLD",
        }
    )
    assert found.carbon_intensity_map == {"DE": 350.0, "*": 475.0}
    assert found.carbon_zone_map == {"eu-central-1": "DE", "*": "WORLD"}
