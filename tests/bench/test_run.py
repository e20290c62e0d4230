import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from e2e.bench.figure import Context, Figure, Result
from e2e.bench.run import run


def _gives(value: float) -> Callable[[Context], Result]:
    return lambda _: Result(value, f"saw {value}")


def _fails(error: BaseException) -> Callable[[Context], Result]:
    def measure(_: Context) -> Result:
        raise error

    return measure


def _figure(name: str, measure: Callable[[Context], Result]) -> Figure:
    return Figure(name, "s", 0.5, "lower", "how long it waits", measure)


@pytest.fixture(autouse=True)
def _signals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signal, "signal", lambda *_: None)  # pytest's own stay


def _values(path: Path) -> dict[str, float | None]:
    return {row["name"]: row["value"] for row in json.loads(path.read_text())["rows"]}


@pytest.mark.parametrize(("value", "code"), [(0.4, 0), (0.6, 1)])
def test_the_exit_code_is_the_verdict(
    value: float, code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([_figure("a", _gives(value))], tmp_path / "rows.json") == code
    assert f"saw {value}" in capsys.readouterr().out


def test_a_figure_that_fails_costs_the_others_nothing(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    figures = [_figure("a", _fails(TimeoutError("no pod"))), _figure("b", _gives(0.1))]
    assert run(figures, path) == 1
    assert _values(path) == {"a": None, "b": 0.1}


def test_what_was_measured_before_an_interruption_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "rows.json"
    figures = [_figure("a", _gives(0.1)), _figure("b", _fails(KeyboardInterrupt()))]
    assert run(figures, path) == 130
    assert _values(path) == {"a": 0.1}
    assert capsys.readouterr().out == ""  # half a table would pass for a whole one
