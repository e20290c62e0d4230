"""The correction for what the model of a replica does not know: noisy neighbours, odd inputs.

Decides by how much more capacity is asked for than the queue model wants, from the latency the
servers measured themselves. It is slow on purpose, never the primary signal: lateness comes too
late, and mostly from a backlog that no correction would have prevented. Pure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

# Triton's summaries look back a minute in steps of twelve seconds: what they show must be younger
# than the last change of the replicas.
SETTLED_S: Final = 75.0
MOST: Final = 1.8
_RISE_PER_S: Final = 0.005
_FALL_PER_S: Final = 0.0002
_COMFORTABLE: Final = 0.7  # of the target
_MISSED: Final = 1.25  # times the target; said until it is met again
_MISSED_AFTER_S: Final = 20.0  # of replicas that did not change: no word for a rise being met


@dataclass(frozen=True, slots=True)
class Strain:
    """``factor`` multiplies the replicas needed; ``settled_s`` is since when nothing changed."""

    factor: float = 1.0
    replicas: int = -1
    settled_s: float = 0.0
    ready_s: float = 0.0  # since when as many are ready
    missed: bool = False  # most replicas were late in the last minute; changes no number

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
        ready_s = now_s if ready != self.replicas else self.ready_s
        limit_s = (1.0 if self.missed else _MISSED) * target_s
        missed = now_s - ready_s >= _MISSED_AFTER_S and _most(latencies_s, limit_s)
        if not steady or ready != self.replicas:
            return Strain(self.factor, ready, now_s, ready_s, missed)
        if now_s - self.settled_s < SETTLED_S or not latencies_s:
            return replace(self, missed=missed)
        change = 0.0
        if _most(latencies_s, target_s):  # one slow pod among many is not cured by more of them
            change = _RISE_PER_S * elapsed_s
        elif max(latencies_s) < _COMFORTABLE * target_s:
            change = -_FALL_PER_S * elapsed_s
        factor = min(MOST, max(1.0, self.factor + change))
        return replace(self, factor=factor, missed=missed)


def _most(latencies_s: Sequence[float], limit_s: float) -> bool:
    return 2 * sum(latency > limit_s for latency in latencies_s) > len(latencies_s)
