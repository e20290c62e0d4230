"""Progress lines with elapsed time. Decides only how a step is shown, never what is done."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

HEARTBEAT_S = 15.0


class Progress:
    """Call it with a line; it prints the seconds since it was made before the line."""

    def __init__(self, stream: TextIO | None = None, *, quiet: bool = False) -> None:
        self._stream = stream if stream is not None else sys.stderr
        self._quiet = quiet
        self._start_s = time.monotonic()
        self._lock = threading.Lock()

    def __call__(self, message: str) -> None:
        if self._quiet:
            return
        with self._lock:
            print(f"{self.elapsed_s():7.1f} s  {message}", file=self._stream, flush=True)

    def elapsed_s(self) -> float:
        return time.monotonic() - self._start_s


class Heartbeat:
    """What a long step last said of itself; repeated so that no step is silent for long."""

    def __init__(self, progress: Progress, what: str) -> None:
        self._progress, self._what = progress, what
        self.detail = ""
        self._start_s = time.monotonic()

    def beat(self) -> None:
        seconds = time.monotonic() - self._start_s
        detail = f": {self.detail}" if self.detail else ""
        self._progress(f"… {self._what}, {seconds:.0f} s so far{detail}")


@contextmanager
def long_step(progress: Progress, what: str, every_s: float = HEARTBEAT_S) -> Iterator[Heartbeat]:
    """Announce a step, show that it lives every `every_s` seconds, and say how long it took."""
    progress(what)
    heartbeat, done, start_s = Heartbeat(progress, what), threading.Event(), time.monotonic()

    def tick() -> None:
        while not done.wait(every_s):
            heartbeat.beat()

    thread = threading.Thread(target=tick, daemon=True)
    thread.start()
    try:
        yield heartbeat
    finally:
        done.set()
        thread.join()
    progress(f"{what}: done in {time.monotonic() - start_s:.1f} s")
