import gzip
from pathlib import Path

import numpy as np
import pytest

from conch.errors import UsageError
from conch.twin import traces
from conch.twin.traces import load, of_rates, of_times

EXAMPLES = Path(__file__).parents[2] / "examples" / "traces"


def written(folder: Path, text: str, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_rates_give_poisson_arrivals_of_that_rate() -> None:
    trace = of_rates("flat", [200.0] * 500)
    times = trace.arrivals(1)
    assert (np.diff(times) >= 0).all()
    assert times[0] >= 0
    assert times[-1] < trace.length_s == 500
    counts = np.histogram(times, np.arange(0, 501, 0.1))[0]
    assert counts.mean() == pytest.approx(20.0, rel=0.02)
    assert counts.var() / counts.mean() == pytest.approx(1.0, abs=0.08)


def test_bursts_have_the_dispersion_asked_for() -> None:
    trace = traces.Trace("bursty", 1.0, np.full(2000, 200.0), dispersion=5.0, burst_s=0.1)
    counts = np.histogram(trace.arrivals(3), np.arange(0, 2000.05, 0.1))[0]
    assert counts.mean() == pytest.approx(20.0, rel=0.02)
    assert counts.var() / counts.mean() == pytest.approx(5.0, rel=0.1)


def test_bins_without_demand_stay_empty() -> None:
    trace = traces.Trace("gap", 2.0, np.array([10.0, 0.0, 10.0]), dispersion=3.0)
    times = trace.arrivals(0)
    assert trace.length_s == 6
    assert not ((times >= 2) & (times < 4)).any()


def test_a_seed_is_one_history() -> None:
    trace = of_rates("flat", [50.0] * 20)
    assert np.array_equal(trace.arrivals(4), trace.arrivals(4))
    assert not np.array_equal(trace.arrivals(4), trace.arrivals(5))


def test_true_arrivals_are_kept_and_scaled_as_rates() -> None:
    trace = of_times("true", [0.5, 0.6, 2.0], length_s=4.0)
    assert trace.arrivals(1).tolist() == [0.5, 0.6, 2.0]
    assert trace.rates.tolist() == [2, 0, 1, 0]
    assert trace.mean_rps == 0.75
    assert trace.scaled(10).mean_rps == pytest.approx(7.5)
    assert trace.scaled(10).times_s is None


def test_jittered_copies_multiply_true_arrivals() -> None:
    trace = of_times("true", np.arange(1000) * 0.1, length_s=100.0).jittered(10, 5.0)
    times = trace.arrivals(2)
    assert times.size == trace.requests == 10_000
    assert (np.diff(times) >= 0).all()
    assert times.min() >= 0
    assert times.max() < 100
    assert trace.mean_rps == pytest.approx(100.0)
    assert not np.array_equal(times, trace.arrivals(3))
    with pytest.raises(UsageError, match="scale it"):
        of_rates("flat", [1.0]).jittered()


def test_one_rate_a_line(tmp_path: Path) -> None:
    trace = load(written(tmp_path, "# requests/s\n10\n\n20.5\n0\n", "web.txt"))
    assert trace.name == "web"
    assert trace.rates.tolist() == [10, 20.5, 0]
    assert trace.bin_s == 1


@pytest.mark.parametrize("header", ["", "time,rate\n", "timestamp,RPS\n"])
def test_rates_at_even_times(tmp_path: Path, header: str) -> None:
    trace = load(written(tmp_path, header + "0,10\n60,20\n120,5\n"))
    assert trace.rates.tolist() == [10, 20, 5]
    assert trace.bin_s == 60


def test_arrivals_in_seconds_start_at_zero(tmp_path: Path) -> None:
    trace = load(written(tmp_path, "arrival_s\n100.5\n100.75\n103\n"))
    assert trace.arrivals(0).tolist() == [0, 0.25, 2.5]


def test_packed_arrivals_with_dates_and_other_columns(tmp_path: Path) -> None:
    path = tmp_path / "llm.csv.gz"
    path.write_bytes(
        gzip.compress(
            b"TIMESTAMP,ContextTokens,GeneratedTokens\n"
            b"2023-11-16 23:59:59.5000000,10,2\n"
            b"2023-11-17 00:00:01.2500000,10,2\n"
        )
    )
    trace = load(path)
    assert trace.name == "llm"
    assert trace.arrivals(0) == pytest.approx([0, 1.75])


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("10\n-3\n", 2, "has a rate of -3: rates are 0 or more"),
        ("10\nmany\n", 2, "has 'many': give a number"),
        ("10\nnan\n", 2, "has 'nan': give a finite number"),
        ("10\ninf\n", 2, "has 'inf': give a finite number"),
        ("10\n1,2\n", 2, "has 2 columns: give one rate per line"),
        ("time,rate\n0,1\n60,1\n180,1\n", 4, "is 120 s after the one before, others 60 s"),
        ("time,rate\n60,1\n0,1\n", 3, "is not later than the one before: sort"),
        ("time,rate\n0,1\n0,1\n", 3, "is not later than the one before: sort"),
        ("time,rate\n0\n", 2, "has 1 columns: give time,rate"),
        ("time,rate\n0,-1\n", 2, "has a rate of -1"),
        ("timestamp\n5\n4\n", 3, "is earlier than the one before: sort"),
        ("timestamp\n2023-13-45 00:00\n", 2, "give a number"),
        ("a,b,c\n", 1, "has several columns without a name"),
        ("1" * 5000, 1, "is longer than 4096 characters"),
    ],
)
def test_a_bad_line_is_named_with_its_fix(tmp_path: Path, text: str, line: int, says: str) -> None:
    with pytest.raises(UsageError) as refused:
        load(written(tmp_path, text))
    message = str(refused.value)
    assert f"line {line} " in message
    assert says in message
    assert "\n" not in message


@pytest.mark.parametrize("text", ["", "\n\n# nothing\n", "timestamp\n", "time,rate\n"])
def test_an_empty_file_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match=r"empty|nothing else"):
        load(written(tmp_path, text))


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(b"10\n\xff\xfe\x00\n")
    with pytest.raises(UsageError, match="line 2 is not text"):
        load(tmp_path / "x.csv")


def test_a_file_that_is_not_there_or_broken_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="can't be read"):
        load(tmp_path / "none.txt")
    (tmp_path / "t.gz").write_bytes(b"not gzip")
    with pytest.raises(UsageError, match="can't be read"):
        load(tmp_path / "t.gz")
    (tmp_path / "u.gz").write_bytes(gzip.compress(b"1\n" * 10_000)[:-20])
    with pytest.raises(UsageError, match="can't be read"):
        load(tmp_path / "u.gz")


def test_too_many_requests_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="cut or scale it down"):
        of_rates("huge", [1e9])
    monkeypatch.setattr(traces, "MOST_REQUESTS", 3)
    with pytest.raises(UsageError, match="line 4 is beyond 3 entries: cut the trace"):
        load(written(tmp_path, "1\n1\n1\n1\n"))


@pytest.mark.parametrize(
    ("text", "hours"),
    [
        ("1\n2\n", 0),  # Monday, 00:00 UTC, where nothing else is known
        ("time,rate\n0,1\n60,2\n", 0),
        ("time,rate\n2026-11-24T09:00:00Z,1\n2026-11-24T09:01:00Z,2\n", 33),
        ("timestamp\n2026-11-23T01:00:00+02:00\n2026-11-23T01:00:01+02:00\n", 7 * 24 - 1),
    ],
)
def test_when_a_trace_begins(tmp_path: Path, text: str, hours: float) -> None:
    trace = load(written(tmp_path, text))
    assert trace.week_s == hours * 3600
    assert trace.scaled(2).week_s == trace.week_s


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.[tc]*")), ids=lambda path: path.name)
def test_the_example_traces_load(path: Path) -> None:
    assert load(path).requests > 5000


def test_there_are_example_traces() -> None:
    assert len(list(EXAMPLES.glob("*.[tc]*"))) >= 2


def test_nonsense_is_refused() -> None:
    for rates in ([], [1.0, -1.0], [np.nan]):
        with pytest.raises(UsageError):
            of_rates("x", rates)
    for times in ([], [2.0, 1.0], [-1.0, 1.0], [np.inf]):
        with pytest.raises(UsageError):
            of_times("x", times)
    with pytest.raises(UsageError, match="before its last arrival"):
        of_times("x", [1.0, 5.0], length_s=4.0)
    with pytest.raises(UsageError, match="positive factor"):
        of_rates("x", [1.0]).scaled(0)
