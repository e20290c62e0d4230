"""How a node is paid for, by its labels."""

from __future__ import annotations

import pytest

from conch.observe.spot import capacity_type


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ({"karpenter.sh/capacity-type": "spot"}, "Spot"),
        ({"cloud.google.com/gke-preemptible": "true"}, "Spot"),
        ({"eks.amazonaws.com/capacityType": "SPOT"}, "Spot"),
        ({"karpenter.sh/capacity-type": "reserved"}, "OnDemand"),
        ({"karpenter.sh/capacity-type": "SPOT"}, "OnDemand"),
        ({}, "OnDemand"),
    ],
)
def test_capacity_type(labels: dict[str, str], expected: str) -> None:
    assert capacity_type(labels) == expected
