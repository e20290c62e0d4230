"""Faro's allocation for one job, and the reactive rule that it runs beside it.

Source: Faro (EuroSys '25), beomyeol/faro src/solver.py: latency at a percentile as s + W/2 with the
M/M/c waiting time's percentile W (an M/D/c queue waits about half as long), relaxed above a
utilisation of 0.95; src/policy.py: solve every 300 s on a probabilistic forecast, one more replica
every 10 s after 30 s of misses. Its forecaster (N-HiTS) is replaced by a quantile of the last
420 s. A batching server counts as one with s = s(B)/B of work per request that answers in s(B).
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Final

from conch.observe.types import Decision
from conch.twin.controller import Sight
from conch.twin.rules.forecast import quantile
from conch.twin.rules.series import Series, arrived
from conch.twin.rules.setting import Rule, Setting, decision

SOLVE_S: Final = 300.0
WINDOW_S: Final = 420.0
REACT_S: Final = 10.0
REACT_DELAY_S: Final = 30.0
RHO_MAX: Final = 0.95
_RATE_S: Final = 15.0
QUANTILE: Final = 0.9


def erlang_c(servers: int, offered: float) -> float:
    """Probability that a request has to wait in M/M/c; 1 at or above saturation."""
    if offered >= servers:
        return 1.0
    blocked = 1.0  # Erlang B by its recursion
    for count in range(1, servers + 1):
        blocked = offered * blocked / (count + offered * blocked)
    return blocked / (1 - offered / servers * (1 - blocked))


def wait_s(servers: int, rate: float, work_s: float, percentile: float) -> float:
    """The percentile of the M/M/c waiting time: (E[W]/P) ln(100 P/(100-p)), at least 0."""
    offered = rate * work_s
    waits = erlang_c(servers, offered)
    if offered >= servers:
        return math.inf
    mean_s = waits * work_s / (servers - offered)
    return max(0.0, mean_s / waits * math.log(100 * waits / (100 - percentile))) if waits else 0.0


def latency_s(
    servers: int, rate: float, work_s: float, answer_s: float, percentile: float
) -> float:
    """M/D/c by half of M/M/c; beyond RHO_MAX the latency there, times the excess."""
    rho = rate * work_s / servers
    calm = min(rate, RHO_MAX * servers / work_s)
    return max(1.0, rho / RHO_MAX) * (answer_s + wait_s(servers, calm, work_s, percentile) / 2)


def solve(
    rate: float, work_s: float, answer_s: float, percentile: float, target_s: float, most: int
) -> int:
    """The fewest replicas whose utility min(1, target/latency) is full, or as many as there are."""
    for servers in range(1, most + 1):
        if latency_s(servers, rate, work_s, answer_s, percentile) <= target_s:
            return servers
    return most


@dataclass(slots=True)
class Faro:
    """Faro for one job; ``quantile`` is that of the forecast it plans with."""

    name: str
    setting: Setting
    forecast_quantile: float
    interval_s: float = REACT_S
    _series: Series = field(default_factory=lambda: Series(_RATE_S + 30.0))
    _rates: deque[tuple[float, float]] = field(default_factory=deque)
    _solved_s: float | None = None
    _missing_since_s: float | None = None

    def decide(self, sight: Sight) -> Decision:
        """Every 10 s: react; every 300 s: solve."""
        seen, setting = sight.observation, self.setting
        self._series.add(seen.samples)
        rate = self._series.rate(arrived, _RATE_S)
        if rate is not None:
            self._rates.append((seen.now_s, rate))
        while self._rates and self._rates[0][0] <= seen.now_s - WINDOW_S:
            self._rates.popleft()
        due = self._solved_s is None or seen.now_s - self._solved_s >= SOLVE_S - 1e-6
        if due and len(self._rates) >= 3:
            self._solved_s = seen.now_s
            forecast = quantile([r for _, r in self._rates], self.forecast_quantile)
            wanted = solve(
                forecast,
                1 / setting.throughput_rps,
                setting.service_s[-1],
                setting.percentile,
                setting.target_s,
                setting.max_replicas,
            )
            return decision(seen.replicas, wanted, setting, f"forecast {forecast:.1f} rps")
        tail_s = quantile(sight.latencies_s, setting.percentile / 100)
        if tail_s <= setting.target_s:
            self._missing_since_s = None
        elif self._missing_since_s is None:
            self._missing_since_s = seen.now_s
        elif seen.now_s - self._missing_since_s >= REACT_DELAY_S:
            return decision(seen.replicas, seen.replicas + 1, setting, f"late: {tail_s:.3f} s")
        return decision(seen.replicas, seen.replicas, setting, "between solutions")


def rule(setting: Setting, forecast_quantile: float) -> Faro:
    """Faro planning for a quantile of the last 420 s."""
    return Faro(f"faro q{forecast_quantile:g}", setting, forecast_quantile)


RULE: Final = Rule(
    name="faro",
    what="Faro-like: M/D/c model on a forecast every 300 s, plus one when late",
    untouched=lambda setting: rule(setting, QUANTILE),
    row=lambda setting: (0.5, 0.7, 0.8, 0.9, 0.95, 1.0),
    tuned=rule,
)
