"""What little the vocabulary derives."""

from __future__ import annotations

import pytest

from conch.observe.types import AcceleratorKind


@pytest.mark.parametrize(
    ("on_demand", "spot", "where", "price"),
    [
        (0.8, 0.3, "OnDemand", 0.8),
        (0.8, 0.3, "Spot", 0.3),
        (0.8, None, "Spot", 0.8),
        (None, 0.3, "OnDemand", None),
        (None, None, "Spot", None),
    ],
)
def test_a_price_depends_on_who_pays_how(
    on_demand: float | None, spot: float | None, where: str, price: float | None
) -> None:
    kind = AcceleratorKind(
        "a", {}, "r", 0, None, False, price_per_h=on_demand, spot_price_per_h=spot
    )
    assert kind.price_on(where) == price
