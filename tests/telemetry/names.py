"""Whether a query names metrics, labels and values that exist."""

from __future__ import annotations

import re

from prometheus_client.metrics import MetricWrapperBase

from conch.activator.telemetry import Telemetry
from conch.api.conditions import ConditionType, Reason
from conch.telemetry.catalog import Metrics


def _series() -> dict[str, tuple[frozenset[str], str]]:
    """Every series' name: its labels, and what is said of it."""
    found = {}
    for catalogue in (Metrics(), Telemetry()):
        for instrument in vars(catalogue).values():
            if isinstance(instrument, MetricWrapperBase):
                (family,) = instrument.describe()
                ending = {"counter": "_total", "histogram": "_bucket"}.get(family.type, "")
                found[family.name + ending] = (
                    frozenset(instrument._labelnames),
                    family.documentation,
                )
    return found


SERIES = _series()


def names_what_there_is(promql: str) -> set[str]:
    """Fails where it does not; gives the labels that it groups by."""
    used = re.findall(r"\b(conch_\w+)(?:\{([^}]*)\})?", promql)
    assert used
    for name, matchers in used:
        labels, told = SERIES[name]
        for label, values in re.findall(r'(\w+)(?:=~|!~|!=|=)"([^"]*)"', matchers):
            assert label in labels, f"{name} has no label {label}"
            for value in values.split("|"):
                if label == "condition":
                    assert value in set(ConditionType)
                elif label == "reason":
                    assert value in set(Reason)
                elif label in ("result", "window"):
                    assert re.search(rf"\b{value}\b", told)
    return {
        label.strip()
        for found in re.findall(r"by \(([^)]*)\)", promql)
        for label in found.split(",")
    }
