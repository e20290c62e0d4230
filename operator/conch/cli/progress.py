"""A line on standard error for what takes longer than two seconds: how far, and the time left.

Drawn by a thread, so that it also speaks while one long computation runs. In a terminal one line
that is wiped at the end; elsewhere a line every ten seconds.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self, TextIO

PATIENCE_S: Final = 2.0
_REDRAW_S: Final = 0.25
_REPEAT_S: Final = 10.0
_WIPE: Final = "\r\x1b[2K"


class Progress:
    """``tell`` it the share that is done; used as a context."""

    def __init__(self, out: TextIO | None = None, patience_s: float = PATIENCE_S) -> None:
        self._out = out or sys.stderr
        self._live = self._out.isatty()
        self._patience_s = patience_s
        self._share: float | Callable[[], float] = 0.0
        self._what = ""
        self._started_s = time.monotonic()
        self._over = threading.Event()
        self._drawn = False
        self._thread = threading.Thread(target=self._draw, daemon=True)

    def tell(self, share: float | Callable[[], float], what: str) -> None:
        """``share`` (0..1) is done, or tells how much when asked; ``what`` is being worked on."""
        self._share, self._what = share, what

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()
        if self._live and self._drawn:
            print(_WIPE, end="", file=self._out, flush=True)

    def _draw(self) -> None:
        wait_s = self._patience_s
        while not self._over.wait(wait_s):
            share = self._share() if callable(self._share) else self._share
            line = sentence(share, time.monotonic() - self._started_s, self._what)
            print(f"{_WIPE}{line}" if self._live else f"{line}.", end="" if self._live else "\n",
                  file=self._out, flush=True)  # fmt: skip
            self._drawn = True
            wait_s = _REDRAW_S if self._live else _REPEAT_S


def sentence(share: float, elapsed_s: float, what: str) -> str:
    """``simulating keda: 40 %, about 12 s left``; no promise in the first hundredth, nor where
    nobody knows: ``asking the cluster: 5 s so far``."""
    if share < 0.01:
        return f"{what or 'starting'}: {elapsed_s:.0f} s so far"
    left_s = elapsed_s * (1 - share) / share
    left = f"{left_s:.0f} s" if left_s < 100 else f"{left_s / 60:.0f} min"
    return f"{what}: {100 * share:.0f} %, about {left} left"
