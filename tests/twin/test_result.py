import numpy as np
import pytest

from conch.twin.kernel import FAILED, REJECTED
from conch.twin.result import Fates, minutes_ok

FATES = Fates(
    np.array([0.1, 0.9, 1.0, 11.0, 12.0, 59.9]),
    np.array([0.1, 0.5, REJECTED, FAILED, np.nan, 0.7], dtype=np.float32),
)


def test_late_is_what_was_not_answered_in_time() -> None:
    assert FATES.late(0.5).tolist() == [False, False, True, True, True, True]
    assert FATES.rejected.tolist() == [False, False, True, False, False, False]
    assert FATES.failed.tolist() == [False, False, False, True, True, False]


def test_an_answer_at_the_target_is_on_time_whatever_single_precision_makes_of_it() -> None:
    latency_s = np.array([0.3], dtype=np.float32)  # 0.30000001192…
    assert not Fates(np.array([0.0]), latency_s).late(0.3).any()
    assert Fates(np.array([0.0]), latency_s).late(0.2999).all()


def test_quantiles_are_of_the_answered_ones() -> None:
    assert FATES.quantiles()[0] == pytest.approx(0.5)
    assert np.isnan(Fates(np.zeros(0), np.zeros(0, dtype=np.float32)).quantiles()).all()


def test_counts_per_second_of_arrival() -> None:
    arrivals = FATES.per_second(None, 60)
    assert arrivals.sum() == 6
    assert arrivals[[0, 1, 11, 12, 59]].tolist() == [2, 1, 1, 1, 1]
    assert FATES.per_second(FATES.late(0.5), 60)[[0, 1, 59]].tolist() == [0, 1, 1]


def test_p99_of_ten_seconds() -> None:
    windows = FATES.p99_windows(60)
    assert windows[0] == windows[9] == pytest.approx(0.5)
    assert np.isnan(windows[10:50]).all()  # nobody was answered
    assert windows[59] == pytest.approx(0.7)


def test_minutes_count_when_they_have_traffic_and_one_late_minute_shows() -> None:
    arrivals = np.zeros(180, dtype=np.int64)
    late = np.zeros(180, dtype=np.int64)
    assert minutes_ok(arrivals, late, 99) == 1.0
    arrivals[:120] = 10  # the third minute is empty
    late[70] = 6  # exactly 1 % of its minute
    assert minutes_ok(arrivals, late, 99) == 1.0
    late[71] = 1
    assert minutes_ok(arrivals, late, 99) == 0.5
