"""What is understood on a command line, and what is said about the rest."""

from __future__ import annotations

import pytest

from conch.cli.service_time import Price, cold_starts, duration, price, service_time
from conch.errors import UsageError


@pytest.mark.parametrize(
    ("text", "limit", "expected"),
    [
        ("40ms+20ms*b", 3, (0.06, 0.08, 0.1)),
        (" 20ms*b + 40ms ", 2, (0.06, 0.08)),
        ("40ms + b*20ms", 2, (0.06, 0.08)),
        ("5ms*b", 2, (0.005, 0.01)),
        ("250ms", None, (0.25,)),
        ("250ms", 2, (0.25, 0.25)),
        ("60ms,80ms,0.1s", None, (0.06, 0.08, 0.1)),
        ("60ms, 80ms", 2, (0.06, 0.08)),
    ],
)
def test_batch_times(text: str, limit: int | None, expected: tuple[float, ...]) -> None:
    assert service_time(text).curve_s(limit) == pytest.approx(expected)


@pytest.mark.parametrize(
    "text", ["", "fast", "40", "-40ms", "40ms-20ms*b", "40ms*b*b", "0ms", "0ms,1ms", "30h"]
)
def test_batch_times_that_mean_nothing(text: str) -> None:
    with pytest.raises(UsageError, match="--service-time"):
        service_time(text)


def test_the_largest_batch_must_be_known_where_it_matters() -> None:
    with pytest.raises(UsageError, match="--max-batch"):
        service_time("40ms+20ms*b").curve_s(None)
    with pytest.raises(UsageError, match="lists 2 batch sizes"):
        service_time("60ms,80ms").curve_s(8)


def test_durations() -> None:
    assert duration("--cold-start", "1.5m", "40s") == 90


@pytest.mark.parametrize("text", ["0s", "-5s", "-0s", "5", "soon", "", "1e3s"])
def test_durations_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match=r"--cold-start .* such as 40s"):
        duration("--cold-start", text, "40s")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.80", Price(0.8)),
        (".5 EUR", Price(0.5, "EUR")),
        ("$2", Price(2, "$")),
        ("3€", Price(3, "€")),
        ("0", Price(0)),
    ],
)
def test_prices(text: str, expected: Price) -> None:
    assert price("--price", text) == expected


@pytest.mark.parametrize("text", ["", "-1", "EUR", "1 <b>", "1,50", "nan", "9" * 400])
def test_prices_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match=r"0\.80 EUR"):
        price("--price", text)


def test_one_start_or_several_that_were_measured() -> None:
    assert cold_starts("40s") == (40.0,)
    assert cold_starts("35s, 40s,2m") == (35.0, 40.0, 120.0)


@pytest.mark.parametrize("text", ["", "40s,", "40s,0s", "40s;50s", ",".join(["1s"] * 1001)])
def test_starts_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="--cold-start"):
        cold_starts(text)
