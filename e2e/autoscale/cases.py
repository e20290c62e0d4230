"""What is measured: traces × cold starts × service curves, each as a scenario and a scaled trace.

Every trace is brought to the load that a few replicas carry, so that integer steps don't decide
everything and an hour takes about a second. Nothing here depends on a scaler.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from conch.errors import UsageError
from conch.twin import synthetic
from conch.twin.oracle import before, per_second
from conch.twin.rules.setting import ceil
from conch.twin.service import ServiceModel
from conch.twin.table import Table
from conch.twin.traces import Trace, load, of_times
from conch.twin.world import Scenario

COLD_STARTS_S: Final = (10.0, 40.0, 120.0)
SUFFIXES: Final = (".txt", ".csv", ".gz")
_CAP: Final = 1.2  # maxReplicas over the static peak: the same for everybody
_PEAK_WINDOW_S: Final = 15
_FIRST_S: Final = 60
_JITTER_S: Final = 30.0
RETRY_SHARE: Final = 0.5  # of refused clients come back once, a second later


@dataclass(frozen=True, slots=True)
class Curve:
    """One service, its objective, and how much of a trace it gets: ``load`` replicas' worth of
    throughput on average, for ``length_s`` seconds (a fast service would take hours to simulate).
    """

    name: str
    what: str
    service: ServiceModel
    target_s: float
    load: float
    length_s: int


CURVES: Final = (
    Curve("a", "40 + 20 b ms, B 8, 500 ms", ServiceModel.linear(0.040, 0.020, 8), 0.5, 3.0, 3600),
    Curve("b", "10 + 2 b ms, B 16, 120 ms", ServiceModel.linear(0.010, 0.002, 16), 0.12, 2.2, 1200),
    Curve("c", "250 ms, B 1, 1 s", ServiceModel((0.250,)), 1.0, 6.0, 3600),
)

_SHAPES: Final[dict[str, Callable[[float, int], Trace]]] = {
    "diurnal": lambda rps, length_s: synthetic.diurnal(rps, length_s),
    "ramp": lambda rps, length_s: synthetic.ramp(rps, length_s),
    "noise": lambda rps, length_s: synthetic.noise(rps, length_s),
    "step": lambda rps, length_s: synthetic.step(rps, length_s),
    "onoff": lambda rps, length_s: synthetic.on_off(rps, length_s),
    "spikes": lambda rps, length_s: synthetic.spikes(rps, length_s),
    "flash": lambda rps, length_s: synthetic.flash_crowd(rps, length_s),
    "flash-mild": lambda rps, length_s: synthetic.flash_crowd(rps, length_s, seed=1, ratio=2.5),
}
FLASHES: Final = ("flash", "flash-mild")


@dataclass(frozen=True, slots=True)
class Case:
    """One trace, curve and cold start. ``trace`` is already at the curve's load."""

    trace: Trace
    curve: Curve
    cold_start_s: float

    @property
    def name(self) -> str:
        """Unique among the cases, such as ``flash/a/40``."""
        return f"{self.trace.name}/{self.curve.name}/{self.cold_start_s:g}"

    def scenario(self, most: int, seed: int = 0) -> Scenario:
        """With room for ``most`` replicas; ``limits`` finds out how many those are."""
        return Scenario(
            service=self.curve.service,
            cold_start_s=self.cold_start_s,
            target_s=self.curve.target_s,
            max_replicas=most,
            retry_share=RETRY_SHARE,
            seed=seed,
        )

    def limited(self, table: Table, seed: int = 0) -> Scenario:
        """The scenario everybody gets: 1.2 × the static peak, ready for the first minute."""
        counts = per_second(self.trace.arrivals(0), self.trace.length_s)
        peak = int(table.need(before(counts, _PEAK_WINDOW_S)).max())
        first = int(table.need(counts[:_FIRST_S].mean()))
        most = ceil(_CAP * peak)
        return replace(self.scenario(most, seed), initial_replicas=min(first, most))


def traces(folder: Path | None) -> list[Trace]:
    """The files of ``folder``, by name."""
    if folder is None:
        return []
    if not folder.is_dir():
        raise UsageError(f"{folder} is no folder of traces: name one with --traces")
    files = sorted(f for f in folder.iterdir() if f.name.lower() != "readme.md")
    return [load(f) for f in files if f.suffix in SUFFIXES]


def cases(folder: Path | None) -> Iterator[Case]:
    """All of them, in the order in which they are worked on."""
    recorded = traces(folder)
    for cold_start_s in (40.0, 10.0, 120.0):
        for curve in CURVES:
            mean_rps = curve.load * curve.service.throughput_rps
            for trace in recorded:
                yield Case(_at_load(_cut(trace, curve.length_s), mean_rps), curve, cold_start_s)
            for name, shape in _SHAPES.items():
                made = replace(shape(mean_rps, curve.length_s), name=name)
                yield Case(made, curve, cold_start_s)


def _cut(trace: Trace, length_s: int) -> Trace:
    """The middle ``length_s`` seconds; all of it when it is not much longer."""
    if trace.length_s <= 1.2 * length_s:
        return trace
    start_s = (trace.length_s - length_s) / 2
    if trace.times_s is not None:
        inside = (trace.times_s >= start_s) & (trace.times_s < start_s + length_s)
        return of_times(trace.name, trace.times_s[inside] - start_s, float(length_s))
    first = round(start_s / trace.bin_s)
    return replace(trace, rates=trace.rates[first : first + round(length_s / trace.bin_s)])


def _at_load(trace: Trace, mean_rps: float) -> Trace:
    if trace.times_s is None:
        return trace.scaled(mean_rps / trace.mean_rps)
    # True arrivals keep their bursts, copied over each other a little apart.
    return trace.jittered(max(1, round(mean_rps / trace.mean_rps)), _JITTER_S)


def fingerprint(case: Case) -> dict[str, object]:
    """Everything that a result of the case depends on, besides code and seed."""
    rates = np.ascontiguousarray(case.trace.rates)
    times = case.trace.times_s
    return {
        "case": case.name,
        "rates": _digest(rates.tobytes()),
        "times": "" if times is None else _digest(np.ascontiguousarray(times).tobytes()),
        "copies": case.trace.copies,
        "scenario": repr(case.scenario(1)),
    }


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]
