"""Why a service is not placed: the right cause comes first."""

from __future__ import annotations

import pytest

from e2e.placement.unplaced import CASES, Case


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_right_cause_first(case: Case) -> None:
    answer = case.answer()
    assert case.right(), answer
