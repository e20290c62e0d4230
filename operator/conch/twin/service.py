"""What one replica is: how long a batch takes, how batches are formed, what the queue refuses.

Values only; the compiled loop (``kernel``) reads them as arrays and says what it knows of Triton's
batcher.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from conch.errors import UsageError


@dataclass(frozen=True, slots=True)
class ServiceModel:
    """One model on one replica.

    ``service_s[k-1]`` is the mean time in seconds of a batch of k, up to the batch limit;
    ``noise`` the relative standard deviation of one execution (lognormal, mean kept);
    ``preferred`` and ``max_queue_delay_s`` as in Triton's dynamic batching;
    ``drift`` multiplies all times, linearly between its (time in s, factor) points;
    ``spread`` is the standard deviation of a factor that each replica keeps for its life;
    ``ahead``: with a queue delay and no queue policy, batches are closed before an instance is
    free, as Triton does (``False`` is the ideal queue); ``max_queue_size`` refuses at once when so
    many wait in a replica (0: no limit); ``priorities`` are the shares of requests per level, most
    urgent first. ``lost_wakeups`` is the share of the ends of batches that Triton's batcher misses
    when there is a queue policy (0.75 was measured on two busy cores).
    """

    service_s: tuple[float, ...]
    noise: float = 0.05
    instances: int = 1
    preferred: tuple[int, ...] = ()
    max_queue_delay_s: float = 0.0
    drift: tuple[tuple[float, float], ...] = ()
    spread: float = 0.0
    ahead: bool = True
    max_queue_size: int = 0
    priorities: tuple[float, ...] = (1.0,)
    lost_wakeups: float = 0.0

    def __post_init__(self) -> None:
        """Raises UsageError for what no server can be."""
        if not self.service_s or not all(math.isfinite(s) and s > 0 for s in self.service_s):
            raise UsageError(f"service times must be positive seconds, not {self.service_s}")
        if self.instances < 1:
            raise UsageError(f"a model has at least one instance, not {self.instances}")
        if self.noise < 0 or self.spread < 0 or self.max_queue_delay_s < 0:
            raise UsageError("noise, spread and queue delay of a service can't be negative")
        if not 0 <= self.lost_wakeups <= 1:
            raise UsageError(f"lost wake-ups are a share, not {self.lost_wakeups}")
        if not all(1 <= size <= self.max_batch for size in self.preferred):
            raise UsageError(f"preferred sizes {self.preferred} are not within 1..{self.max_batch}")
        times = [t for t, _ in self.drift]
        if times != sorted(set(times)) or not all(factor > 0 for _, factor in self.drift):
            raise UsageError(f"drift needs rising times and positive factors, not {self.drift}")
        if not self.priorities or min(self.priorities) < 0 or sum(self.priorities) <= 0:
            raise UsageError(f"priorities are shares of the requests, not {self.priorities}")

    @staticmethod
    def linear(base_s: float, per_item_s: float, max_batch: int) -> ServiceModel:
        """A batch of k takes ``base_s + k * per_item_s``."""
        return ServiceModel(tuple(base_s + k * per_item_s for k in range(1, max_batch + 1)))

    @property
    def max_batch(self) -> int:
        """The batch limit."""
        return len(self.service_s)

    @property
    def throughput_rps(self) -> float:
        """The most one replica completes when latency does not count."""
        return max(k / s for k, s in enumerate(self.service_s, 1)) * self.instances
