"""What arrives: rates over time with a chosen burstiness, or true arrival times.

Decides which files are traces; refuses the others with one sentence that names line and fix.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from conch.errors import UsageError

Floats = npt.NDArray[np.float64]

MOST_REQUESTS: Final = 50_000_000


@dataclass(frozen=True, slots=True, eq=False)
class Trace:
    """Requests over ``length_s`` seconds.

    Either ``rates`` (requests/s, one per bin of ``bin_s``), from which every seed draws other
    arrivals, or ``times_s``, sorted, which all seeds share. ``dispersion`` is the variance of the
    counts per ``burst_s`` over their mean (1: Poisson); only for rates.
    """

    name: str
    bin_s: float
    rates: Floats
    times_s: Floats | None = None
    dispersion: float = 1.0
    burst_s: float = 0.1

    def __post_init__(self) -> None:
        """Raises UsageError for what can't be replayed."""
        if self.rates.size == 0:
            raise UsageError(f"trace {self.name} is empty")
        if not np.isfinite(self.rates).all() or (self.rates < 0).any():
            raise UsageError(f"trace {self.name} has rates that are negative or not a number")
        if not (self.bin_s > 0 and self.burst_s > 0 and self.dispersion >= 1):
            raise UsageError(f"trace {self.name}: bins and bursts last > 0 s, dispersion is >= 1")
        if self.requests > MOST_REQUESTS:
            raise UsageError(
                f"trace {self.name} has {self.requests:.3g} requests, more than"
                f" {MOST_REQUESTS:,}: cut or scale it down"
            )

    @property
    def length_s(self) -> float:
        """How long it lasts."""
        return float(self.rates.size * self.bin_s)

    @property
    def requests(self) -> float:
        """Requests expected."""
        if self.times_s is not None:
            return float(self.times_s.size)
        return float(self.rates.sum() * self.bin_s)

    @property
    def mean_rps(self) -> float:
        """Mean rate."""
        return self.requests / self.length_s

    def scaled(self, factor: float) -> Trace:
        """``factor`` times the rates; true arrival times become rates per second first."""
        if not (math.isfinite(factor) and factor > 0):
            raise UsageError(f"a trace is scaled by a positive factor, not {factor}")
        return replace(self, rates=self.rates * factor, times_s=None)

    def arrivals(self, seed: int) -> Floats:
        """Sorted arrival times in seconds."""
        if self.times_s is not None:
            return self.times_s
        random = np.random.default_rng((seed, 0x7ACE))
        if self.dispersion == 1:
            counts = random.poisson(self.rates * self.bin_s)
            edges_s, width_s = np.arange(self.rates.size) * self.bin_s, self.bin_s
        else:
            cells = max(1, round(self.bin_s / self.burst_s))
            width_s = self.bin_s / cells
            means = np.repeat(self.rates * width_s, cells)
            shape = np.maximum(means, 1e-12) / (self.dispersion - 1)
            counts = random.poisson(random.gamma(shape, self.dispersion - 1))
            edges_s = np.arange(means.size) * width_s
        times = np.repeat(edges_s, counts) + random.random(int(counts.sum())) * width_s
        times.sort()
        return np.minimum(times, np.nextafter(self.length_s, 0))


def of_rates(name: str, rates: npt.ArrayLike, bin_s: float = 1.0) -> Trace:
    """A trace of rates in requests/s, one per ``bin_s``."""
    return Trace(name, bin_s, np.asarray(rates, dtype=np.float64))


def of_times(name: str, times_s: npt.ArrayLike, length_s: float | None = None) -> Trace:
    """A trace of true arrival times, sorted, from 0; ends ``length_s``, or just after the last."""
    times = np.asarray(times_s, dtype=np.float64)
    if times.size == 0:
        raise UsageError(f"trace {name} is empty")
    if not np.isfinite(times).all() or times[0] < 0 or (np.diff(times) < 0).any():
        raise UsageError(f"trace {name}: arrival times must be finite, sorted and not negative")
    end_s = times[-1] + 1e-9 if length_s is None else length_s
    if end_s <= times[-1]:
        raise UsageError(f"trace {name} ends at {end_s:g} s, before its last arrival")
    rates = np.bincount(times.astype(np.int64), minlength=max(1, math.ceil(end_s)))
    return Trace(name, 1.0, rates.astype(np.float64), times)
