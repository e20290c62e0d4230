"""How far, and the time left; only when it takes long."""

from __future__ import annotations

import io
import threading

import pytest

from conch.cli.progress import Progress, sentence


@pytest.mark.parametrize(
    ("share", "elapsed_s", "said"),
    [
        (0.0, 5, "simulating keda: 5 s so far"),
        (0.25, 10, "simulating keda: 25 %, about 30 s left"),
        (0.5, 600, "simulating keda: 50 %, about 10 min left"),
        (1.0, 10, "simulating keda: 100 %, about 0 s left"),
    ],
)
def test_sentences(share: float, elapsed_s: float, said: str) -> None:
    assert sentence(share, elapsed_s, "simulating keda") == said


def test_quick_work_is_silent() -> None:
    out = io.StringIO()
    with Progress(out, patience_s=60) as progress:
        progress.tell(0.5, "quick")
    assert out.getvalue() == ""


class Heard(io.StringIO):
    """A stream that says when something was written."""

    def __init__(self, terminal: bool) -> None:
        super().__init__()
        self.terminal = terminal
        self.written = threading.Event()

    def isatty(self) -> bool:
        return self.terminal

    def flush(self) -> None:
        self.written.set()


@pytest.mark.parametrize("terminal", [False, True])
def test_slow_work_is_told_of_while_it_runs(terminal: bool) -> None:
    out = Heard(terminal)
    with Progress(out, patience_s=0.001) as progress:
        progress.tell(0.5, "slow")
        assert out.written.wait(10)  # although nobody tells anything any more
    told = out.getvalue()
    assert "slow: 50 %" in told or "starting: 0 s so far" in told
    # A terminal's line is wiped, a log's stays.
    assert told.endswith("\r\x1b[2K" if terminal else ".\n")


def test_a_share_that_is_asked_for() -> None:
    out = Heard(terminal=True)  # drawn again every quarter of a second
    with Progress(out, patience_s=0.001) as progress:
        progress.tell(lambda: 0.25, "reading")
        while "reading: 25 %, about " not in out.getvalue():
            out.written.clear()
            assert out.written.wait(10)
