"""What the comparison with real servers works out from what it saw."""

import pytest

from conch.observe.types import BatchStat
from e2e.bench.real_load import Told
from e2e.testbed import TestbedError
from e2e.twin.validate import Life, Seen, cold_start_s, compared, curve, real_hours


def seen(lives: dict[str, Life], batches: dict[int, BatchStat] | None = None) -> Seen:
    told = Told(
        phases_asked="",
        seed=1,
        started_s=1000.0,
        summary={"sent": 10242, "within": 10242, "failed": 0, "p99_ms": 260.0},
        phases=[],
        errors={},
        lines=(),
    )
    return Seen(told, [(45.0, 3), (150.0, 2)], lives, batches or {})


def test_the_curve_is_what_was_measured_and_a_line_where_nothing_was() -> None:
    batches = {1: BatchStat(100, 5.0), 2: BatchStat(100, 6.0), 4: BatchStat(100, 8.0)}
    assert curve(batches, 4) == pytest.approx((0.05, 0.06, 0.07, 0.08))
    assert curve({1: BatchStat(10, 0.5)}, 2) == pytest.approx((0.05, 0.05))
    with pytest.raises(TestbedError, match="no batch"):
        curve({}, 4)


def test_hours_are_lives_within_the_load() -> None:
    lives = {
        "before": Life(created_s=900.0, ready_s=907.0),
        "came": Life(created_s=1046.0, ready_s=1052.0, gone_s=1170.0),
        "late": Life(created_s=1210.0),
        "after": Life(created_s=1300.0),
    }
    assert real_hours(seen(lives)) * 3600 == pytest.approx(220 + 124 + 10)


def test_cold_starts_are_of_the_pods_that_started_under_the_load() -> None:
    lives = {
        "before": Life(900.0, 930.0),
        "one": Life(1046.0, 1052.0),
        "two": Life(1046.0, 1054.0),
        "never": Life(1046.0),
    }
    assert cold_start_s(seen(lives)) == pytest.approx(7.0)
    with pytest.raises(TestbedError, match="no replica became ready"):
        cold_start_s(seen({"before": Life(900.0, 930.0)}))


@pytest.mark.simulation
def test_what_the_twin_is_off_by() -> None:
    """Servers that nobody overloads are never late; the twin overloads one for ten seconds."""
    batches = {size: BatchStat(100, 100 * (0.04 + 0.01 * size)) for size in (1, 2, 3, 4)}
    lives = {
        "first": Life(900.0, 907.0),
        "second": Life(1045.0, 1052.0),
        "third": Life(1045.0, 1052.0, 1170.0),
    }
    found = compared(seen(lives, batches))
    assert 2 < found.late_pp < 15
    assert found.p99 > 0.15
    # 220, 175 and 125 s of lives; the twin asks a tenth of a second late at most.
    assert found.hours < 0.01
    assert "late: real 0.00%" in found.how
    assert "cold start 7.0 s, s(b) 50.0, 60.0, 70.0, 80.0 ms" in found.how
