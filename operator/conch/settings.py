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
        if not 0 <= self.placement_window_s < 60:
            raise SettingsError("CONCH_PLACEMENT_WINDOW_S must be 0 to 60")
        for name in ("probe_port", "metrics_port"):
            if not 0 <= getattr(self, name) <= 65535:
                raise SettingsError(f"CONCH_{name.upper()} must be a port, 1 to 65535")
        for namespace in (*self.namespaces, self.operator_namespace):
            if not _NAMESPACE.fullmatch(namespace):
                # Patterns, too: kopf would understand them, the API server would not.
                raise SettingsError(f"{namespace!r} cannot be the name of a namespace")

    def _check_sources(self) -> None:
        if self.scrape_source not in ("Auto", "Pods", "Prometheus"):
            raise SettingsError("CONCH_SCRAPE_SOURCE must be Auto, Pods or Prometheus")
        if not self.prometheus_url:
            if self.scrape_source == "Prometheus":
                raise SettingsError("CONCH_SCRAPE_SOURCE=Prometheus needs CONCH_PROMETHEUS_URL")
            return
        try:
            url = urlsplit(self.prometheus_url)
            sound = url.scheme in ("http", "https") and url.hostname and url.port != 0
        except ValueError:
            sound = False
        # The URL itself stays out of these messages: it may hold a password.
        if not sound or url.query or url.fragment:
            raise SettingsError("CONCH_PROMETHEUS_URL must be http(s)://HOST[:PORT][/PATH]")
        if url.username is not None or url.password is not None:
            raise SettingsError(
                "CONCH_PROMETHEUS_URL must hold no credentials: put a token in a file and name it "
                "in CONCH_PROMETHEUS_TOKEN_FILE"
            )


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
