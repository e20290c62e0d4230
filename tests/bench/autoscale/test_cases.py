from pathlib import Path

import numpy as np
import pytest

from conch.errors import UsageError
from conch.twin.table import Table
from e2e.autoscale.cases import COLD_STARTS_S, CURVES, FLASHES, cases, fingerprint, traces


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "README.md").write_text("words, 1")
    (tmp_path / "wave.txt").write_text("\n".join(f"{10 + i % 7}" for i in range(3600)))
    times = "\n".join(f"{i / 2:.3f},1" for i in range(6000))
    (tmp_path / "true.csv").write_text(f"time,tokens\n{times}\n")
    return tmp_path


def test_every_trace_meets_every_curve_and_cold_start_once(folder: Path) -> None:
    found = list(cases(folder))
    names = [case.name for case in found]
    assert len(set(names)) == len(names) == 10 * len(CURVES) * len(COLD_STARTS_S)
    assert {f"{flash}/a/40" for flash in FLASHES} < set(names)
    assert {"wave/b/10", "true/c/120"} < set(names)


def test_a_trace_is_brought_to_the_curve_s_load_and_length(folder: Path) -> None:
    for case in cases(folder):
        load = case.trace.mean_rps / case.curve.service.throughput_rps
        # Copies of true arrivals are whole.
        assert load == pytest.approx(case.curve.load, rel=0.05)
        assert case.trace.length_s <= 1.2 * case.curve.length_s


def test_true_arrivals_stay_true(folder: Path) -> None:
    true = next(case for case in cases(folder) if case.name == "true/a/40")
    assert true.trace.times_s is not None
    assert true.trace.copies == 60  # of 2 requests/s for 120


def test_the_limit_is_above_the_peak_and_the_start_fits_the_first_minute(folder: Path) -> None:
    table = Table(tuple(30.0 * c for c in range(1, 65)))
    case = next(case for case in cases(folder) if case.name == "step/a/40")
    scenario = case.limited(table)
    low, high = np.min(case.trace.rates), np.max(case.trace.rates)
    assert scenario.initial_replicas == pytest.approx(low / 30, abs=1)
    assert 1.2 * high / 30 <= scenario.max_replicas <= 1.6 * high / 30


def test_a_fingerprint_tells_what_a_result_rests_on(folder: Path) -> None:
    one, other = [c for c in cases(folder) if c.name in ("wave/a/40", "wave/a/10")]
    assert fingerprint(one) != fingerprint(other)
    (folder / "wave.txt").write_text("\n".join(f"{10 + i % 8}" for i in range(3600)))
    changed = next(c for c in cases(folder) if c.name == one.name)
    assert fingerprint(changed) != fingerprint(one)
    assert fingerprint(changed) == fingerprint(changed)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no folder of traces"):
        traces(tmp_path / "none")
