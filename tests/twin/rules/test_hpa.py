"""Against replica_calculator.go and horizontal.go, numbers by hand; see also test_hpa_live."""

import pytest

from conch.api.conditions import Reason
from conch.twin.rules.hpa import Behavior, Hpa, busy, limited, pods_metric, stabilized, total_metric

from .sights import SETTING, counters, sight

UP = Behavior()


@pytest.mark.parametrize(
    ("values", "current", "missing", "unready", "expected"),
    [
        ([1.0, 1.0, 1.0], 3, 0, 0, 6),  # ratio 2: ceil(2 * 3)
        ([0.54, 0.54], 2, 0, 0, 2),  # 1.08 of 0.5: within the tolerance
        ([0.55, 0.55], 2, 0, 0, 2),  # exactly 10 %: still within
        ([0.56, 0.56], 2, 0, 0, 3),  # 1.12: ceil(2.24)
        ([0.1, 0.1, 0.1, 0.1], 4, 0, 0, 1),  # ratio 0.2: ceil(0.8)
        ([0.0, 0.0], 2, 0, 0, 0),
        # Scale-up with one missing: it counts 0. Ratio (1+1+0)/3/0.5 = 1.33: ceil(1.33 * 3).
        ([1.0, 1.0], 3, 1, 0, 4),
        # Scale-up with two Pending pods: both count 0: (1.2+1.2)/4/0.5 = 1.2: ceil(4.8).
        ([1.2, 1.2], 4, 0, 2, 5),
        # … which brings it within the tolerance: 2/4/0.5 = 1.
        ([1.0, 1.0], 4, 0, 2, 4),
        # … or turns the direction: (0.8 + 0 + 0)/3/0.5 = 0.53 after 1.6.
        ([0.8], 3, 0, 2, 3),
        # Scale-down with one missing: it counts the target: (0.2+0.2+0.5)/3/0.5 = 0.6: ceil(1.8).
        ([0.2, 0.2], 3, 1, 0, 2),
        # Pending pods don't matter on the way down: ratio 0.4: ceil(0.4 * 2).
        ([0.2, 0.2], 4, 0, 2, 1),
        # Fewer pods considered than wanted: up would go below the current size: keep.
        ([0.7], 5, 0, 0, 2),  # no missing, no unready: the plain formula stands
        ([0.9], 5, 0, 1, 5),  # 0.9/2/0.5 = 0.9: within the tolerance
        ([1.4], 5, 0, 1, 5),  # 1.4: ceil(1.4 * 2) = 3 < 5 on the way up: keep
        ([], 3, 3, 0, None),
    ],
)
def test_pods_metric(
    values: list[float], current: int, missing: int, unready: int, expected: int | None
) -> None:
    assert pods_metric(values, 0.5, current, missing, unready) == expected


@pytest.mark.parametrize(
    ("total", "existing", "expected"),
    [
        (100.0, 4, 4),  # 100/(25*4) = 1
        (109.0, 4, 4),  # 1.09: tolerated
        (111.0, 4, 5),  # ceil(4.44)
        (89.0, 4, 4),  # 0.89: outside, ceil(3.56) = 4 all the same
        (70.0, 4, 3),
        (0.0, 4, 0),
        (60.0, 0, 3),  # from zero there is nothing to tolerate
    ],
)
def test_total_metric(total: float, existing: int, expected: int) -> None:
    assert total_metric(total, 25.0, existing) == expected


def test_down_waits_for_the_highest_wish_of_five_minutes() -> None:
    wishes = [(0.0, 9), (100.0, 6), (200.0, 4)]
    assert stabilized(3, 10, 299.0, wishes, UP) == 9
    assert stabilized(3, 9, 301.0, wishes, UP) == 6
    assert stabilized(3, 6, 501.0, wishes, UP) == 3


def test_up_needs_no_agreement_unless_a_window_is_set() -> None:
    assert stabilized(8, 4, 100.0, [(90.0, 5)], UP) == 8
    assert stabilized(8, 4, 100.0, [(90.0, 5)], Behavior(up_window_s=60)) == 5


@pytest.mark.parametrize(
    ("wanted", "current", "changes", "expected"),
    [
        (30, 2, [], 6),  # +4 pods beats +100 %
        (30, 10, [], 20),  # +100 % beats +4
        (30, 20, [(90.0, 10)], 20),  # the period began at 10: 20 is its limit
        (30, 20, [(80.0, 10)], 30),  # 20 s ago is another period
        (12, 10, [], 12),
        (0, 10, [], 0),  # down by 100 % a period
        (5, 5, [], 5),
    ],
)
def test_policies(
    wanted: int, current: int, changes: list[tuple[float, int]], expected: int
) -> None:
    assert limited(wanted, current, 100.0, changes, UP) == expected


def test_the_controller_goes_up_at_once_in_bounded_steps_and_down_after_five_minutes() -> None:
    hpa = busy(SETTING, 0.5)
    sizes, replicas = [], 2
    for tick in range(40):
        load = 1.0 if tick < 3 else 0.0
        seen = sight(
            15.0 * tick, [counters(0)] * replicas, busy=[load] * replicas, replicas=replicas
        )
        replicas = hpa.decide(seen).replicas
        sizes.append(replicas)
    assert sizes[:3] == [4, 8, 16]  # 2x the target, and 100 % or 4 pods within 15 s
    # The last wish for 16 is from 30 s: it binds until it is 300 s old.
    assert sizes[3:22] == [16] * 19
    assert sizes[22] == 1


def test_without_a_metric_it_keeps_its_size_and_outside_the_limits_it_only_returns() -> None:
    hpa = Hpa("x", SETTING, lambda _: None)
    assert hpa.decide(sight(0, [counters(0)] * 3)).replicas == 3
    high = hpa.decide(sight(15, [counters(0)] * 30))
    assert (high.replicas, high.reason) == (20, Reason.SCALE_DOWN)


def test_starting_pods_are_pending_or_missing() -> None:
    # 2 report 1.0 of a target of 0.5; 1 more runs without a metric, 1 is Pending:
    # (1+1+0+0)/4/0.5 = 1: nothing to do.
    seen = sight(0, [counters(0)] * 2, starting=2, running=3, busy=[1.0, 1.0])
    assert busy(SETTING, 0.5).decide(seen).replicas == 4
