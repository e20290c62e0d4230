"""Against the tutorial's recording rule and the chart's adapter query; numbers by hand."""

import pytest

from conch.twin.rules.nvidia import average_queue_us, queue_compute_ratio, queue_time, ratio

from .sights import SETTING, counters, sight


def test_formulas() -> None:
    assert queue_compute_ratio(300_000, 600_000) == 0.5
    assert queue_compute_ratio(5, 0.2) == 5  # clamp_min(…, 1)
    assert average_queue_us(1000, 9) == 100  # n + 1
    assert average_queue_us(0, 0) == 0


@pytest.mark.parametrize(
    ("queue_s", "expected"),
    [
        (0.5, 2),  # 0.5 s queued per second of computing: ratio 0.5, ceil(0.5 * 3)
        (1.05, 3),  # within the tolerance
        (2.0, 6),
    ],
)
def test_ratio_of_one_is_the_target(queue_s: float, expected: int) -> None:
    hpa = ratio(SETTING, 1.0)
    replicas = 3
    for tick in range(26):  # past the stabilisation of the looks without a rate
        at_s = 15.0 * tick
        seen = [counters(10 * at_s, queue_s=queue_s * at_s, request_s=(1 + queue_s) * at_s)] * 3
        replicas = hpa.decide(sight(at_s, seen, replicas=3)).replicas
    assert replicas == expected


def test_fifty_microseconds_of_queue_is_nothing() -> None:
    hpa = queue_time(SETTING, 50.0)
    replicas = 3
    for tick in range(4):
        at_s = 15.0 * tick
        # 10 rps waiting 100 us each: 300 in 30 s, 30000 us / 301 = 99.7 us: ratio 1.99.
        seen = [counters(10 * at_s, queue_s=1e-4 * 10 * at_s, request_s=at_s)] * 3
        replicas = hpa.decide(sight(at_s, seen, replicas=3)).replicas
    assert replicas == 6


def test_one_look_is_no_metric() -> None:
    assert ratio(SETTING, 1.0).decide(sight(0, [counters(5)] * 3)).replicas == 3
