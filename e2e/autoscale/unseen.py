"""Cases that nobody can have tuned on: services, cold starts and shapes of demand drawn by a seed.

Any number gives other ones. They are harder than recorded traces: half of the shapes change by
chance, by up to several times, in minutes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
import numpy.typing as npt

from conch.twin.service import ServiceModel
from conch.twin.traces import of_rates
from e2e.autoscale.cases import Case, Curve

Floats = npt.NDArray[np.float64]
Random = np.random.Generator

SERVICES: Final = 4
_REQUESTS: Final = 600_000  # of a case, about: a fast service is looked at for a shorter time
_LENGTHS_S: Final = (1200, 3600)
_LEAST: Final = 0.05  # of the mean


def unseen(seed: int) -> Iterator[Case]:
    """``SERVICES`` services, each with every shape; all else by the seed."""
    random = np.random.default_rng((seed, 5))
    for number in range(SERVICES):
        curve = _service(random, f"u{seed}.{number}")
        mean_rps = curve.load * curve.service.throughput_rps
        for name, shape in _SHAPES.items():
            found = np.maximum(_LEAST, shape(random, curve.length_s))
            trace = of_rates(name, found * (mean_rps / found.mean()))
            yield Case(trace, curve, float(round(_between(random, 8, 150))))


def _service(random: Random, name: str) -> Curve:
    batch = int(random.choice([1, 2, 4, 8, 16, 32]))
    one_s = round(_between(random, 0.01, 0.2), 4)
    more_s = round(one_s * random.uniform(0.05, 0.5), 5)
    service = ServiceModel.linear(one_s - more_s, more_s, batch)
    target_s = round(random.uniform(2.2, 5.0) * service.service_s[-1], 3)
    load = round(_between(random, 2, 10), 1)
    length_s = int(np.clip(_REQUESTS / (load * service.throughput_rps), *_LENGTHS_S))
    what = f"{1000 * one_s:g} ms and {1000 * more_s:g} ms each more, B {batch}, {target_s:g} s"
    return Curve(name, what, service, target_s, load, length_s)


def _between(random: Random, low: float, high: float) -> float:
    """Any order of magnitude as likely as another."""
    return math.exp(random.uniform(math.log(low), math.log(high)))


def _seconds(length_s: int) -> Floats:
    return np.arange(length_s, dtype=np.float64)


def _wander(random: Random, length_s: int, tau_s: float, sd: float) -> Floats:
    """Lognormal, returning to its mean in about ``tau_s``; ``sd`` of the logarithm."""
    keep = math.exp(-1 / tau_s)
    level, path = random.standard_normal(), np.empty(length_s)
    for i, kick in enumerate((random.standard_normal(length_s) * math.sqrt(1 - keep**2)).tolist()):
        level = keep * level + kick
        path[i] = level
    return np.exp(sd * path)


def _saw(random: Random, length_s: int) -> Floats:
    every_s = random.uniform(0.15, 0.4) * length_s
    return 1 + random.uniform(1, 3) * (_seconds(length_s) % every_s) / every_s


def _waves_that_ebb(random: Random, length_s: int) -> Floats:
    every_s = random.uniform(0.2, 0.4) * length_s
    since_s = _seconds(length_s) % every_s
    return 1 + random.uniform(1, 3) * np.exp(-since_s / random.uniform(60, 300))


def _two_levels(random: Random, length_s: int) -> Floats:
    """Each for a time that is known to nobody."""
    shape, ratio = np.ones(length_s), random.uniform(1.5, 3)
    at_s, high = 0, False
    while at_s < length_s:
        end_s = at_s + 20 + int(random.exponential(240))
        shape[at_s:end_s] = ratio if high else 1.0
        at_s, high = end_s, not high
    return shape


def _restless(random: Random, length_s: int) -> Floats:
    return _wander(random, length_s, _between(random, 15, 120), random.uniform(0.1, 0.3))


def _wandering(random: Random, length_s: int) -> Floats:
    return _wander(random, length_s, _between(random, 300, 1500), random.uniform(0.2, 0.5))


def _stairs(random: Random, length_s: int) -> Floats:
    levels = random.uniform(0.5, 1.8, int(random.integers(3, 7)))
    return np.repeat(levels, math.ceil(length_s / levels.size))[:length_s]


def _office(random: Random, length_s: int) -> Floats:
    t = _seconds(length_s) / length_s
    day = random.uniform(0.2, 0.5) + np.sin(math.pi * t)
    noon = random.uniform(0.2, 0.5) * np.exp(-(((t - 0.5) / 0.05) ** 2))
    return (day - noon) * _wander(random, length_s, 60, 0.06)


def _bursts(random: Random, length_s: int) -> Floats:
    """Half a minute to a minute and a half long; most are small, few are not."""
    shape = np.full(length_s, 0.8)
    for _ in range(length_s // 300):
        at_s = int(random.integers(length_s))
        end_s = at_s + int(random.uniform(30, 90))
        shape[at_s:end_s] += min(3.0, 0.4 * (1 + random.pareto(2)))
    return shape


def _growth(random: Random, length_s: int) -> Floats:
    grown = 1 + random.uniform(1, 3) * _seconds(length_s) / length_s
    return grown * _wander(random, length_s, 60, random.uniform(0.03, 0.12))


def _timetable(random: Random, length_s: int) -> Floats:
    every_s = random.uniform(300, 700)
    on = _seconds(length_s) % every_s < random.uniform(0.1, 0.4) * every_s
    return np.where(on, 1 + random.uniform(0.5, 1.5), 1.0)


def _fading(random: Random, length_s: int) -> Floats:
    fast = random.uniform(0.15, 0.5) * length_s
    return 1 + random.uniform(1, 4) * np.exp(-_seconds(length_s) / fast)


def _strolling(random: Random, length_s: int) -> Floats:
    steps = random.standard_normal(length_s) * random.uniform(0.006, 0.015)
    return np.clip(np.exp(np.cumsum(steps)), 0.3, 3.0)


def _calm_and_a_climb(random: Random, length_s: int) -> Floats:
    begun = random.uniform(0.4, 0.7)
    t = (_seconds(length_s) / length_s - begun) / random.uniform(0.1, 0.25)
    return 1 + random.uniform(1, 4) * np.clip(t, 0, 1)


_SHAPES: Final[dict[str, Callable[[Random, int], Floats]]] = {
    "saw": _saw,
    "ebb": _waves_that_ebb,
    "levels": _two_levels,
    "restless": _restless,
    "wandering": _wandering,
    "stairs": _stairs,
    "office": _office,
    "bursts": _bursts,
    "growth": _growth,
    "timetable": _timetable,
    "fading": _fading,
    "strolling": _strolling,
    "climb": _calm_and_a_climb,
}
