"""The correction for what the model of a replica does not know: noisy neighbours, odd inputs.

Decides by how much more capacity is asked for than the queue model wants, from the latency the
servers measured themselves. It is slow on purpose, never the primary signal: lateness comes too
late, and mostly from a backlog that no correction would have prevented. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

# Triton's summaries look back a minute in steps of twelve seconds: what they show must be younger
# than the last change of the replicas.
SETTLED_S: Final = 75.0
MOST: Final = 1.8
_RISE_PER_S: Final = 0.005
_FALL_PER_S: Final = 0.0002
_COMFORTABLE: Final = 0.7  # of the target
_MISSED: Final = 1.25  # times the target; said until it is met again


@dataclass(frozen=True, slots=True)
class Strain:
    """``factor`` multiplies the replicas needed; ``settled_s`` is since when nothing changed."""

    factor: float = 1.0
    replicas: int = -1
    settled_s: float = 0.0
    missed: bool = False  # most replicas miss the target, and by nothing that is passing

    def after(
        self,
        now_s: float,
        elapsed_s: float,
        ready: int,
        steady: bool,
        latencies_s: Sequence[float],
        target_s: float,
    ) -> Strain:
        """With one more look; ``steady``: no pod starts and no backlog is being worked off."""
        if not steady or ready != self.replicas:
            return Strain(self.factor, ready, now_s)
        if now_s - self.settled_s < SETTLED_S or not latencies_s:
            return self
        change = 0.0
        if _most(latencies_s, target_s):  # one slow pod among many is not cured by more of them
            change = _RISE_PER_S * elapsed_s
        elif max(latencies_s) < _COMFORTABLE * target_s:
            change = -_FALL_PER_S * elapsed_s
        missed = _most(latencies_s, (1.0 if self.missed else _MISSED) * target_s)
        return Strain(min(MOST, max(1.0, self.factor + change)), ready, self.settled_s, missed)


def _most(latencies_s: Sequence[float], limit_s: float) -> bool:
    return 2 * sum(latency > limit_s for latency in latencies_s) > len(latencies_s)
