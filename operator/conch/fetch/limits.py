"""What one model may cost: bytes, files, time. Also says how far it has come.

Every loop that reads or writes a model goes through here, so that none can run for ever.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from conch.api.conditions import Reason
from conch.errors import FetchError

CHUNK_BYTES = 1 << 20
_REPORT_EVERY_S = 10.0


class Stopped(Exception):
    """Another model failed: there is no point in going on with this one."""


class Limits:
    """The limits of one model, and what is used of them."""

    def __init__(
        self,
        *,
        max_bytes: int,
        max_files: int,
        deadline_s: float,
        stop: threading.Event,
        report: Callable[[str], None],
    ) -> None:
        """``deadline_s`` is on ``time.monotonic``'s clock."""
        self.max_bytes = max_bytes
        self._max_files = max_files
        self._deadline_s = deadline_s
        self._stop = stop
        self._report = report
        self._reported_s = time.monotonic()
        self._files = 0

    def check(self) -> None:
        """Raises Stopped or FetchError when there is no time left."""
        if self._stop.is_set():
            raise Stopped
        if time.monotonic() > self._deadline_s:
            raise FetchError(
                Reason.FETCH_FAILED.value, "it takes longer than the puller may run; see the limits"
            )

    def pause(self, seconds: float) -> None:
        """Waits, but not longer than there is time."""
        self._stop.wait(max(0.0, min(seconds, self._deadline_s - time.monotonic())))
        self.check()

    def bytes_so_far(self, done: int, total: int | None = None) -> None:
        """Judges a size as known now; raises FetchError when it is too much."""
        self.check()
        if max(done, total or 0) > self.max_bytes:
            raise FetchError(
                Reason.FETCH_FAILED.value,
                f"it is larger than {self.max_bytes} bytes, the most the administrator allows",
            )
        now_s = time.monotonic()
        if now_s - self._reported_s >= _REPORT_EVERY_S:
            self._reported_s = now_s
            of = f" of {mebibytes(total)}" if total else ""
            self._report(f"{mebibytes(done)}{of}")

    def another_file(self) -> None:
        """Counts a file or directory; raises FetchError when there are too many."""
        self.check()
        self._files += 1
        if self._files > self._max_files:
            raise FetchError(
                Reason.FETCH_FAILED.value,
                f"it has more than {self._max_files} files, the most that is allowed",
            )


def mebibytes(amount: int) -> str:
    """An amount of bytes for people."""
    return f"{amount / 2**20:.1f} MiB"
