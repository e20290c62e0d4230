"""What came of one simulated run: latencies, lateness, cost, events.

Late means: answered after the target, refused, failed, or never answered. Refused requests that a
client sent again are load, not further requests: the first attempt's fate counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from conch.twin.kernel import FAILED, REJECTED

_TOLERANCE = 1e-6  # of the target: latencies are kept in single precision


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """One entry per second of the trace; ``p99_s`` of the ten seconds around (NaN: no answer)."""

    arrivals: npt.NDArray[np.int64]
    late: npt.NDArray[np.int64]
    rejected: npt.NDArray[np.int64]
    wanted: npt.NDArray[np.int64]
    ready: npt.NDArray[np.int64]
    p99_s: npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Result:
    """One run. Shares are 0..1; ``minutes_ok`` is the share of minutes with traffic in which the
    objective's percentile was on time."""

    requests: int
    late: int
    rejected: int
    failed: int
    retries: int
    replica_hours: float
    p50_s: float
    p99_s: float
    p999_s: float
    minutes_ok: float
    scale_events: int
    replica_starts: int
    peak_replicas: int
    length_s: float
    timeline: Timeline

    @property
    def late_share(self) -> float:
        """Late requests of all; 0 when there were none."""
        return self.late / self.requests if self.requests else 0.0

    @property
    def cost_hours(self) -> float:
        """What is paid for: here the replica-hours, from the asking to the end of the drain."""
        return self.replica_hours

    def row(self) -> dict[str, float]:
        """The numbers for a table or JSON."""
        return {
            "requests": self.requests,
            "late_share": self.late_share,
            "rejected": self.rejected,
            "failed": self.failed,
            "replica_hours": self.replica_hours,
            "p50_s": self.p50_s,
            "p99_s": self.p99_s,
            "p999_s": self.p999_s,
            "minutes_ok": self.minutes_ok,
            "scale_events": self.scale_events,
            "replica_starts": self.replica_starts,
            "peak_replicas": self.peak_replicas,
        }


@dataclass(frozen=True, slots=True, eq=False)
class Fates:
    """When each request of the trace arrived, and its latency or what else became of it."""

    arrival_s: npt.NDArray[np.float64]
    latency_s: npt.NDArray[np.float32]

    def late(self, target_s: float) -> npt.NDArray[np.bool_]:
        """Which ones count as late."""
        limit_s = target_s * (1 + _TOLERANCE)
        return np.logical_not((self.latency_s >= 0) & (self.latency_s <= limit_s))

    @property
    def rejected(self) -> npt.NDArray[np.bool_]:
        """Which ones the queue policy refused."""
        return np.equal(self.latency_s, REJECTED)

    @property
    def failed(self) -> npt.NDArray[np.bool_]:
        """Which ones died with a replica, found none, or were never answered."""
        return np.equal(self.latency_s, FAILED) | np.isnan(self.latency_s)

    def quantiles(self) -> tuple[float, float, float]:
        """p50, p99 and p99.9 of the answered ones; NaN without any."""
        answered = self.latency_s[self.latency_s >= 0]
        if answered.size == 0:
            return (float("nan"),) * 3
        p50, p99, p999 = np.quantile(answered, (0.5, 0.99, 0.999))
        return float(p50), float(p99), float(p999)

    def per_second(
        self, which: npt.NDArray[np.bool_] | None, seconds: int
    ) -> npt.NDArray[np.int64]:
        """How many (of ``which``) arrived in each second."""
        times = self.arrival_s if which is None else self.arrival_s[which]
        found = np.bincount(np.minimum(times.astype(np.int64), seconds - 1), minlength=seconds)
        return found.astype(np.int64)

    def p99_windows(self, seconds: int, window_s: int = 10) -> npt.NDArray[np.float64]:
        """The p99 of each window of arrivals, repeated for each of its seconds."""
        found = np.full(seconds, np.nan)
        edges = np.searchsorted(self.arrival_s, np.arange(0, seconds + window_s, window_s))
        for i, (a, b) in enumerate(pairwise(edges)):
            answered = self.latency_s[a:b]
            answered = answered[answered >= 0]
            if answered.size:
                rank = min(answered.size - 1, int(0.99 * answered.size))
                found[i * window_s : (i + 1) * window_s] = np.partition(answered, rank)[rank]
        return found


def minutes_ok(
    arrivals: npt.NDArray[np.int64], late: npt.NDArray[np.int64], percentile: float
) -> float:
    """Share of the minutes with requests in which ``percentile`` of them were on time."""
    edges = np.arange(0, arrivals.size, 60)
    came, were_late = np.add.reduceat(arrivals, edges), np.add.reduceat(late, edges)
    busy = came > 0
    if not busy.any():
        return 1.0
    return float(np.mean(were_late[busy] <= (1 - percentile / 100) * came[busy] + 1e-9))
