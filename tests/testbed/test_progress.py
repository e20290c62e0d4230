import io
import threading

from e2e.testbed.progress import Progress, long_step


class Seen(io.StringIO):
    """Tells when a line of the wanted kind was written."""

    def __init__(self, wanted: str) -> None:
        super().__init__()
        self._wanted, self.happened = wanted, threading.Event()

    def write(self, text: str) -> int:
        if self._wanted in text:
            self.happened.set()
        return super().write(text)


def test_lines_start_with_the_elapsed_time() -> None:
    stream = io.StringIO()
    Progress(stream)("a step")
    assert stream.getvalue().split() == ["0.0", "s", "a", "step"]


def test_quiet_prints_nothing() -> None:
    stream = io.StringIO()
    Progress(stream, quiet=True)("a step")
    assert stream.getvalue() == ""


def test_a_long_step_shows_that_it_lives_and_what_it_is_at() -> None:
    stream = Seen("package 7 of 9")
    with long_step(Progress(stream), "building", every_s=0.01) as heartbeat:
        heartbeat.detail = "package 7 of 9"
        assert stream.happened.wait(10)
    assert "building: done in" in stream.getvalue()
