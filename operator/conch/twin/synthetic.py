"""Made-up demand: the shapes that tell scalers apart, by mean rate, length and seed.

The mean over the whole length is ``mean_rps`` exactly, so that shapes can be compared; bins of one
second. The seed moves what is random (when a crowd comes, the noise), never the mean.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from conch.errors import UsageError
from conch.twin.traces import Trace, of_rates

Floats = npt.NDArray[np.float64]


def step(mean_rps: float, length_s: int = 3600, seed: int = 0, ratio: float = 2.0) -> Trace:
    """Low and high halves in turn, each jump ``ratio``-fold: up at a quarter, down at 3/4."""
    t = _seconds(length_s)
    high = (t >= length_s / 4) & (t < 3 * length_s / 4)
    return _trace("step", np.where(high, ratio, 1.0), mean_rps)


def ramp(mean_rps: float, length_s: int = 3600, seed: int = 0, ratio: float = 4.0) -> Trace:
    """A plateau, a straight climb to ``ratio`` times, a plateau, and half as fast a way down."""
    t = _seconds(length_s) / length_s
    shape = np.interp(t, [0.2, 0.4, 0.5, 0.9], [1, ratio, ratio, 1])
    return _trace("ramp", shape, mean_rps)


def flash_crowd(
    mean_rps: float,
    length_s: int = 3600,
    seed: int = 0,
    ratio: float = 5.0,
    rise_s: float = 15.0,
    decay_s: float = 300.0,
) -> Trace:
    """Out of nothing, at a moment the seed chooses, ``ratio`` times the rate; it decays slowly."""
    start_s = length_s * np.random.default_rng((seed, 1)).uniform(0.4, 0.6)
    since_s = _seconds(length_s) - start_s
    rising = np.clip(since_s / rise_s, 0, 1)
    decaying = np.exp(-np.clip(since_s - rise_s, 0, None) / decay_s)
    return _trace("flash", 1 + (ratio - 1) * rising * decaying, mean_rps)


def diurnal(
    mean_rps: float, length_s: int = 3600, seed: int = 0, depth: float = 0.5, days: float = 1.0
) -> Trace:
    """``days`` days pressed into the length: a sine, a weaker second harmonic, light noise."""
    t = _seconds(length_s) / length_s * days * 2 * math.pi
    shape = 1 - depth * np.cos(t) + 0.25 * depth * np.sin(2 * t)
    return _trace("diurnal", shape * _wander(length_s, seed, 0.04, 30.0), mean_rps)


def on_off(
    mean_rps: float,
    length_s: int = 3600,
    seed: int = 0,
    on_s: float = 120.0,
    off_s: float = 180.0,
    low: float = 0.1,
) -> Trace:
    """Full for ``on_s``, a share ``low`` of it for ``off_s``, again and again."""
    phase_s = (_seconds(length_s) + off_s / 2) % (on_s + off_s)
    return _trace("onoff", np.where(phase_s >= off_s, 1.0, low), mean_rps)


def noise(
    mean_rps: float, length_s: int = 3600, seed: int = 0, sd: float = 0.25, tau_s: float = 60.0
) -> Trace:
    """Mean-reverting noise (Ornstein-Uhlenbeck): relative deviation ``sd``, memory ``tau_s``."""
    return _trace("noise", _wander(length_s, seed, sd, tau_s), mean_rps)


def spikes(
    mean_rps: float,
    length_s: int = 3600,
    seed: int = 0,
    every_s: float = 600.0,
    ratio: float = 3.0,
    width_s: float = 20.0,
) -> Trace:
    """Short peaks of ``ratio`` times the rate at random moments, ``every_s`` apart on average."""
    random = np.random.default_rng((seed, 2))
    starts_s = np.cumsum(random.exponential(every_s, 2 + 3 * math.ceil(length_s / every_s)))
    t = _seconds(length_s)
    shape = np.ones(t.size)
    for start_s in starts_s[starts_s < length_s]:
        shape[(t >= start_s) & (t < start_s + width_s)] = ratio
    return _trace("spikes", shape, mean_rps)


SHAPES: Final[Mapping[str, Callable[[float, int, int], Trace]]] = {
    "step": step,
    "ramp": ramp,
    "flash": flash_crowd,
    "diurnal": diurnal,
    "onoff": on_off,
    "noise": noise,
    "spikes": spikes,
}


def _seconds(length_s: int) -> Floats:
    if length_s < 1:
        raise UsageError(f"a trace lasts at least one second, not {length_s}")
    return np.arange(length_s, dtype=np.float64) + 0.5


def _trace(name: str, shape: Floats, mean_rps: float) -> Trace:
    if not (math.isfinite(mean_rps) and mean_rps > 0):
        raise UsageError(f"a mean rate is more than 0 requests/s, not {mean_rps}")
    return of_rates(name, shape * (mean_rps / shape.mean()))


def _wander(length_s: int, seed: int, sd: float, tau_s: float) -> Floats:
    """1 + an Ornstein-Uhlenbeck path, one value a second, cut at a twentieth of the mean."""
    random = np.random.default_rng((seed, 3))
    keep = math.exp(-1 / tau_s)
    kicks = random.standard_normal(length_s) * sd * math.sqrt(1 - keep * keep)
    kicks[0] = random.standard_normal() * sd
    path = np.empty(length_s)
    level = 0.0
    for i, kick in enumerate(kicks.tolist()):
        level = keep * level + kick
        path[i] = level
    return np.clip(path + 1.0, 0.05, None)
