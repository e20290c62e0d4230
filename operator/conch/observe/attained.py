"""How much of what was promised was kept: requests and late ones over the last hour and 30 days.

Bounded: a count per minute for the hour, one per hour for the month. It knows only what was counted
since the operator started; Prometheus' own windows over the counters reach further back.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

WINDOWS: Final[Mapping[str, tuple[float, int]]] = {"1h": (60.0, 60), "30d": (3600.0, 720)}
"""By name: seconds of a count, and how many of them."""


@dataclass(slots=True)
class _Count:
    number: int  # which stretch of time since the clock's zero
    ended: float = 0.0
    late: float = 0.0


def _rings() -> dict[str, deque[_Count]]:
    return {name: deque(maxlen=counts) for name, (_, counts) in WINDOWS.items()}


@dataclass(slots=True)
class Attained:
    """One service. ``now_s`` comes from a clock that never goes back."""

    _rings: dict[str, deque[_Count]] = field(default_factory=_rings)

    def look(self, ended: float, late: float, now_s: float) -> None:
        """Take in requests that ended since the last look, ``late`` of them too late or failed."""
        for name, ring in self._rings.items():
            seconds, counts = WINDOWS[name]
            number = int(now_s // seconds)
            if ended > 0 and (not ring or ring[-1].number != number):
                ring.append(_Count(number))
            while ring and ring[0].number <= number - counts:
                ring.popleft()
            if ended > 0:
                ring[-1].ended += ended
                ring[-1].late += min(late, ended)

    def share(self, window: str) -> float | None:
        """The share of requests in time, 0 to 1; None: none were counted."""
        ended = sum(count.ended for count in self._rings[window])
        if ended <= 0:
            return None
        return 1.0 - sum(count.late for count in self._rings[window]) / ended

    def budget_left(self, window: str, allowed: float) -> float | None:
        """What of the late requests that the objective allows is left: 1 all, 0 none, below 0 none
        and more than those were late. ``allowed`` is the share that may be late."""
        share = self.share(window)
        return None if share is None else 1.0 - (1.0 - share) / allowed
