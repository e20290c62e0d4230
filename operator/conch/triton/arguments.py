"""Triton's command line, by NVIDIA release.

Decides which flags a server of a given release gets. An unknown flag makes tritonserver exit with
rc 1 at once, so every flag carries the releases that know it. Pure: it reads no file, no clock.

``since`` was read in src/command_line_parser.cc (before 23.04: src/main.cc) of every release branch
r22.04 … r26.08 of triton-inference-server/server; those of 24.10 were accepted by the real binary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from conch.api import names

Release = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Flag:
    """One flag and the releases that know it: ``since`` <= release < ``until`` (None: still)."""

    name: str
    since: Release
    until: Release | None = None
    source: str = ""

    def known_to(self, release: Release) -> bool:
        """Whether a server of ``release`` accepts the flag."""
        return self.since <= release and (self.until is None or release < self.until)


OLDEST: Final[Release] = (22, 4)  # the oldest branch whose parser could be read

HTTP_PORT: Final = Flag("http-port", OLDEST)
GRPC_PORT: Final = Flag("grpc-port", OLDEST)
METRICS_PORT: Final = Flag("metrics-port", OLDEST)
MODEL_REPOSITORY: Final = Flag("model-repository", OLDEST)
MODEL_CONTROL_MODE: Final = Flag("model-control-mode", OLDEST)
STRICT_READINESS: Final = Flag("strict-readiness", OLDEST)
EXIT_ON_ERROR: Final = Flag("exit-on-error", OLDEST)
EXIT_TIMEOUT_SECS: Final = Flag("exit-timeout-secs", OLDEST)
BACKEND_DIRECTORY: Final = Flag("backend-directory", OLDEST)
LOG_FORMAT: Final = Flag("log-format", (22, 6), source="server#4423")
METRICS_CONFIG: Final = Flag("metrics-config", (23, 4), source="server#5619")
GRPC_MAX_CONNECTION_AGE: Final = Flag("grpc-max-connection-age", (24, 1), source="server#6639")
GRPC_MAX_CONNECTION_AGE_GRACE: Final = Flag(
    "grpc-max-connection-age-grace", (24, 1), source="server#6639"
)
# The time until the first response. 24.10 takes the setting and reports nothing (measured);
# core c815a13 (October 2024) has it for models that stream, 26.01 for all. A model's own buckets
# (`model_metrics`, common 3948525) came with the same release.
HISTOGRAMS: Final = Flag("metrics-config", (24, 11), source="core c815a13")
ALLOW_CLIENT_SHM: Final = Flag("allow-client-shm", (26, 4), source="server#8721")

FLAGS: Final = (
    HTTP_PORT,
    GRPC_PORT,
    METRICS_PORT,
    MODEL_REPOSITORY,
    MODEL_CONTROL_MODE,
    STRICT_READINESS,
    EXIT_ON_ERROR,
    EXIT_TIMEOUT_SECS,
    BACKEND_DIRECTORY,
    LOG_FORMAT,
    METRICS_CONFIG,
    GRPC_MAX_CONNECTION_AGE,
    GRPC_MAX_CONNECTION_AGE_GRACE,
    ALLOW_CLIENT_SHM,
)


def parse_release(release: str) -> Release:
    """``"24.10"`` as ``(24, 10)``. Raises ValueError for anything else."""
    year, _, month = release.partition(".")
    if not (len(year) == len(month) == 2 and (year + month).isdecimal()):
        raise ValueError(f"not a Triton release: {release!r}; write it like 24.10")
    return int(year), int(month)


def quantile(percentile: float) -> float:
    """The percentile (0..100) as Triton's quantile (0..1), free of binary rounding."""
    return round(percentile / 100, 6)


def arguments(
    release: str,
    *,
    exit_timeout_s: int,
    connection_age_s: int,
    percentile: float,
    backend_directory: str | None = None,
) -> list[str]:
    """The arguments of ``tritonserver``, in a stable order; flags the release lacks are left out.

    ``exit_timeout_s`` bounds the wait for requests in flight after SIGTERM, ``connection_age_s``
    the life of a gRPC channel, ``percentile`` (0..100) is the one whose latency Triton reports.
    Raises ValueError when ``release`` is not a release.
    """
    version = parse_release(release)
    wanted_quantile = quantile(percentile)
    # prometheus-cpp keeps a sketch: a tenth of the tail is a small enough rank error.
    rank_error = round((1 - wanted_quantile) / 10, 7)
    wanted: list[tuple[Flag, str]] = [
        (HTTP_PORT, str(names.PORT_HTTP)),
        (GRPC_PORT, str(names.PORT_GRPC)),
        (METRICS_PORT, str(names.PORT_METRICS)),
        (MODEL_REPOSITORY, names.MODEL_REPOSITORY),
        # Nothing may load or unload behind the operator's back: a new model is a new pod.
        (MODEL_CONTROL_MODE, "none"),
        # /v2/health/ready is then true only when every model is; its trap (one failed *re*load
        # poisons it for ever) needs mode explicit or poll.
        (STRICT_READINESS, "true"),
        # A server that stays up can be asked why a model does not load (triton/repository.py);
        # what one that exits says last is its option table.
        (EXIT_ON_ERROR, "false"),
        (EXIT_TIMEOUT_SECS, str(exit_timeout_s)),
        (LOG_FORMAT, "ISO8601"),
        # A channel lives for hours and sticks to its pod: new replicas would get nothing.
        (GRPC_MAX_CONNECTION_AGE, str(connection_age_s * 1000)),
        (GRPC_MAX_CONNECTION_AGE_GRACE, str(exit_timeout_s * 1000)),
        (METRICS_CONFIG, "summary_latencies=true"),
        (METRICS_CONFIG, f"summary_quantiles={wanted_quantile:g}:{rank_error:f}"),
        (HISTOGRAMS, "histogram_latencies=true"),
        (ALLOW_CLIENT_SHM, "false"),
    ]
    if backend_directory:
        wanted.append((BACKEND_DIRECTORY, backend_directory))
    return [f"--{flag.name}={value}" for flag, value in wanted if flag.known_to(version)]
