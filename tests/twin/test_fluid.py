import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conch.errors import UsageError
from conch.twin import fluid
from conch.twin.fluid import Plant

TABLE = np.array([0.0, 30.0, 70.0, 107.0])
PLANT = Plant(TABLE, ready_after_s=10, slack_s=0.2)


def test_needed_is_the_first_capacity_that_reaches_the_bound() -> None:
    bounds = np.array([[0.0, 30.0, 30.1], [70.0, 107.0, 500.0]])
    assert fluid.needed(bounds, PLANT).tolist() == [[1, 1, 2], [2, 3, 3]]


@given(
    values=st.lists(st.integers(0, 9), min_size=1, max_size=40),
    holds_s=st.lists(st.integers(0, 50), min_size=1, max_size=3),
)
def test_held_is_the_most_of_the_last_seconds(values: list[int], holds_s: list[int]) -> None:
    replicas = np.tile(np.array(values)[:, None], (1, len(holds_s)))
    found = fluid.held(replicas, holds_s)
    for k, hold_s in enumerate(holds_s):
        expected = [max(values[max(0, t - hold_s) : t + 1]) for t in range(len(values))]
        assert found[:, k].tolist() == expected


def test_a_shortage_of_known_size_without_refusals() -> None:
    """100/s onto 70/s from second 5 on; the third replica is wanted then, ready 10 s later.

    The queue grows by 30 a second to 300, and falls by 7 a second afterwards: the wait passes
    0.2 s (14 requests) half a second in, and stays above it to the end.
    """
    came = np.full(40, 60.0)
    came[5:] = 100.0
    wanted = np.full((40, 1), 2)
    wanted[5:] = 3
    found = fluid.replay(came, wanted, PLANT)
    first = 100 * (30 / 70 - 0.2) / (30 / 70)
    assert found.late_share[0] == pytest.approx((first + 34 * 100) / came.sum())
    assert found.replica_s[0] == 2 * 5 + 3 * 35


def test_the_same_shortage_with_refusals_costs_only_the_shortage() -> None:
    came = np.full(40, 60.0)
    came[5:] = 100.0
    wanted = np.full((40, 1), 2)
    wanted[5:] = 3
    plant = Plant(TABLE, ready_after_s=10, slack_s=0.2, reject_after_s=0.2)
    # 30 a second for ten seconds, less the 14 that the queue may hold
    assert fluid.replay(came, wanted, plant).late_share[0] * came.sum() == pytest.approx(300 - 14)


def test_starting_replicas_are_cancelled_before_they_count() -> None:
    came = np.full(60, 100.0)
    wanted = np.full((60, 1), 2)
    wanted[5:12] = 3  # seven seconds: never ready
    with_blip = fluid.replay(came, wanted, PLANT)
    without = fluid.replay(came, np.full((60, 1), 2), PLANT)
    assert with_blip.late_share == without.late_share
    assert with_blip.replica_s[0] == without.replica_s[0] + 7


def test_enough_replicas_are_never_late_and_none_are_always() -> None:
    came = np.full(30, 50.0)
    wanted = np.tile([2, 0], (30, 1))
    with_limit = Plant(TABLE, ready_after_s=10, slack_s=0.2, reject_after_s=0.2)
    for plant in (PLANT, with_limit):
        assert fluid.replay(came, wanted, plant).late_share == pytest.approx([0.0, 1.0])


def test_no_traffic_is_nobody_late() -> None:
    found = fluid.replay(np.zeros(10), np.ones((10, 2), dtype=np.int64), PLANT)
    assert found.late_share.tolist() == [0.0, 0.0]


@pytest.mark.parametrize(
    ("came", "rows"), [([], 0), ([1.0, 2.0], 3), ([[1.0, 2.0]], 1)], ids=["none", "rows", "shape"]
)
def test_what_does_not_fit_together_is_refused(came: list[float], rows: int) -> None:
    with pytest.raises(UsageError, match="arrivals per second"):
        fluid.replay(came, np.ones((rows, 1), dtype=np.int64), PLANT)


def test_a_table_must_rise() -> None:
    with pytest.raises(UsageError, match="not fall"):
        Plant(np.array([0.0, 5.0, 4.0]), 1.0, 1.0)


@pytest.mark.parametrize("reject_after_s", [None, 0.26])
def test_an_hour_of_sixteen_settings_takes_milliseconds(reject_after_s: float | None) -> None:
    """The bound of shadow tuning is 100 ms; a slow, busy machine gets five times that."""
    rate = 60 + 40 * np.sin(np.arange(3600) / 300)
    bounds = np.outer(rate, np.linspace(0.9, 1.5, 16))
    plant = Plant(TABLE, 44, 0.2, reject_after_s)
    started = time.perf_counter()
    wanted = fluid.held(fluid.needed(bounds, plant), [60.0] * 16)
    found = fluid.replay(rate, wanted, plant)
    assert time.perf_counter() - started < 0.5
    assert (np.diff(found.late_share) <= 0).all()
    assert (np.diff(found.replica_s) >= 0).all()
