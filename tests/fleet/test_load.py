from typing import Any

import pytest

from e2e.fleet.load import Load


@pytest.mark.parametrize(
    ("rate_per_s", "batch"),
    [(0, 1), (20, 1), (20.1, 2), (33.4, 3), (43, 4), (1000, 4)],
)
def test_the_batch_is_the_smallest_that_carries_the_load(rate_per_s: float, batch: int) -> None:
    assert Load(rate_per_s=rate_per_s).chosen_batch() == batch


def test_a_fixed_batch_stays() -> None:
    assert Load(rate_per_s=1000, batch=2).chosen_batch() == 2


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"rate": 3}, "unknown field rate"),
        ({"rate_per_s": -1}, "rate_per_s is negative"),
        ({"rate_per_s": "many"}, "not supported"),
        ({"fault": "fire"}, "fault 'fire' is none of"),
        ({"fault_on": ["metrics", "door"]}, "door is none of"),
        ({"models": []}, "models is empty"),
        ({"max_batch": 0}, "at least 1"),
        ({"failure_share": 1.5}, "within 0..1"),
    ],
)
def test_a_wrong_field_is_named(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Load().changed(fields)
