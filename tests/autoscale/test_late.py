"""How many of the requests that just ended were late."""

from itertools import pairwise

import pytest

from conch.autoscale.picture import late
from conch.autoscale.signals import Interval
from conch.observe.types import ScalingPolicy

TARGET_S = 0.2


def policy(late_reject: bool) -> ScalingPolicy:
    return ScalingPolicy(99, TARGET_S, 1, 9, ("m",), {"m": 4}, {}, late_reject=late_reject)


def told(
    mean_s: float, latency_s: float, late_reject: bool = True, failed: float = 0.0
) -> tuple[float, bool]:
    ended = Interval(0, 5, 100, 500, 0, 500, failed, 0, request_s=500 * mean_s)
    return late(policy(late_reject), {"m": ended}, [latency_s])


@pytest.mark.parametrize("late_reject", [True, False])
def test_a_quantile_far_above_the_target_in_a_backlog_makes_nearly_all_late(
    late_reject: bool,
) -> None:
    found, seen = told(mean_s=1.4, latency_s=2.0, late_reject=late_reject)
    assert seen
    assert found > 0.9 * 500


@pytest.mark.parametrize("late_reject", [True, False])
def test_a_quantile_that_is_still_high_after_a_backlog_does_not(late_reject: bool) -> None:
    found, _ = told(mean_s=0.08, latency_s=2.0, late_reject=late_reject)
    assert found < 0.1 * 500


def test_near_the_target_the_tail_decides() -> None:
    found, _ = told(mean_s=0.15, latency_s=1.05 * TARGET_S)
    assert 0.01 * 500 < found < 0.03 * 500


def test_the_slower_the_mean_the_more_were_late_and_never_more_than_there_were() -> None:
    counts = [told(mean_s=mean_s, latency_s=2.0)[0] for mean_s in (0.02, 0.1, 0.5, 1.0, 5.0)]
    assert all(a <= b for a, b in pairwise(counts))
    assert counts[-1] <= 500


def test_what_was_refused_counts_whatever_the_others_show() -> None:
    assert told(mean_s=0.05, latency_s=0.1, failed=30)[0] == 30


def test_without_sums_of_latencies_the_tail_is_all_there_is() -> None:
    assert told(mean_s=0.0, latency_s=2.0)[0] > 0.9 * 500
