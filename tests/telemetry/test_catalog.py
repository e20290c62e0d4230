"""The catalogue of metrics: names as Prometheus wants them, and no series of what is gone."""

from __future__ import annotations

from prometheus_client import Gauge

from conch.telemetry.catalog import Metrics


def test_names_follow_prometheus_conventions() -> None:
    for family in Metrics().registry.collect():
        assert family.name.startswith("conch_")
        assert family.documentation.endswith("."), family.name
        if family.type == "histogram":
            assert family.name.endswith("_seconds"), family.name


def test_a_service_that_is_gone_leaves_no_series() -> None:
    metrics = Metrics()
    gauges = [g for g in vars(metrics).values() if isinstance(g, Gauge)]
    of_services = [g for g in gauges if g._labelnames == ("namespace", "service")]
    assert of_services
    for gauge in of_services:
        gauge.labels("team", "gone").set(1)
        gauge.labels("team", "stays").set(1)
    metrics.forget_service("team", "gone")
    metrics.forget_service("team", "never seen")
    for gauge in of_services:
        [family] = gauge.collect()
        assert [s.labels["service"] for s in family.samples] == ["stays"], family.name
