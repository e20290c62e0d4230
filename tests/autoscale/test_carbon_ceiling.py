"""Which carbon ceiling holds, and what it leaves of the limits."""

from __future__ import annotations

from typing import Any

import pytest

from conch.api.v1alpha1 import Scaling
from conch.autoscale.carbon_ceiling import active, capped
from conch.autoscale.schedule import Limits

CEILINGS = [{"above": 350, "maxReplicas": 8}, {"above": 500, "maxReplicas": 4}]


def scaling(**more: Any) -> Scaling:
    return Scaling.model_validate(
        {"minReplicas": 2, "maxReplicas": 20, "carbonCeilings": CEILINGS, **more}
    )


@pytest.mark.parametrize(
    ("g_per_kwh", "most"), [(None, None), (350.0, None), (350.1, 8), (500.0, 8), (900.0, 4)]
)
def test_the_lowest_that_holds_counts(g_per_kwh: float | None, most: int | None) -> None:
    found = active(scaling(), g_per_kwh)
    assert (found.max_replicas if found else None) == most
    assert active(Scaling(), g_per_kwh) is None


@pytest.mark.parametrize(
    ("limits", "mode", "left"),
    [
        # What a schedule holds beyond the objective goes; what the objective may take does not.
        (Limits(12, 20), "Latency", Limits(4, 20, dirty_above=500)),
        (Limits(2, 20), "Latency", Limits(2, 20)),
        (Limits(4, 20), "Latency", Limits(4, 20)),
        (Limits(2, 20), "External", Limits(2, 4, dirty_above=500)),
        (Limits(12, 20), "External", Limits(4, 4, dirty_above=500)),
        (Limits(2, 3), "External", Limits(2, 3)),
    ],
)
def test_what_is_left_of_the_limits(limits: Limits, mode: str, left: Limits) -> None:
    replicas = {"replicas": 3} if mode == "External" else {}
    asked = scaling(mode=mode, **replicas)
    assert capped(limits, asked, 600.0) == left
    assert capped(limits, asked, None) is limits


def test_never_below_the_minimum() -> None:
    one = Scaling.model_construct(
        mode="External",
        min_replicas=6,
        max_replicas=20,
        carbon_ceilings=scaling().carbon_ceilings,
    )
    assert capped(Limits(6, 20), one, 600.0) == Limits(6, 6, dirty_above=500)
