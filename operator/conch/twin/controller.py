"""What every scaler in the twin is given and gives back: Conch's own, other people's, the oracle.

Values and a protocol only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from conch.observe.types import Decision, ScalingObservation


@dataclass(frozen=True, slots=True)
class Sight:
    """One look at the service, as old and as incomplete as a live loop's.

    ``observation`` is what Conch's live loop builds from Triton's own counters. The rest is what
    other rules read through other ways (a proxy, a histogram, a device): means over the time since
    the controller's last look, one entry per pod that reports, with the same lag and loss.
    """

    observation: ScalingObservation
    running: int  # pods whose server process runs, ready or not
    in_flight: tuple[float, ...]  # mean requests in a pod, waiting or executing
    busy: tuple[float, ...]  # share of the time in which a pod executed anything, 0..1
    latencies_s: tuple[float, ...]  # sorted sample of the latencies of requests that ended


class Controller(Protocol):
    """A scaler. ``decide`` is called every ``interval_s``; it keeps its own state."""

    @property
    def name(self) -> str:
        """A short name for tables, such as ``keda`` or ``conch``."""

    @property
    def interval_s(self) -> float:
        """Seconds between two decisions."""

    def decide(self, sight: Sight) -> Decision:
        """How many replicas from now on; the world clamps to its own limits."""
