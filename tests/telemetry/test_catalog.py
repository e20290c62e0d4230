"""The catalogue of metrics: names as Prometheus wants them, and no series of what is gone."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

from conch.api.conditions import Condition, ConditionType, Reason
from conch.telemetry.catalog import Metrics


def test_names_follow_prometheus_conventions() -> None:
    for family in Metrics().registry.collect():
        assert family.name.startswith("conch_")
        assert family.documentation.endswith("."), family.name
        if family.type == "histogram":
            assert family.name.endswith("_seconds"), family.name


def test_a_service_that_is_gone_leaves_no_series() -> None:
    metrics = Metrics()
    found = [m for m in vars(metrics).values() if isinstance(m, Counter | Gauge)]
    of_services = [m for m in found if m._labelnames[:2] == ("namespace", "service")]
    assert {len(m._labelnames) for m in of_services} == {2, 3, 4, 5}
    for metric in of_services:
        more = ["x"] * (len(metric._labelnames) - 2)
        metric.labels("team", "gone", *more)
        metric.labels("team", "stays", *more)
    metrics.forget_service("team", "gone")
    metrics.forget_service("team", "never seen")
    for metric in of_services:
        [family] = metric.collect()
        assert {s.labels["service"] for s in family.samples} == {"stays"}, family.name


def test_a_condition_has_one_series_and_a_gone_service_none() -> None:
    metrics = Metrics()

    def told() -> set[tuple[str, str, str, str]]:
        [family] = metrics.condition.collect()
        names = ("service", "condition", "status", "reason")
        assert all(sample.value == 1 for sample in family.samples)
        return {tuple(s.labels[n] for n in names) for s in family.samples}  # type: ignore[misc]

    placed = Condition(ConditionType.PLACED, "True", Reason.PLACED)
    for name in ("a", "b"):
        metrics.tell_conditions(
            "team", name, [placed, Condition(ConditionType.READY, "False", Reason.NO_CAPACITY)]
        )
    metrics.tell_conditions(
        "team", "a", [placed, Condition(ConditionType.READY, "True", Reason.READY)]
    )
    assert told() == {
        ("a", "Placed", "True", "Placed"),
        ("a", "Ready", "True", "Ready"),
        ("b", "Placed", "True", "Placed"),
        ("b", "Ready", "False", "NoCapacity"),
    }
    metrics.forget_service("team", "a")
    metrics.tell_conditions("team", "b", [])
    assert told() == set()
    metrics.tell_conditions("team", "a", [placed])  # a namesake
    assert told() == {("a", "Placed", "True", "Placed")}
