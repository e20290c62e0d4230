import json
from pathlib import Path

import pytest

from e2e.bench import report
from e2e.bench.figure import Context, Figure, Result


def _figure(name: str = "waits_s", better: str = "lower") -> Figure:
    def measure(_: Context) -> Result:
        raise AssertionError("a report measures nothing")

    return Figure(name, "s", 0.5, better, "how long it waits", measure)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("better", "value", "met"),
    [
        ("lower", 0.5, True),
        ("lower", 0.501, False),
        ("higher", 0.5, True),
        ("higher", 0.499, False),
    ],
)
def test_a_value_on_the_target_meets_it(better: str, value: float, met: bool) -> None:
    assert report.row(_figure(better=better), Result(value, "so")).met is met


def test_a_figure_that_could_not_be_measured_is_missed_and_says_why() -> None:
    row = report.row(_figure(), TimeoutError("no pod was ready"))
    assert (row.value, row.met) == (None, False)
    assert "no pod was ready" in row.how


def test_rounding_never_turns_a_miss_into_a_hit() -> None:
    assert not report.row(_figure(), Result(0.500001, "so")).met


def test_one_figure_measured_again_replaces_only_its_own_row(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "bench.json"
    report.merge(file, [report.row(_figure("a"), Result(1, "first"))])
    report.merge(file, [report.row(_figure("b"), Result(2, "first"))])
    report.merge(file, [report.row(_figure("a"), Result(3, "second"))])
    rows = {row["name"]: row for row in json.loads(file.read_text())["rows"]}
    assert {name: row["value"] for name, row in rows.items()} == {"a": 3, "b": 2}
    assert set(rows["a"]) == {"name", "value", "unit", "target", "met", "how"}


def test_the_table_shows_the_verdict_and_how() -> None:
    figure = _figure()
    text = report.table([report.row(figure, Result(0.7, "of 200 services"))], [figure])
    assert "waits_s  0.7 s  ≤ 0.5 s  MISSED" in text
    assert "of 200 services" in text
