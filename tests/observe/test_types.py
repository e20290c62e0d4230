"""What little the vocabulary derives."""

from __future__ import annotations

import re
from typing import Any

import pytest

from conch.observe.types import AcceleratorKind, ScalingPolicy


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


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"percentile": 100}, "give percent, such as 99"),
        ({"percentile": float("nan")}, "give percent, such as 99"),
        ({"target_s": 0}, "target_s is 0: give seconds"),
        ({"target_s": float("inf")}, "give seconds"),
        ({"instances": {"m": 0}}, "instances is {'m': 0}"),
    ],
)
def test_a_policy_that_cannot_be_meant_is_refused(wrong: dict[str, Any], said: str) -> None:
    """Whoever drives the scaler himself writes it by hand; in Conch the API has judged it."""
    good: dict[str, Any] = {
        "percentile": 99,
        "target_s": 0.4,
        "min_replicas": 1,
        "max_replicas": 9,
        "models": ("m",),
        "max_batch": {},
        "instances": {},
    }
    assert ScalingPolicy(**good).late_reject is False
    with pytest.raises(ValueError, match=re.escape(said)):
        ScalingPolicy(**{**good, **wrong})
