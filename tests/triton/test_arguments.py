import pytest

from conch.triton.arguments import FLAGS, arguments, parse_release

ANY = {"exit_timeout_s": 30, "connection_age_s": 300, "percentile": 99.0}


def flags(release: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for argument in arguments(release, **ANY):
        name, _, value = argument.removeprefix("--").partition("=")
        found.setdefault(name, []).append(value)
    return found


def test_command_line_of_24_10() -> None:
    assert arguments("24.10", **ANY, backend_directory="/opt/backends") == [
        "--http-port=8000",
        "--grpc-port=8001",
        "--metrics-port=8002",
        "--model-repository=/models",
        "--model-control-mode=none",
        "--strict-readiness=true",
        "--exit-on-error=false",
        "--exit-timeout-secs=30",
        "--log-format=ISO8601",
        "--grpc-max-connection-age=300000",
        "--grpc-max-connection-age-grace=30000",
        "--metrics-config=summary_latencies=true",
        "--metrics-config=summary_quantiles=0.99:0.001000",
        "--backend-directory=/opt/backends",
    ]


@pytest.mark.parametrize(
    ("flag", "last_without", "first_with"),
    [
        ("log-format", "22.05", "22.06"),
        ("metrics-config", "23.03", "23.04"),
        ("grpc-max-connection-age", "23.12", "24.01"),
        ("grpc-max-connection-age-grace", "23.12", "24.01"),
        ("allow-client-shm", "26.03", "26.04"),
    ],
)
def test_flags_are_gated_by_release(flag: str, last_without: str, first_with: str) -> None:
    assert flag not in flags(last_without)
    assert flag in flags(first_with)


def test_the_time_until_the_first_response_is_reported_where_it_can_be() -> None:
    assert "histogram_latencies=true" not in flags("24.10")["metrics-config"]
    assert "histogram_latencies=true" in flags("24.11")["metrics-config"]


def test_no_flag_outside_the_table() -> None:
    assert set(flags("26.08")) <= {flag.name for flag in FLAGS}


@pytest.mark.parametrize(
    ("percentile", "expected"), [(50, "0.5:"), (95, "0.95:"), (99.9, "0.999:0.0001")]
)
def test_the_objectives_percentile_is_reported(percentile: float, expected: str) -> None:
    found = arguments("24.10", exit_timeout_s=1, connection_age_s=1, percentile=percentile)
    assert any(a.startswith(f"--metrics-config=summary_quantiles={expected}") for a in found)


@pytest.mark.parametrize("release", ["", "24", "24.1", "v24.10", "24.10-py3", "²4.10"])
def test_nonsense_release_is_refused(release: str) -> None:
    with pytest.raises(ValueError, match=r"24\.10"):
        parse_release(release)
