"""X(c): the highest Poisson rate at which c replicas hold the objective, found by simulation.

For the planners that know the truth (``oracle``) and for whoever sets up a foreign rule; Conch's
own scaler learns its capacity from the counters. Pooling makes X grow faster than c where the
router sends requests to the least busy replica; noise and batching are in it as simulated.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from conch.api.conditions import Reason
from conch.observe.types import Decision
from conch.twin.controller import Sight
from conch.twin.traces import of_rates
from conch.twin.world import Scenario, World

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_SIZES: Final = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
_PRECISION: Final = 0.01  # of the rate


@dataclass(frozen=True, slots=True)
class Table:
    """``rates[c-1]`` is X(c) in requests/s; it grows with c."""

    rates: tuple[float, ...]

    def need(self, rates: npt.ArrayLike) -> Ints:
        """The fewest replicas whose X is at least each rate; at least 1, at most all."""
        found = np.searchsorted(np.asarray(self.rates), np.asarray(rates), side="left") + 1
        return np.asarray(np.minimum(found, len(self.rates)), dtype=np.int64)

    @staticmethod
    def through(points: Iterable[tuple[int, float]], most: int) -> Table:
        """A table up to ``most`` from some measured sizes: straight lines in between."""
        known = sorted(points)
        sizes = np.arange(1, most + 1)
        rates = np.interp(sizes, [c for c, _ in known], [rate for _, rate in known])
        return Table(tuple(np.maximum.accumulate(rates).tolist()))


def measured(scenario: Scenario, most: int, requests: int = 100_000) -> Table:
    """The table of a scenario's service, router and queue policy, up to ``most`` replicas.

    It simulates about seven times ``requests`` for each of up to a dozen sizes.
    """
    sizes = [c for c in _SIZES if c < most] + [most]
    points: list[tuple[int, float]] = []
    for size in sizes:
        guess = points[-1][1] / points[-1][0] if points else None
        points.append((size, _largest_rate(scenario, size, requests, guess)))
    return Table.through(points, most)


def late_share(scenario: Scenario, replicas: int, rate: float, requests: int) -> float:
    """Late share of ``replicas`` ready ones at a steady Poisson rate."""
    length_s = math.ceil(requests / rate)
    still = replace(
        scenario,
        min_replicas=replicas,
        max_replicas=replicas,
        initial_replicas=replicas,
        crashes_per_hour=0.0,
        node_losses_s=(),
        retry_share=0.0,
    )
    trace = of_rates("steady", np.full(length_s, rate))
    return World(still, trace).run(_Still(replicas, length_s + 1.0)).late_share


def _largest_rate(
    scenario: Scenario, replicas: int, requests: int, per_replica: float | None
) -> float:
    """Bisection on the rate, from a guess where a smaller size gives one."""
    throughput = scenario.service.throughput_rps * replicas
    allowed = 1 - scenario.percentile / 100
    low, high = 0.02 * throughput, throughput
    if per_replica is not None:  # X(c)/c hardly ever falls, and grows slowly
        low, high = 0.9 * per_replica * replicas, min(high, 1.35 * per_replica * replicas)
    while high - low > _PRECISION * high:
        middle = (low + high) / 2
        if late_share(scenario, replicas, middle, requests) <= allowed:
            low = middle
        else:
            high = middle
    return low


@dataclass(slots=True)
class _Still:
    """A fixed size that looks as good as never."""

    replicas: int
    interval_s: float
    name: str = "still"

    def decide(self, sight: Sight) -> Decision:
        """The same again."""
        return Decision(self.replicas, Reason.FIXED, "fixed")
