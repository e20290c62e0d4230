"""What is run of which rule."""

from __future__ import annotations

import pytest

from conch.twin.service import ServiceModel
from conch.twin.synthetic import noise
from e2e.autoscale.cases import Case, Curve
from e2e.autoscale.runner import DEFAULTS, OTHERS, Plan, untouched


def case(curve: str, cold_start_s: float) -> Case:
    service = ServiceModel.linear(0.04, 0.02, 8)
    return Case(noise(80.0, 60), Curve(curve, "test", service, 0.5, 2.0, 60), cold_start_s)


@pytest.mark.parametrize(
    ("curve", "cold_start_s", "tractable", "parts", "expected"),
    [
        ("a", 40.0, True, ("defaults", "rules"), {"keda", *OTHERS}),
        ("a", 40.0, False, ("defaults", "rules"), {"keda", *OTHERS}),
        ("a", 10.0, True, ("defaults", "rules"), set(DEFAULTS)),
        ("c", 40.0, True, ("defaults", "rules"), set(DEFAULTS)),
        ("c", 40.0, False, ("defaults", "rules"), set()),
        ("a", 40.0, True, ("conch",), set()),
    ],
)
def test_rules_as_their_makers_ship_them(
    curve: str, cold_start_s: float, tractable: bool, parts: tuple[str, ...], expected: set[str]
) -> None:
    found = case(curve, cold_start_s)
    names = untouched(Plan([found], 1, parts), found, {"tractable": tractable})
    assert (set(names), len(names)) == (expected, len(expected))
