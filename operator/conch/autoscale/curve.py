"""The service curve s(k): how long one model needs for a batch of k, learned from executions.

Decides what is believed about sizes seen and not seen; it does not know about queues or replicas.
Pure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from conch.triton.sample import BatchStat

FORGETTING_S: Final = 600.0  # what was seen this long ago counts e times less
MAX_WEIGHT: Final = 500.0  # executions; more would make a size slow to change its mind
PRIOR_MARGINAL: Final = 0.5  # of s(1): what one more request in a batch costs until it is seen
_SHRINK: Final = 5.0  # executions after which a size's own mean outweighs the line
_OUTLIER: Final = 2.0  # times the mean: the most one look may claim once a size is known
_KNOWN: Final = 10.0  # executions
_DRIFT_WEIGHT: Final = 200.0  # executions that move all sizes half-way, when all seem slower
_DRIFT_MOST: Final = 0.2


@dataclass(frozen=True, slots=True)
class _Size:
    weight: float  # executions, forgotten ones discounted
    mean_s: float
    scatter: float = 0.0  # relative variance of one execution, from how looks differ
    looks: float = 0.0


@dataclass(frozen=True, slots=True)
class Curve:
    """What is known of s(k). Immutable: ``learned`` gives the next one."""

    sizes: Mapping[int, _Size] = field(default_factory=dict)

    @property
    def executions(self) -> float:
        """How many executions it rests on, forgotten ones discounted."""
        return sum(size.weight for size in self.sizes.values())

    @property
    def largest(self) -> int:
        """The largest batch seen lately; 0 before the first."""
        return max(self.sizes, default=0)

    def learned(self, seen: Mapping[int, BatchStat], elapsed_s: float) -> Curve:
        """After ``elapsed_s`` more seconds and the executions in ``seen``."""
        keep = math.exp(-max(0.0, elapsed_s) / FORGETTING_S)
        sizes = {
            k: _Size(size.weight * keep, size.mean_s, size.scatter, size.looks * keep)
            for k, size in self.sizes.items()
            if size.weight * keep > 0.05
        }
        drift = _drift(sizes, seen)
        if drift != 1:
            sizes = {k: replace(size, mean_s=size.mean_s * drift) for k, size in sizes.items()}
        for k, stat in seen.items():
            if stat.count > 0 and stat.compute_s > 0:
                sizes[k] = _merged(sizes.get(k), stat)
        return Curve(sizes)

    def noise(self) -> float:
        """Relative standard deviation of one execution; 0 while unknown."""
        looks = sum(size.looks for size in self.sizes.values())
        if looks < 5:
            return 0.0
        scatter = sum(size.scatter * size.looks for size in self.sizes.values()) / looks
        return min(0.5, math.sqrt(scatter))

    def service_s(self, max_batch: int) -> list[float]:
        """s(1) … s(max_batch), never falling. Empty while nothing is known.

        A size seen often is its own mean; one seen seldom leans on the line a + b·k through all;
        one beyond those seen costs at least the line's slope, or the prior's, per request.
        """
        if not self.sizes:
            return []
        base, slope = self._line()
        largest = min(self.largest, max_batch)
        curve: list[float] = []
        for k in range(1, max_batch + 1):
            line = base + slope * k
            size = self.sizes.get(k)
            if size is not None:
                trust = size.weight / (size.weight + _SHRINK)
                value = trust * size.mean_s + (1 - trust) * line
            elif k < largest:
                value = line
            else:
                value = (curve[-1] if curve else base) + slope
            curve.append(max(value, curve[-1] if curve else 0.0, 1e-6))
        return curve

    def _line(self) -> tuple[float, float]:
        """Weighted least squares a + b·k; with one size only, the prior's slope through it."""
        points = [(k, s.mean_s, min(s.weight, 100.0)) for k, s in self.sizes.items()]
        total = sum(w for _, _, w in points)
        mean_k = sum(w * k for k, _, w in points) / total
        mean_s = sum(w * s for _, s, w in points) / total
        spread = sum(w * (k - mean_k) ** 2 for k, _, w in points)
        # s(k) = s(1)(1 + PRIOR (k - 1)) through the mean point
        prior = PRIOR_MARGINAL * mean_s / (1 + PRIOR_MARGINAL * (mean_k - 1))
        # The prior weighs as much as a handful of executions spread over two neighbouring sizes.
        pull = _SHRINK / 4
        slope = sum(w * (k - mean_k) * (s - mean_s) for k, s, w in points) + pull * prior
        slope = min(max(0.0, slope / (spread + pull)), mean_s / mean_k)
        return max(0.0, mean_s - slope * mean_k), slope


def _drift(sizes: Mapping[int, _Size], seen: Mapping[int, BatchStat]) -> float:
    """By how much everything became slower or faster: a busy neighbour, a clock, a longer input
    slow down the batches that are not seen just now, too."""
    count = expected_s = took_s = 0.0
    for k, stat in seen.items():
        known = sizes.get(k)
        if known is not None and known.weight >= _KNOWN and stat.count > 0 and stat.compute_s > 0:
            count += stat.count
            expected_s += stat.count * known.mean_s
            took_s += min(stat.compute_s, _OUTLIER * stat.count * known.mean_s)
    if expected_s <= 0:
        return 1.0
    off = min(_DRIFT_MOST, max(-_DRIFT_MOST, took_s / expected_s - 1))
    return 1 + off * count / (count + _DRIFT_WEIGHT)


def _merged(old: _Size | None, stat: BatchStat) -> _Size:
    mean_s = stat.compute_s / stat.count
    if old is None:
        return _Size(min(float(stat.count), MAX_WEIGHT), mean_s)
    if old.weight >= _KNOWN:
        # One pod that lies, or one stall, moves the curve a little; a lasting change doubles its
        # way there within a few looks.
        mean_s = min(mean_s, _OUTLIER * old.mean_s)
    weight = old.weight + stat.count
    scatter, looks = old.scatter, old.looks
    if old.weight >= _KNOWN:
        # The mean of n executions scatters n times less than one of them.
        seen = stat.count * ((mean_s - old.mean_s) / old.mean_s) ** 2
        looks = min(old.looks + 1, 100.0)
        scatter += (min(seen, 1.0) - scatter) / looks
    return _Size(
        min(weight, MAX_WEIGHT),
        old.mean_s + (mean_s - old.mean_s) * stat.count / weight,
        scatter,
        looks,
    )
