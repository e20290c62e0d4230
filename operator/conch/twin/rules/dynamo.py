"""NVIDIA Dynamo's planner, with Triton's signals in place of an LLM's.

Source: ai-dynamo/dynamo components/src/dynamo/planner (core/throughput_scaling.py,
core/load_scaling.py, config/defaults.py). Its throughput half forecasts the next interval's
requests and divides by what one engine carries within the objective; its load half (off by
default) moves by one on the latency seen. Prefill, decode and token counts have no counterpart.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from conch.observe.types import Decision
from conch.twin.controller import Sight
from conch.twin.rules.forecast import arima110, quantile
from conch.twin.rules.series import Series, arrived
from conch.twin.rules.setting import Rule, Setting, ceil, decision, rates

THROUGHPUT_S: Final = 180.0
LOAD_S: Final = 5.0
SENSITIVITY: Final = 0.8  # of the latency budget: fewer replicas only below it


def throughput_replicas(forecast_rps: float, engine_rps: float) -> int:
    """Replicas for the next interval."""
    return max(1, ceil(forecast_rps / engine_rps))


def load_replicas(replicas: int, latency_s: float, target_s: float) -> int:
    """One more above the target; one fewer when the load moved to N-1 stays under 80 % of it."""
    if latency_s > target_s:
        return replicas + 1
    if replicas > 1 and latency_s * replicas / (replicas - 1) < SENSITIVITY * target_s:
        return replicas - 1
    return replicas


@dataclass(slots=True)
class Dynamo:
    """The planner for one kind of worker."""

    name: str
    setting: Setting
    engine_rps: float
    load_scaling: bool = False
    interval_s: float = LOAD_S
    _series: Series = field(default_factory=lambda: Series(THROUGHPUT_S + 60.0))
    _rates: list[float] = field(default_factory=list)
    _planned_s: float | None = None
    _bound: int = 1

    def decide(self, sight: Sight) -> Decision:
        """Every 5 s; a new plan every 180 s."""
        seen = sight.observation
        self._series.add(seen.samples)
        if self._planned_s is None:
            self._planned_s = seen.now_s  # the first interval is only watched
            self._bound = seen.replicas
        elif seen.now_s - self._planned_s >= THROUGHPUT_S - 1e-6:
            self._planned_s = seen.now_s
            rate = self._series.rate(arrived, THROUGHPUT_S)
            if rate is not None:
                self._rates = [*self._rates[-49:], rate]
                forecast = arima110(self._rates, 1)[0]
                self._bound = throughput_replicas(forecast, self.engine_rps)
                if not self.load_scaling:
                    return decision(
                        seen.replicas, self._bound, self.setting, f"forecast {forecast:.1f} rps"
                    )
        if not self.load_scaling or seen.starting_age_s or not sight.latencies_s:
            return decision(seen.replicas, seen.replicas, self.setting, "between plans")
        latency_s = quantile(sight.latencies_s, self.setting.percentile / 100)
        wanted = load_replicas(seen.replicas, latency_s, self.setting.target_s)
        return decision(
            seen.replicas, max(wanted, self._bound), self.setting, f"latency {latency_s:.3f} s"
        )


def planner(setting: Setting, engine_rps: float, load_scaling: bool = False) -> Dynamo:
    """Dynamo's planner, told what one engine carries."""
    kind = "thr+load" if load_scaling else "thr"
    return Dynamo(f"dynamo {kind} {engine_rps:.3g}", setting, engine_rps, load_scaling)


RULE: Final = Rule(
    name="dynamo",
    what="Dynamo-like planner: forecast every 180 s; untouched: its profile = a load test",
    untouched=lambda setting: planner(setting, setting.one_replica_rps),
    row=rates,
    tuned=lambda setting, engine: planner(setting, engine, load_scaling=True),
)
