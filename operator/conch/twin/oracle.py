"""What could have been done: a clairvoyant scaler, and one that knows the present but no future.

*Clairvoyant*: it knows every arrival. With need(t) the fewest replicas whose capacity X(c) is at
least ``kappa`` times the rate around t (counts per second, averaged over a window), each replica is
asked for 1.25 cold starts before it is needed, and kept through a gap that is shorter than that.
That is the running maximum of need over the next 1.25 cold starts. Window and ``kappa`` are chosen
for the lowest cost at which, in the same world with the same error budget, at most the allowed
share is late. A heuristic with hindsight: a good scaler's mark, not a proven lower bound. It
refuses nothing, but it may have Triton form batches only when an instance asks, as every scaler
with late-reject does (``NEVER_S``).

*Causal*: it is told the true rate of the last seconds at once, without lag, and nothing of the
future; its headroom and hold are chosen with hindsight, and it may refuse late requests. What it
can't do within a cost, no scaler without foresight can: that defines a surge, and the floor in it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from typing import Final

import numpy as np

from conch.api.conditions import Reason
from conch.observe.types import Decision
from conch.twin.controller import Sight
from conch.twin.result import Result
from conch.twin.table import Floats, Ints, Table
from conch.twin.traces import Trace
from conch.twin.world import Scenario, World

WINDOWS_S: Final = (5, 20, 60, 120)
AHEAD: Final = 1.25  # cold starts
GRID_S: Final = 5.0  # it acts this often; other scalers look as often or less
CAUSAL_WINDOWS_S: Final = (5, 15)
HOLDS_S: Final = (60, 15, 300)
NEVER_S: Final = 1e6  # a queue policy that refuses nothing, but forms batches when asked
_LOWEST, _HIGHEST = 0.5, 4.0  # kappa and headroom
_STEP: Final = 0.01  # of kappa


def per_second(arrivals_s: Floats, length_s: float) -> Floats:
    """Arrivals in each second."""
    seconds = max(1, math.ceil(length_s))
    return np.bincount(arrivals_s.astype(np.int64), minlength=seconds)[:seconds].astype(np.float64)


def around(counts: Floats, window_s: int) -> Floats:
    """Mean rate of the window around each second; of what there is of it at the ends."""
    total = np.concatenate([[0.0], np.cumsum(counts)])
    start = np.clip(np.arange(counts.size) - window_s // 2, 0, None)
    end = np.clip(start + window_s, None, counts.size)
    start = np.clip(end - window_s, 0, None)
    return np.asarray((total[end] - total[start]) / (end - start))


def before(counts: Floats, window_s: int) -> Floats:
    """Mean rate of the window that ends with each second."""
    total = np.concatenate([[0.0], np.cumsum(counts)])
    end = np.arange(1, counts.size + 1)
    start = np.clip(end - window_s, 0, None)
    return np.asarray((total[end] - total[start]) / (end - start))


def running_max(values: Ints, ahead: int) -> Ints:
    """The maximum of each value and the ``ahead`` following ones; before it when negative."""
    if ahead < 0:
        return running_max(values[::-1], -ahead)[::-1]
    found = values.copy()
    covered = 1  # found[i] is the maximum of this many values from i on
    while covered < ahead + 1:
        step = min(covered, ahead + 1 - covered, found.size)
        shifted = np.concatenate([found[step:], np.repeat(found[-1:], step)])
        found = np.maximum(found, shifted)
        covered += step
    return found


def clairvoyant_plan(
    counts: Floats, table: Table, cold_start_s: float, window_s: int, kappa: float
) -> Ints:
    """Replicas to have asked for by each second."""
    need = table.need(kappa * around(counts, window_s))
    return running_max(need, math.ceil(AHEAD * cold_start_s + GRID_S))


def causal_plan(counts: Floats, table: Table, window_s: int, hold_s: int, headroom: float) -> Ints:
    """Replicas asked for at each second, from the past alone."""
    need = table.need(headroom * before(counts, window_s))
    held = running_max(need, -hold_s)
    return np.concatenate([held[:1], held[:-1]])  # a second's count is known when it is over


@dataclass(slots=True)
class Planned:
    """A Controller that follows a plan, one entry per second."""

    name: str
    plan: Ints
    reject_after_s: float | None = None
    interval_s: float = GRID_S
    blind: bool = True  # it needs no metrics

    def decide(self, sight: Sight) -> Decision:
        """What the plan says for now."""
        now = min(int(sight.observation.now_s), self.plan.size - 1)
        wanted = int(self.plan[now])
        return Decision(
            replicas=wanted,
            reason=Reason.WITHIN_OBJECTIVE,
            message="as planned",
            reject_after_s=self.reject_after_s,
        )


@dataclass(frozen=True, slots=True)
class Chosen:
    """A plan's settings and what came of it, averaged over seeds."""

    window_s: int
    factor: float  # kappa, or headroom
    hold_s: int
    late_share: float
    replica_hours: float


class Planner:
    """Searches plans for one scenario and trace; every plan is played once per seed at most."""

    def __init__(
        self, scenario: Scenario, trace: Trace, table: Table, seeds: Sequence[int] = (0,)
    ) -> None:
        self._table = table
        self._scenario = scenario
        self._worlds = []
        for seed in seeds:
            seeded = replace(scenario, seed=seed)
            counts = per_second(trace.arrivals(seed), trace.length_s)
            self._worlds.append((seeded, trace, counts))
        self._allowed = 1 - scenario.percentile / 100
        self._played: dict[tuple[bytes, float | None], tuple[float, float]] = {}

    def clairvoyant(
        self,
        reject_after_s: float | None = NEVER_S,
        windows_s: Sequence[int] = WINDOWS_S,
        guess: float = 1.0,
    ) -> Chosen:
        """The cheapest clairvoyant plan within the error budget; the most careful if none is.

        ``guess`` is where the search for kappa begins.
        """
        best: Chosen | None = None
        for window_s in windows_s:
            best = self._cheapest(window_s, best, reject_after_s, guess) or best
        if best is not None:
            return best
        return self._clairvoyant(windows_s[0], _HIGHEST, reject_after_s)

    def causal(self, hours: float, reject_after_s: float | None) -> Chosen:
        """The causal plan with the fewest late requests that costs no more than ``hours``; the
        first that is within the error budget will do."""
        found: list[Chosen] = []
        for hold_s, window_s in product(HOLDS_S, CAUSAL_WINDOWS_S):
            plan = partial(self._causal_plans, window_s, hold_s)
            factor = self._affordable(plan, hours)
            late, cost = self._play(plan(factor), reject_after_s)
            found.append(Chosen(window_s, factor, hold_s, late, cost))
            if late <= self._allowed and cost <= hours:
                return found[-1]
        within = [one for one in found if one.replica_hours <= 1.02 * hours]
        return min(within or found, key=lambda one: one.late_share)

    def _cheapest(
        self, window_s: int, best: Chosen | None, reject_after_s: float | None, guess: float
    ) -> Chosen | None:
        """The lowest kappa that holds the budget; None when that is no cheaper than ``best``."""
        if best is not None:
            plans = partial(self._clairvoyant_plans, window_s)
            guess = self._affordable(plans, 0.995 * best.replica_hours)
        good = tried = self._clairvoyant(window_s, guess, reject_after_s)
        while good.late_share > self._allowed:
            if best is not None or good.factor >= _HIGHEST:
                return None
            tried = good
            good = self._clairvoyant(window_s, 1.07 * good.factor, reject_after_s)
        bad = tried if tried.late_share > self._allowed else None
        while bad is None:
            tried = self._clairvoyant(window_s, good.factor / 1.07, reject_after_s)
            if tried.late_share > self._allowed:
                bad = tried
            else:
                good = tried
                if good.factor < _LOWEST:
                    return good
        while good.factor > (1 + 1.2 * _STEP) * bad.factor:
            tried = self._clairvoyant(window_s, self._between(bad, good), reject_after_s)
            if tried.late_share <= self._allowed:
                good = tried
            else:
                bad = tried
        return good

    def _between(self, bad: Chosen, good: Chosen) -> float:
        """Where the late share, on a logarithmic line between the two, meets the budget."""
        high, low = math.log(max(bad.late_share, 1e-6)), math.log(max(good.late_share, 1e-6))
        share = (high - math.log(self._allowed)) / max(high - low, 1e-9)
        share = min(max(share, 0.25), 0.75)
        return bad.factor + share * (good.factor - bad.factor)

    def _clairvoyant(self, window_s: int, kappa: float, reject_after_s: float | None) -> Chosen:
        late, hours = self._play(self._clairvoyant_plans(window_s, kappa), reject_after_s)
        return Chosen(window_s, kappa, 0, late, hours)

    def _clairvoyant_plans(self, window_s: int, kappa: float) -> list[Ints]:
        cold_start_s = self._scenario.cold_start_s
        return [
            self._within(clairvoyant_plan(counts, self._table, cold_start_s, window_s, kappa))
            for _, _, counts in self._worlds
        ]

    def _causal_plans(self, window_s: int, hold_s: int, headroom: float) -> list[Ints]:
        return [
            self._within(causal_plan(counts, self._table, window_s, hold_s, headroom))
            for _, _, counts in self._worlds
        ]

    def _within(self, plan: Ints) -> Ints:
        return np.clip(plan, self._scenario.min_replicas, self._scenario.max_replicas)

    def _affordable(self, plans: Callable[[float], list[Ints]], hours: float) -> float:
        """The largest factor whose plans cost no more than ``hours`` on average."""

        def cost(factor: float) -> float:
            return float(np.mean([plan.sum() for plan in plans(factor)])) / 3600

        low, high = _LOWEST, _HIGHEST
        if cost(high) <= hours:
            return high
        while high - low > _STEP / 4 * high:
            middle = (low + high) / 2
            if cost(middle) <= hours:
                low = middle
            else:
                high = middle
        return low

    def _play(self, plans: Sequence[Ints], reject_after_s: float | None) -> tuple[float, float]:
        lates, hours = [], []
        for (scenario, trace, _), plan in zip(self._worlds, plans, strict=True):
            key = (bytes(str(scenario.seed), "ascii") + plan.tobytes(), reject_after_s)
            if key not in self._played:
                result = play(scenario, trace, plan, reject_after_s)
                self._played[key] = (result.late_share, result.replica_hours)
            late, cost = self._played[key]
            lates.append(late)
            hours.append(cost)
        return float(np.mean(lates)), float(np.mean(hours))


def play(
    scenario: Scenario, trace: Trace, plan: Ints, reject_after_s: float | None = None
) -> Result:
    """A plan in its world. It knew before the trace began, so it starts with what it plans."""
    ready = replace(scenario, initial_replicas=int(plan[0]))
    return World(ready, trace).run(Planned("plan", plan, reject_after_s))


def allowed_late(scenario: Scenario) -> float:
    """The objective's error budget, as a share of requests."""
    return 1 - scenario.percentile / 100


def clairvoyant_at(
    scenario: Scenario,
    trace: Trace,
    table: Table,
    chosen: Chosen,
    reject_after_s: float | None = NEVER_S,
) -> tuple[Result, float]:
    """The clairvoyant at another seed: the chosen window and kappa, raised in small steps until
    this seed is within the budget too. Returns its result and the kappa used."""
    counts = per_second(trace.arrivals(scenario.seed), trace.length_s)
    kappa = chosen.factor
    while True:
        plan = clairvoyant_plan(counts, table, scenario.cold_start_s, chosen.window_s, kappa)
        plan = np.clip(plan, scenario.min_replicas, scenario.max_replicas)
        result = play(scenario, trace, plan, reject_after_s)
        if result.late_share <= allowed_late(scenario) or kappa >= _HIGHEST:
            return result, kappa
        kappa *= 1 + 1.5 * _STEP
