"""Every setting of the operator, in one place, read once at start.

A setting is an environment variable ``CONCH_<NAME>`` (what the chart writes); ``conch run`` flags
override a few of them. ``docs/reference/settings.md`` is generated from here.
"""

from __future__ import annotations

import math
import os
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any
from urllib.parse import urlsplit

from conch import __version__
from conch.errors import SettingsError

_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


def _setting(default: Any, doc: str) -> Any:
    return field(default=default, metadata={"doc": doc})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The operator's configuration; immutable once read."""

    namespaces: tuple[str, ...] = _setting((), "Namespaces to serve, comma-separated; empty: all.")
    operator_namespace: str = _setting("conch-system", "Namespace of the operator and its Lease.")
    identity: str = _setting("", "Name of this replica in the Lease; empty: the host's.")
    leader_election: bool = _setting(True, "Whether replicas elect a leader through a Lease.")
    lease_duration_s: float = _setting(15.0, "Seconds after which a silent leader is replaced.")
    lease_renew_deadline_s: float = _setting(
        10.0, "Seconds a leader tries to renew before it ends."
    )
    lease_retry_s: float = _setting(2.0, "Seconds between attempts to get or renew the Lease.")

    triton_image: str = _setting(
        "nvcr.io/nvidia/tritonserver:24.10-py3", "Image of the built-in TritonRuntime."
    )
    triton_release: str = _setting("24.10", "NVIDIA release of the built-in TritonRuntime.")
    triton_image_pull_policy: str = _setting("IfNotPresent", "Pull policy of that image.")
    triton_backend_directory: str = _setting("", "Backend directory of that image; empty: default.")
    fetch_image: str = _setting(
        f"ghcr.io/conch-dev/conch:{__version__}", "Image of the init container that stages models."
    )
    fetch_image_pull_policy: str = _setting("IfNotPresent", "Pull policy of that image.")
    allowed_sources: tuple[str, ...] = _setting(
        ("s3://", "https://", "pvc://", "image://"),
        "URI prefixes that model sources may start with, comma-separated.",
    )
    allow_private_hosts: bool = _setting(
        False, "Whether https and s3 sources may resolve to private or loopback addresses."
    )
    fetch_max_bytes: int = _setting(200 * 1024**3, "Largest model that is downloaded, in bytes.")

    workers: int = _setting(8, "Reconciles that run at the same time.")
    writes_per_s: float = _setting(100.0, "Writes to the API server per second, on average.")
    write_burst: int = _setting(500, "Writes that may be sent at once.")
    resync_s: float = _setting(600.0, "Every resource is looked at again after this, with jitter.")
    placement_window_s: float = _setting(0.02, "How long placement waits for more requests.")
    placement_moves_per_h: int = _setting(
        6, "Services that run and may be moved to a better class within an hour; 0: none."
    )
    placement_steady_s: float = _setting(
        300.0, "Seconds a class has to be better for a service before it moves there."
    )
    scrape_interval_s: float = _setting(2.0, "Seconds between looks at every Triton pod.")
    scrape_timeout_s: float = _setting(1.5, "Seconds a Triton pod has to answer.")
    scrape_source: str = _setting(
        "Auto",
        "Where signals come from: Pods, Prometheus, or Auto: pods, and Prometheus while they "
        "cannot be reached.",
    )
    prometheus_url: str = _setting(
        "", "Base URL of a Prometheus that scrapes the Triton pods; empty: none is asked."
    )
    prometheus_token_file: str = _setting(
        "", "File with the bearer token for that Prometheus; empty: none is sent."
    )
    prometheus_ca_file: str = _setting(
        "", "File with the CA certificates for that Prometheus; empty: the system's."
    )
    drain_s: int = _setting(20, "Seconds a leaving pod keeps serving while clients move away.")

    activator_first_port: int = _setting(
        20000, "First port on which activators listen for services; the same for both."
    )
    activator_ports: int = _setting(
        2000, "How many of those ports there are: two for each service that may go to zero."
    )
    activator_connections: int = _setting(
        2000, "Connections one activator holds or passes on at once; a quarter per service."
    )

    carbon_source: str = _setting(
        "",
        "Where the carbon intensity of grids comes from: Static, ElectricityMaps, WattTime or "
        "CarbonAwareSDK; empty: there are no carbon figures.",
    )
    carbon_intensity: tuple[str, ...] = _setting(
        (), "With Static: grams of CO2 equivalent per kWh, ZONE=GRAMS, comma-separated; * is all."
    )
    carbon_zones: tuple[str, ...] = _setting(
        (),
        "The source's zone of each zone, region or site of nodes, NAME=ZONE, comma-separated; * is "
        "all others. Without one, a node's region is asked for by its own name.",
    )
    carbon_kind: str = _setting(
        "",
        "Average or Marginal: what Static or the CarbonAwareSDK gives. The others are what they "
        "are: ElectricityMaps Average, WattTime Marginal.",
    )
    carbon_url: str = _setting(
        "", "Base URL of the source; empty: its public one. CarbonAwareSDK has none."
    )
    carbon_token_file: str = _setting(
        "", "File with the token of ElectricityMaps, or WattTime's USER:PASSWORD."
    )
    pue: float = _setting(
        0.0,
        "Power usage effectiveness of the sites, 1 or more; 0: AWS 1.2, Google and Azure 1.12, "
        "elsewhere 1.56.",
    )

    startup_budget_s: int = _setting(
        1800, "Seconds Triton may take to load its models before it is restarted."
    )

    probe_port: int = _setting(8080, "Port of /healthz and /readyz.")
    metrics_port: int = _setting(9090, "Port of /metrics.")
    bind_address: str = _setting("0.0.0.0", "Address that probes and metrics listen on.")
    log_level: str = _setting("info", "debug, info, warning or error.")
    log_format: str = _setting("json", "json or text.")

    @property
    def name(self) -> str:
        """This replica's name in the Lease: unique among living processes.

        A pod's host name is; on a developer's machine several operators share one.
        """
        if self.identity:
            return self.identity
        inside = "KUBERNETES_SERVICE_HOST" in os.environ
        return socket.gethostname() if inside else f"{socket.gethostname()}_{os.getpid()}"

    def __post_init__(self) -> None:
        if not self.lease_retry_s < self.lease_renew_deadline_s < self.lease_duration_s:
            raise SettingsError(
                "CONCH_LEASE_RETRY_S < CONCH_LEASE_RENEW_DEADLINE_S < "
                "CONCH_LEASE_DURATION_S must hold"
            )
        for name in ("workers", "write_burst", "drain_s", "startup_budget_s", "fetch_max_bytes"):
            if getattr(self, name) < 1:
                raise SettingsError(f"CONCH_{name.upper()} must be 1 or more")
        if self.activator_first_port < 1024 or self.activator_ports < 2:
            raise SettingsError(
                "CONCH_ACTIVATOR_FIRST_PORT must be 1024 or more, CONCH_ACTIVATOR_PORTS 2 or more"
            )
        if self.activator_first_port + self.activator_ports > 65536:
            raise SettingsError("CONCH_ACTIVATOR_PORTS reach beyond 65535")
        if self.activator_connections < 4:
            raise SettingsError("CONCH_ACTIVATOR_CONNECTIONS must be 4 or more")
        for name in ("writes_per_s", "scrape_interval_s", "scrape_timeout_s", "resync_s"):
            if not 0 < getattr(self, name) < math.inf:
                raise SettingsError(f"CONCH_{name.upper()} must be more than zero, and a number")
        self._check_sources()
        self._check_carbon()
        if not 0 <= self.placement_window_s < 60:
            raise SettingsError("CONCH_PLACEMENT_WINDOW_S must be 0 to 60")
        if self.placement_moves_per_h < 0:
            raise SettingsError("CONCH_PLACEMENT_MOVES_PER_H must be 0 or more")
        if not 1 <= self.placement_steady_s <= 86400:
            raise SettingsError("CONCH_PLACEMENT_STEADY_S must be 1 to 86400")
        for name in ("probe_port", "metrics_port"):
            if not 0 <= getattr(self, name) <= 65535:
                raise SettingsError(f"CONCH_{name.upper()} must be a port, 1 to 65535")
        for namespace in (*self.namespaces, self.operator_namespace):
            if not _NAMESPACE.fullmatch(namespace):
                # Patterns, too: kopf would understand them, the API server would not.
                raise SettingsError(f"{namespace!r} cannot be the name of a namespace")

    @property
    def carbon_zone_map(self) -> dict[str, str]:
        """``carbon_zones`` as a map. Raises SettingsError."""
        return _pairs("CONCH_CARBON_ZONES", self.carbon_zones)

    @property
    def carbon_intensity_map(self) -> dict[str, float]:
        """``carbon_intensity`` as a map, g/kWh. Raises SettingsError."""
        found = {}
        for zone, text in _pairs("CONCH_CARBON_INTENSITY", self.carbon_intensity).items():
            try:
                found[zone] = float(text)
            except ValueError:
                found[zone] = math.nan
            if not 0 <= found[zone] <= 5000:
                raise SettingsError(f"CONCH_CARBON_INTENSITY: {zone} must be 0 to 5000 g/kWh")
        return found

    def _check_carbon(self) -> None:
        source, kind = self.carbon_source, self.carbon_kind
        kinds = {
            "": ("", "Average", "Marginal"),
            "Static": ("", "Average", "Marginal"),
            "ElectricityMaps": ("", "Average"),
            "WattTime": ("", "Marginal"),
            "CarbonAwareSDK": ("Average", "Marginal"),
        }
        if source not in kinds:
            raise SettingsError(f"CONCH_CARBON_SOURCE must be {', '.join(filter(None, kinds))}")
        if kind not in kinds[source]:
            allowed = " or ".join(filter(None, kinds[source]))
            raise SettingsError(f"CONCH_CARBON_KIND must be {allowed} with {source or 'no source'}")
        if source in ("ElectricityMaps", "WattTime") and not self.carbon_token_file:
            raise SettingsError(f"CONCH_CARBON_SOURCE={source} needs CONCH_CARBON_TOKEN_FILE")
        if source == "CarbonAwareSDK" and not self.carbon_url:
            raise SettingsError("CONCH_CARBON_SOURCE=CarbonAwareSDK needs CONCH_CARBON_URL")
        if self.carbon_url:
            _check_url("CONCH_CARBON_URL", self.carbon_url, "CONCH_CARBON_TOKEN_FILE")
        known = self.carbon_intensity_map
        if source == "Static" and not known:
            raise SettingsError("CONCH_CARBON_SOURCE=Static needs CONCH_CARBON_INTENSITY")
        if source != "Static" and known:
            raise SettingsError("CONCH_CARBON_INTENSITY is only for CONCH_CARBON_SOURCE=Static")
        _ = self.carbon_zone_map
        if self.pue and not 1 <= self.pue <= 5:
            raise SettingsError("CONCH_PUE must be 1 to 5, or 0")

    def _check_sources(self) -> None:
        if self.scrape_source not in ("Auto", "Pods", "Prometheus"):
            raise SettingsError("CONCH_SCRAPE_SOURCE must be Auto, Pods or Prometheus")
        if not self.prometheus_url:
            if self.scrape_source == "Prometheus":
                raise SettingsError("CONCH_SCRAPE_SOURCE=Prometheus needs CONCH_PROMETHEUS_URL")
            return
        _check_url("CONCH_PROMETHEUS_URL", self.prometheus_url, "CONCH_PROMETHEUS_TOKEN_FILE")


def from_environment(environ: Mapping[str, str] = os.environ, **overrides: Any) -> Settings:
    """Settings from ``CONCH_*`` variables; ``overrides`` that are not None win.

    Raises SettingsError naming the variable that cannot be read.
    """
    values: dict[str, Any] = {}
    for spec in fields(Settings):
        variable = f"CONCH_{spec.name.upper()}"
        raw = environ.get(variable)
        if raw is None:
            continue
        values[spec.name] = _parse(variable, raw, spec.default)
    values.update({k: v for k, v in overrides.items() if v is not None})
    return Settings(**values)


def _check_url(variable: str, text: str, token_variable: str) -> None:
    try:
        url = urlsplit(text)
        sound = url.scheme in ("http", "https") and url.hostname and url.port != 0
    except ValueError:
        sound = False
    # The URL itself stays out of these messages: it may hold a password.
    if not sound or url.query or url.fragment:
        raise SettingsError(f"{variable} must be http(s)://HOST[:PORT][/PATH]")
    if url.username is not None or url.password is not None:
        raise SettingsError(
            f"{variable} must hold no credentials: put a token in a file and name it "
            f"in {token_variable}"
        )


def _pairs(variable: str, items: tuple[str, ...]) -> dict[str, str]:
    found = {}
    for item in items:
        name, equals, value = (part.strip() for part in item.partition("="))
        if not (name and equals and value):
            raise SettingsError(f"{variable}: {item!r:.60} is not NAME=VALUE")
        found[name] = value
    return found


def _parse(variable: str, raw: str, default: Any) -> Any:
    try:
        if isinstance(default, bool):
            return {"true": True, "false": False}[raw.strip().lower()]
        if isinstance(default, tuple):
            return tuple(dict.fromkeys(part.strip() for part in raw.split(",") if part.strip()))
        return type(default)(raw)
    except (ValueError, KeyError) as error:
        raise SettingsError(
            f"{variable}={raw!r} is not a valid {type(default).__name__}"
        ) from error
