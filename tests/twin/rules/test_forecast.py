import pytest

from conch.twin.rules.forecast import arima110, constant, quantile, trend


def test_constant() -> None:
    assert constant([1, 2, 3], 2) == [3, 3]
    assert constant([], 1) == [0.0]


def test_arima_continues_the_last_difference_by_phi() -> None:
    # Differences 8, 4, 2: φ = (8*4 + 4*2) / (8² + 4²) = 0.5; next differences 1, 0.5.
    assert arima110([0, 8, 12, 14], 2) == pytest.approx([15.0, 15.5])
    assert arima110([5, 5, 5, 5], 1) == [5]
    assert arima110([1, 2, 3], 1) == [3]  # too few


def test_arima_is_damped_and_never_negative() -> None:
    # Differences 1, 3, 9: φ = 30/10, kept at 0.95.
    assert arima110([0, 1, 4, 13], 1) == pytest.approx([13 + 0.95 * 9])
    assert arima110([90, 60, 30, 1], 3)[-1] == 0.0


def test_trend_is_the_least_squares_line() -> None:
    assert trend([1, 2, 3], 2) == pytest.approx([4, 5])
    # Mean 4, slope (−1·2 + 0·4 + 1·6)/2 … of 2, 4, 6; with an outlier 3, 0, 9: slope 3, mean 4.
    assert trend([3, 0, 9], 1) == pytest.approx([10])
    assert trend([9, 5, 1], 3)[-1] == 0.0
    assert trend([7], 2) == [7, 7]


def test_quantile_is_linear() -> None:
    assert quantile([1, 2, 3, 4], 0.5) == 2.5
    assert quantile([4, 1], 1.0) == 4
    assert quantile([], 0.9) == 0.0
