"""Which decisions are told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from conch.api.conditions import Reason
from conch.reconcile.news import differs
from tests.reconcile.builders import decision


def test_a_few_requests_a_second_scatter_without_being_news() -> None:
    shown = decision(1, Reason.WITHIN_OBJECTIVE, demand_rps=2.0)
    assert not differs(shown, replace(shown, demand_rps=2.8), 60.0)
    assert differs(shown, replace(shown, demand_rps=6.0), 60.0)


@pytest.mark.parametrize(
    ("demand_rps", "age_s", "told"),
    [(115.0, 31.0, False), (135.0, 10.0, False), (135.0, 31.0, True), (300.0, 7.0, True)],
)
def test_numbers_are_told_when_they_moved_and_in_time(
    demand_rps: float, age_s: float, told: bool
) -> None:
    shown = decision(1, Reason.WITHIN_OBJECTIVE, demand_rps=100.0)
    assert differs(shown, replace(shown, demand_rps=demand_rps), age_s) is told
    assert differs(shown, replace(shown, failing=("resnet",)), 0.0), "at once"
