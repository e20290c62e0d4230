"""The drawing of one run, as SVG: demand and capacity, replicas, latency, late
requests, cost.

Five panels over one time axis; all runs of a page share the scales, so that they can be compared
by eye. Colours and fonts are the page's: here are only shapes with class names.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from conch.twin.compare import Comparison, Outcome
from conch.twin.result import Result

Floats = npt.NDArray[np.float64]

_WIDTH: Final = 400
_LEFT: Final = 52
_RIGHT: Final = 8
_POINTS: Final = 240  # along the time axis; more than a phone's screen shows
_HEAD: Final = 24  # above each panel, for its name
_PANELS: Final = (100, 72, 84, 66, 50)
_LEAST_LATE: Final = 1e-3  # share at the bottom of that panel
_GAP: Final = 10
_AXIS: Final = 22
_TICKS_S: Final = (
    1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400,
)  # fmt: skip
_SHARES: Final = ((1e-3, "0.1 %"), (0.01, "1 %"), (0.1, "10 %"), (1.0, "all"))


@dataclass(frozen=True, slots=True)
class Scale:
    """The top of each panel, the same for all runs; latencies also have a bottom."""

    rps: float
    replicas: float
    low_s: float
    high_s: float
    hours: float
    bin_s: int

    @staticmethod
    def of(results: Sequence[Result], found: Comparison) -> Scale:
        """Room for everything in all of them."""
        bin_s = max(1, math.ceil(found.trace.length_s / _POINTS))
        lines = [result.timeline for result in results]
        replicas = max(int(max(line.wanted.max(), line.ready.max())) for line in lines)
        demand = max(float(_means(line.arrivals, bin_s).max()) for line in lines)
        capacity = found.capacity_rps[min(replicas, len(found.capacity_rps)) - 1]
        target_s = found.scenario.target_s
        seen = np.concatenate([_worst(line.p99_s, bin_s) for line in lines])
        seen = seen[np.isfinite(seen) & (seen > 0)]
        slowest = float(seen.max()) if seen.size else target_s
        fastest = float(seen.min()) if seen.size else target_s
        return Scale(
            # Far more than twice what arrives need not be seen to be understood.
            rps=1.05 * max(demand, min(capacity, 2 * max(demand, found.one_replica_rps))),
            replicas=max(1, replicas) * 1.1,
            low_s=min(fastest, target_s) / 1.3,
            # One run that drowns must not press all others flat.
            high_s=1.3 * min(max(slowest, target_s), 30 * target_s),
            hours=max(1.05 * max(result.replica_hours for result in results), 1e-9),
            bin_s=bin_s,
        )


def drawing(outcome: Outcome, found: Comparison, scale: Scale) -> str:
    """The whole SVG element."""
    line = outcome.result.timeline
    bins = math.ceil(line.arrivals.size / scale.bin_s)
    plot = _Plot(bins, line.arrivals.size / scale.bin_s)
    rates = np.array([0.0, *found.capacity_rps])
    capacity = np.interp(_means(line.ready, scale.bin_s), np.arange(rates.size), rates)
    arrived, late = _means(line.arrivals, scale.bin_s), _means(line.late, scale.bin_s)
    share = np.divide(late, arrived, out=np.zeros_like(late), where=arrived > 0)
    allowed = 1 - found.scenario.percentile / 100
    target_s = found.scenario.target_s
    parts = [
        plot.panel("requests/s", _linear(scale.rps), _steps(scale.rps)),
        plot.area("demand", arrived),
        plot.steps("capacity", np.minimum(capacity, scale.rps)),
        plot.panel("replicas", _linear(scale.replicas), _steps(scale.replicas, whole=True)),
        plot.steps("wanted", _most(line.wanted, scale.bin_s)),
        plot.steps("capacity", _means(line.ready, scale.bin_s)),
        plot.panel(
            "p99 latency",
            _logarithmic(scale.low_s, scale.high_s),
            _decades(scale.low_s, scale.high_s),
        ),
        plot.level("target", target_s),
        plot.steps("p99", np.clip(_worst(line.p99_s, scale.bin_s), scale.low_s, scale.high_s)),
        plot.panel("late requests, share", _logarithmic(_LEAST_LATE, 1.0), _SHARES),
        plot.area("late", share),
        plot.level("target", max(allowed, _LEAST_LATE)),
        plot.panel("replica-hours so far", _linear(scale.hours), _steps(scale.hours)),
        plot.area("cost", _hours(outcome.result, scale.bin_s)),
        _time_axis(plot, outcome.result.length_s),
    ]
    result = outcome.result
    told = (
        f"{outcome.label}: {100 * result.late_share:.2g} % late, at most {result.peak_replicas} "
        f"replicas over {result.length_s:.0f} seconds"
    )
    return (
        f'<svg viewBox="0 0 {_WIDTH} {plot.height}" role=img '
        f'aria-label="{html.escape(told, quote=True)}">{"".join(parts)}</svg>'
    )


# --- series ---------------------------------------------------------------------------------------


def _means(values: npt.NDArray[np.int64], bin_s: int) -> Floats:
    """Means of each bin; the last may be shorter."""
    edges = np.arange(0, values.size, bin_s)
    lengths = np.diff(np.append(edges, values.size))
    return np.asarray(np.add.reduceat(values, edges) / lengths, dtype=np.float64)


def _most(values: npt.NDArray[np.int64], bin_s: int) -> Floats:
    return np.maximum.reduceat(values, np.arange(0, values.size, bin_s)).astype(np.float64)


def _hours(result: Result, bin_s: int) -> Floats:
    """What has been paid for by the end of each bin; drains are spread over everything."""
    grown = np.cumsum(result.timeline.wanted)
    so_far = grown[np.minimum(np.arange(bin_s, grown.size + bin_s, bin_s), grown.size) - 1]
    return np.asarray(so_far * (result.replica_hours / max(float(grown[-1]), 1e-9)))


def _worst(values: Floats, bin_s: int) -> Floats:
    """The highest of each bin; NaN where nothing was answered."""
    filled = np.where(np.isfinite(values), values, -1.0)
    found = np.maximum.reduceat(filled, np.arange(0, values.size, bin_s))
    return np.where(found < 0, np.nan, found)


# --- drawing --------------------------------------------------------------------------------------

_Height = Callable[[float], float]  # of a value, 0..1


class _Plot:
    """Panels from the top down; x in bins, y in the current panel's values."""

    def __init__(self, bins: int, width: float) -> None:
        self._bins = bins
        self._width = width  # in bins, the last perhaps a part
        self._number = 0
        self._bottom = 0.0
        self._panel_height = 0.0
        self._share: _Height = lambda value: value
        self.height = sum(_PANELS) + len(_PANELS) * (_HEAD + _GAP) + _AXIS

    def x(self, at: float) -> float:
        """Of a place in bins."""
        return _LEFT + (_WIDTH - _LEFT - _RIGHT) * min(at, self._width) / self._width

    def y(self, value: float) -> float:
        """Of a value in the current panel."""
        return self._bottom - self._panel_height * min(max(self._share(value), 0.0), 1.0)

    def panel(self, name: str, share: _Height, ticks: Sequence[tuple[float, str]]) -> str:
        """The next panel, with its grid."""
        self._panel_height = _PANELS[self._number]
        self._bottom += _HEAD + self._panel_height + (_GAP if self._number else 0)
        self._number += 1
        self._share = share
        parts = [f"<text class=h x=0 y={self._bottom - self._panel_height - 9:.0f}>{name}</text>"]
        for value, label in ticks:
            y = self.y(value)
            parts.append(
                f'<path class=g d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}"/>'
                f"<text class=e x={_LEFT - 5} y={y + 4:.1f}>{label}</text>"
            )
        return "".join(parts)

    def area(self, kind: str, values: Floats) -> str:
        """Filled steps from 0."""
        if not values.any():
            return ""
        zero = self.y(0.0)
        path = [f"M{_LEFT} {zero:.1f}"]
        path += self._moves(values)
        return f'<path class={kind} d="{"".join(path)}V{zero:.1f}Z"/>'

    def steps(self, kind: str, values: Floats) -> str:
        """A line of steps; NaN is a hole in it."""
        parts: list[str] = []
        start: int | None = None
        for i in range(values.size + 1):
            known = i < values.size and math.isfinite(values[i])
            if known and start is None:
                start = i
            elif not known and start is not None:
                parts.append(f"M{self.x(start):.1f} {self.y(values[start]):.1f}")
                parts += self._moves(values[start:i], start)
                start = None
        return f'<path class={kind} d="{"".join(parts)}"/>' if parts else ""

    def level(self, kind: str, value: float) -> str:
        """A line across."""
        return f'<path class={kind} d="M{_LEFT} {self.y(value):.1f}H{_WIDTH - _RIGHT}"/>'

    def _moves(self, values: Floats, first: int = 0) -> list[str]:
        moves: list[str] = []
        height = ""
        for i, value in enumerate(values.tolist(), first):
            y = f"{self.y(value):.1f}"
            if y != height:
                moves.append(f"H{self.x(i):.1f}V{y}")
                height = y
        moves.append(f"H{self.x(first + values.size):.1f}")
        return moves

    @property
    def bottom(self) -> float:
        """The y of the lowest panel's zero."""
        return self._bottom


def _linear(top: float) -> _Height:
    return lambda value: value / top


def _logarithmic(low: float, high: float) -> _Height:
    return lambda value: math.log(max(value, low) / low) / math.log(high / low)


def _steps(top: float, whole: bool = False) -> list[tuple[float, str]]:
    """Zero and two to four round numbers up to ``top``."""
    unit = 10.0 ** math.floor(math.log10(top))
    step = next(s for s in (0.2 * unit, 0.5 * unit, unit, 2 * unit, 5 * unit) if top / s < 4)
    if whole:
        step = max(1.0, math.ceil(step))
    return [(k * step, f"{k * step:,.6g}") for k in range(int(top / step) + 1)]


def _decades(low_s: float, high_s: float) -> list[tuple[float, str]]:
    """1, 3, 10, 30 … as far as they lie between; 1, 2, 5 where that would be fewer than two."""
    for digits in ((1.0,), (1.0, 3.0), (1.0, 2.0, 5.0), (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0)):
        found = [
            digit * 10.0**power
            for power in range(math.floor(math.log10(low_s)), math.ceil(math.log10(high_s)) + 1)
            for digit in digits
            if low_s <= digit * 10.0**power <= high_s
        ]
        if len(found) >= 2:
            break
    return [(t, f"{t:g} s" if t >= 1 else f"{1000 * t:g} ms") for t in found]


def _time_axis(plot: _Plot, length_s: float) -> str:
    step = next((s for s in _TICKS_S if length_s / s <= 5), 86400 * math.ceil(length_s / 432000))
    parts = []
    for at_s in range(0, int(length_s) + 1, step):
        x = _LEFT + (_WIDTH - _LEFT - _RIGHT) * at_s / length_s
        edge = "e" if x > _WIDTH - 24 else "m"
        parts.append(
            f'<path class=g d="M{x:.1f} {plot.bottom:.0f}v4"/>'
            f"<text class={edge} x={x:.1f} y={plot.bottom + 16:.0f}>{_clock(at_s, step)}</text>"
        )
    return "".join(parts)


def _clock(at_s: int, step: int) -> str:
    if step < 60:
        return f"{at_s} s"
    if step < 3600:
        return f"{at_s // 60} min"
    return f"{at_s // 3600} h" if step < 86400 else f"{at_s // 86400} d"
