"""Against prometheus_scaler.go and the generated HPA; numbers by hand."""

import math
from dataclasses import replace

import pytest

from conch.twin.rules.keda import RULE, activated, null_as_zero, rps

from .sights import SETTING, counters, sight


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
def test_an_empty_answer_counts_as_zero(value: float | None) -> None:
    assert null_as_zero(value) == 0.0


@pytest.mark.parametrize(
    ("value", "replicas", "now_s", "active_s", "expected"),
    [
        (0.1, 0, 0.0, None, 1),
        (50.0, 0, 0.0, None, 1),  # KEDA itself only goes to one
        (50.0, 4, 0.0, None, None),
        (0.0, 4, 299.0, 0.0, None),
        (0.0, 4, 300.0, 0.0, 0),
        (0.0, 0, 900.0, 0.0, None),
    ],
)
def test_zero_and_one(
    value: float, replicas: int, now_s: float, active_s: float | None, expected: int | None
) -> None:
    assert activated(value, replicas, now_s, active_s) == expected


def test_requests_per_second_over_the_threshold_lagging_by_its_window() -> None:
    keda = rps(SETTING, 10.0)
    sizes, replicas, done = [], 2, 0.0
    for tick in range(12):
        # 2 pods share 20 rps, then 60: rejected ones count.
        seen = sight(15.0 * tick, [counters(done, failure=done)] * 2, replicas=replicas)
        done += 15 * (5.0 if tick < 5 else 15.0)
        replicas = keda.decide(seen).replicas
        sizes.append(replicas)
    # One sample is no rate, and no rate is zero: the floor, once the first wishes are 5 min old.
    assert sizes[:6] == [2] * 6
    # 60-s window, in which the new rate has a quarter more each time: 30, 40, 50, 60 rps; the
    # HPA divides by the replicas that exist (2 are ready here), and never goes down meanwhile.
    assert sizes[6:10] == [3, 4, 5, 6]


def test_lost_metrics_scale_down_because_null_is_zero() -> None:
    keda = rps(SETTING, 10.0)
    replicas = 5
    for tick in range(30):
        seen = sight(15.0 * tick, [], replicas=replicas)
        replicas = keda.decide(seen).replicas
    assert replicas == 1


def test_to_zero_after_the_cool_down_where_the_limits_allow_it() -> None:
    keda = rps(replace(SETTING, min_replicas=0), 10.0)
    replicas, first_zero = 1, None
    for tick in range(60):
        done = min(tick, 10) * 15.0
        seen = sight(15.0 * tick, [counters(done)] * replicas, replicas=replicas)
        replicas = keda.decide(seen).replicas
        if replicas == 0 and first_zero is None:
            first_zero = 15.0 * tick
    # Last request at 150 s, out of the 60-s window after 195 s; 300 s later, at the next poll.
    assert first_zero is not None
    assert 495 <= first_zero <= 540


def test_the_row_runs_from_cheap_to_generous() -> None:
    row = RULE.row(SETTING)
    assert list(row) == sorted(row, reverse=True)
    assert RULE.untouched(SETTING).name == "keda 24 rps"
