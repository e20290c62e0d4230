"""What is simulated: the service, the cluster around it, and how its metrics are seen.

Values only, checked where they are made.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

from conch.errors import UsageError
from conch.twin.service import ServiceModel

Routing = Literal["least", "random", "connections"]

ROUTINGS: Final = ("least", "random", "connections")


@dataclass(frozen=True, slots=True)
class Lot:
    """Places for replicas that are alike; ``slower`` multiplies their service times. ``room`` is
    how many (None: any number)."""

    name: str
    slower: float = 1.0
    room: int | None = None

    def __post_init__(self) -> None:
        """Raises UsageError for what no machine can be."""
        if not (math.isfinite(self.slower) and self.slower > 0):
            raise UsageError(f"lot {self.name}: service times change by a factor above 0")


@dataclass(frozen=True, slots=True)
class Scenario:
    """Everything about a service and its cluster but the requests and the scaler.

    ``cold_start_s`` is the median, drawn uniformly within ``cold_start_spread`` of it; with
    ``cold_starts_s``, times that were measured (with and without a pull, say), around one of those.
    ``routing``: ``least`` outstanding, ``random`` per request, or ``connections``: that many
    long-lived channels, each moved after about ``recycle_s``. A look at the metrics shows them as
    of a scrape (every ``scrape_interval_s``; 0: continuously) about ``lag_s`` ago (uniform, drawn
    per look); a share ``loss`` of the pods' scrapes fails. ``rejected`` clients come back with
    probability ``retry_share`` after ``retry_delay_s``. ``crashes_per_hour`` is per ready pod;
    ``node_losses_s`` are moments at which ``pods_per_node`` pods die, replaced after
    ``eviction_s``. ``room`` is how many pods the cluster can hold (None: any number), and a share
    ``never_ready`` of all pods never becomes ready. ``drain_s`` is the least a drain lasts.
    ``lots``: a new pod goes to the first one with room, or to the last; pods of the last go first.
    Scalers are told who is where. None: all pods are alike.
    """

    service: ServiceModel
    cold_start_s: float
    target_s: float
    max_replicas: int
    min_replicas: int = 1
    initial_replicas: int = 1
    percentile: float = 99.0
    cold_start_spread: float = 0.25
    cold_starts_s: tuple[float, ...] = ()
    routing: Routing = "least"
    channels: int = 64
    recycle_s: float = 300.0
    scrape_interval_s: float = 2.0
    lag_s: tuple[float, float] = (2.0, 5.0)
    loss: float = 0.0
    crashes_per_hour: float = 0.0
    node_losses_s: tuple[float, ...] = ()
    pods_per_node: int = 4
    eviction_s: float = 300.0
    room: int | None = None
    never_ready: float = 0.0
    drain_s: float = 0.0
    reject_after_s: float | None = None
    retry_share: float = 0.0
    retry_delay_s: float = 1.0
    seed: int = 0
    lots: tuple[Lot, ...] = ()

    def __post_init__(self) -> None:
        """Raises UsageError for what can't be simulated."""
        for start_s in (self.cold_start_s, *self.cold_starts_s):
            if not (math.isfinite(start_s) and start_s > 0):
                raise UsageError(f"a cold start takes more than 0 s, not {start_s:g}")
        if not 0 <= self.cold_start_spread < 1:
            raise UsageError(
                f"the cold start's spread is within 0..1, not {self.cold_start_spread}"
            )
        if not (math.isfinite(self.target_s) and self.target_s > 0):
            raise UsageError(f"the latency target must be more than 0 s, not {self.target_s:g}")
        if not 0 < self.percentile < 100:
            raise UsageError(f"the percentile is within 0..100, not {self.percentile}")
        if not 0 <= self.min_replicas <= self.max_replicas or self.max_replicas < 1:
            raise UsageError(
                f"replicas from {self.min_replicas} to {self.max_replicas} is no range"
            )
        if self.routing not in ROUTINGS:
            raise UsageError(f"routing {self.routing!r} is none of {', '.join(ROUTINGS)}")
        if not 0 <= self.lag_s[0] <= self.lag_s[1] or self.scrape_interval_s < 0:
            raise UsageError("metrics can't be older than none: lag and scrape interval are >= 0")
