"""Which curve capacity is computed from: of what was seen, remembered or only to be expected."""

from __future__ import annotations

import pytest

from conch.autoscale.curve import Curve
from conch.autoscale.learning import capacity_with, known_capacity, stretched, throughputs
from conch.autoscale.state import ModelState, Plan, Speed
from conch.observe.types import BatchStat

from .worlds import MODEL, POLICY

SEEN = Curve().learned({k: BatchStat(50, 50 * (0.04 + 0.01 * k)) for k in range(1, 5)}, 0.0)


def test_what_is_expected_is_stretched_and_soon_replaced() -> None:
    slower = stretched(SEEN, 2.0)
    assert slower.service_s(4) == pytest.approx([2 * s for s in SEEN.service_s(4)], rel=0.1)
    assert slower.executions == pytest.approx(3.03)
    seen = slower.learned({4: BatchStat(20, 20 * 0.12)}, 2.0)
    assert seen.service_s(4)[3] == pytest.approx(0.12, rel=0.05)


def test_of_little_no_more_is_made_than_there_was() -> None:
    little = Curve().learned({1: BatchStat(1, 0.05)}, 0.0)
    assert stretched(little, 2.0).executions == little.executions == 1


def test_a_group_without_a_plan_completes_nothing_that_is_known() -> None:
    fast, slow = (Speed(plan=Plan((s,), 0.0)) for s in (0.05, 0.1))
    model = ModelState({"new": Speed(SEEN), "fast": fast, "slow": slow})
    found = throughputs(POLICY, {MODEL: model})
    assert found == {MODEL: {"fast": pytest.approx(20, 0.01), "slow": pytest.approx(10, 0.01)}}
    assert known_capacity(POLICY, MODEL, Speed(SEEN)) is None
    assert model.speed("new") is slow, "as the group that was seen last"
    assert model.speed("fast") is fast


def test_what_is_spent_beside_the_queue_is_taken_off_the_target() -> None:
    plan = Plan((0.1,), 0.0)
    alone, beside = (capacity_with(POLICY, MODEL, plan, s) for s in (0.0, 0.2))
    assert beside.rate < 0.8 * alone.rate
    assert beside.throughput == alone.throughput
