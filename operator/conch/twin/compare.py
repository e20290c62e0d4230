"""Several scalers on the same requests: what each costs, and how many requests are late with it.

Decides which scalers a name means, what each is told beforehand, and where all of them begin. The
simulation is ``world``'s, the search for the clairvoyant ``oracle``'s. Prints nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np

from conch.errors import UsageError
from conch.observe.types import Decision
from conch.twin.controller import Controller, Sight
from conch.twin.metrics import MODEL
from conch.twin.oracle import NEVER_S, Planner, clairvoyant_plan, per_second, play
from conch.twin.result import Result
from conch.twin.rules import RULES, Setting
from conch.twin.rules.conch import conch
from conch.twin.table import Ints, Table, late_share, measured
from conch.twin.traces import Trace
from conch.twin.world import Scenario, World

OnProgress = Callable[[float, str], None]
"""Called with the share that is done, 0..1, and what is being worked on."""

CONCH: Final = "conch"
ORACLE: Final = "oracle"
ALL: Final = "all"
_REJECT: Final = "+reject"
_FIRST_S: Final = 60  # everybody starts with what the first minute needs
_LOAD_TEST: Final = 60_000  # requests at each rate that the load test tries
_TABLE: Final = 40_000
_COMPILING: Final = "compiling the simulator, once, which takes a minute or so"
_MEASURING: Final = "measuring what replicas carry"
_SEARCH: Final = 40  # runs that the search for the clairvoyant takes, about


@dataclass(frozen=True, slots=True)
class Choice:
    """One scaler: its name, a set point (None: as its makers ship it), and late-reject or not."""

    name: str
    value: float | None = None
    reject: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """One scaler's run."""

    label: str
    what: str
    result: Result


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """All runs of one scenario and trace, in the order asked for.

    ``capacity_rps[c-1]`` is what c ready replicas carry within the objective, up to the most used.
    """

    scenario: Scenario
    trace: Trace
    capacity_rps: tuple[float, ...]
    outcomes: tuple[Outcome, ...]

    @property
    def one_replica_rps(self) -> float:
        """What one replica carries within the objective, as a load test finds it."""
        return self.capacity_rps[0]

    @property
    def oracle_hours(self) -> float | None:
        """Replica-hours of the clairvoyant, when it was asked for."""
        found = [o.result.replica_hours for o in self.outcomes if o.label == ORACLE]
        return found[0] if found else None

    def ratio(self, outcome: Outcome) -> float | None:
        """Replica-hours over the clairvoyant's."""
        hours = self.oracle_hours
        return outcome.result.replica_hours / hours if hours else None


def known() -> tuple[str, ...]:
    """Every name that ``choices`` understands."""
    return (CONCH, *RULES, ORACLE)


def choices(text: str, late_reject: bool = False) -> tuple[Choice, ...]:
    """Conch, and what a list such as ``keda,hpa@0.6,static+reject,oracle`` names.

    ``late_reject``: whether the service itself has it, for plain ``conch``.
    Raises UsageError for names and set points that make no sense.
    """
    found = [Choice(CONCH, None, late_reject)]
    words = [word.strip().lower() for word in text.split(",") if word.strip()]
    if ALL in words:
        words = [w for w in words if w != ALL] + list(known())
    for word in words:
        choice = _choice(word)
        if word == CONCH or choice in found:
            continue
        found.append(choice)
    return tuple(found)


def _choice(word: str) -> Choice:
    name, _, value = word.removesuffix(_REJECT).partition("@")
    reject = word.endswith(_REJECT)
    if name not in known():
        raise UsageError(f"no scaler is called {name!r}: choose from {', '.join(known())}")
    if name == ORACLE and word != ORACLE:
        raise UsageError("the oracle takes neither a set point nor late-reject")
    if not value:
        return Choice(name, None, reject)
    if name == CONCH:
        raise UsageError("conch has no set point: leave out what follows @")
    try:
        number = float(value)
    except ValueError as error:
        raise UsageError(f"{word}: the set point after @ must be a number") from error
    if not (math.isfinite(number) and number > 0):
        raise UsageError(f"{word}: the set point after @ must be more than zero")
    return Choice(name, number, reject)


def compare(
    scenario: Scenario, trace: Trace, chosen: Sequence[Choice], progress: OnProgress
) -> Comparison:
    """Play the trace under every chosen scaler. All start with what the first minute needs."""
    each = max(trace.requests, 1.0)
    searching = any(choice.name == ORACLE for choice in chosen)
    load_test = 7 * _LOAD_TEST / each
    # About seven rates for each of so many sizes.
    table = 7 * _TABLE / each * min(14.0, 2 + 2 * math.log2(scenario.max_replicas))
    total = load_test + len(chosen) + table + searching * (_SEARCH + table)
    meter = _Meter(progress, total)
    meter.begin(_COMPILING, 0.0)
    late_share(_calm(scenario), 1, rate=1.0, requests=1)  # nothing is kept but the compiled loop
    meter.begin(_MEASURING, load_test)
    one_replica_rps = _carried(_calm(scenario), 1, _LOAD_TEST).rates[0]
    meter.end()
    first = float(trace.rates[: math.ceil(_FIRST_S / trace.bin_s)].mean())
    started = replace(scenario, initial_replicas=_size(first / one_replica_rps, scenario))
    setting = Setting.of(started, one_replica_rps)
    outcomes = []
    world: World | None = None
    for choice in chosen:
        if choice.name == ORACLE:
            outcomes.append(_clairvoyant(started, trace, meter, table))
            continue
        controller, what = _controller(choice, setting)
        meter.begin(f"simulating {controller.name}", 1.0)
        world = world or World(started, trace)
        result = world.run(_Watched(controller, trace.length_s, meter))
        outcomes.append(Outcome(controller.name, what, result))
        meter.end()
    most = max(int(outcome.result.timeline.ready.max()) for outcome in outcomes)
    meter.begin(_MEASURING, table)
    capacity = _carried(_calm(scenario), max(1, most), _TABLE).rates
    meter.end()
    rates = tuple(max(rate, one_replica_rps) for rate in capacity[1:])
    return Comparison(started, trace, (one_replica_rps, *rates), tuple(outcomes))


def _calm(scenario: Scenario) -> Scenario:
    """The scenario as a load test sees it."""
    return replace(scenario, retry_share=0.0, lag_s=(0.0, 0.0), loss=0.0, never_ready=0.0)


def _carried(calm: Scenario, most: int, requests: int) -> Table:
    """What 1 … ``most`` replicas carry within the objective. Where no number of them could hold it,
    all that they complete: a search for less would only take long."""
    service = calm.service
    if service.service_s[0] >= calm.target_s:
        return Table(tuple(c * service.throughput_rps for c in range(1, most + 1)))
    return measured(calm, most, requests)


def _size(replicas: float, scenario: Scenario) -> int:
    return min(max(math.ceil(replicas), scenario.min_replicas), scenario.max_replicas)


def _controller(choice: Choice, setting: Setting) -> tuple[Controller, str]:
    if choice.name == CONCH:
        scaler = conch(setting, late_reject=choice.reject, model=MODEL)
        scaler.name = CONCH + (_REJECT if choice.reject else "")
        also = ", late requests refused" if choice.reject else ""
        return scaler, f"Conch: the objective, no set point{also}"
    rule = RULES[choice.name]
    return rule.controller(setting, choice.value, choice.reject), rule.what


def _clairvoyant(scenario: Scenario, trace: Trace, meter: _Meter, part: float) -> Outcome:
    meter.begin(_MEASURING, part)
    calm = replace(_calm(scenario), reject_after_s=NEVER_S)
    table = _carried(calm, scenario.max_replicas, _TABLE)
    meter.end()
    meter.begin("searching the clairvoyant's plan", _SEARCH)
    planner = _Searching(scenario, trace, table, (scenario.seed,))
    planner.meter = meter
    best = planner.clairvoyant()
    counts = per_second(trace.arrivals(scenario.seed), trace.length_s)
    plan = clairvoyant_plan(counts, table, scenario.cold_start_s, best.window_s, best.factor)
    plan = np.clip(plan, scenario.min_replicas, scenario.max_replicas)
    result = play(scenario, trace, plan, NEVER_S)
    meter.end()
    what = "clairvoyant: knows every request beforehand, pays the cold start"
    return Outcome(ORACLE, what, result)


class _Searching(Planner):
    """The planner, telling how far it is: nobody knows how many plans it will try."""

    meter: _Meter
    _tried = 0

    def _play(self, plans: Sequence[Ints], reject_after_s: float | None) -> tuple[float, float]:
        self._tried += 1
        self.meter.inside(1 - math.exp(-self._tried / (_SEARCH / 2)))
        return super()._play(plans, reject_after_s)


class _Meter:
    """Shares of parts, summed up to the share of everything."""

    def __init__(self, progress: OnProgress, total: float) -> None:
        self._progress = progress
        self._total = total
        self._done = 0.0
        self._part = 0.0
        self._what = ""

    def begin(self, what: str, part: float) -> None:
        self._what, self._part = what, part
        self.inside(0.0)

    def inside(self, share: float) -> None:
        """``share`` of the part that began last is done."""
        self._progress(min(1.0, (self._done + share * self._part) / self._total), self._what)

    def end(self) -> None:
        self._done += self._part
        self._part = 0.0


@dataclass(slots=True)
class _Watched:
    """A scaler, with the time it has come to told to the meter."""

    inner: Controller
    length_s: float
    meter: _Meter

    @property
    def name(self) -> str:
        return self.inner.name

    @property
    def interval_s(self) -> float:
        return self.inner.interval_s

    def decide(self, sight: Sight) -> Decision:
        self.meter.inside(sight.observation.now_s / self.length_s)
        return self.inner.decide(sight)


# --- as JSON --------------------------------------------------------------------------------------


def document(found: Comparison, price_per_hour: float | None = None) -> dict[str, Any]:
    """Everything but the timelines, for programs. What is not known is null."""
    scenario, trace = found.scenario, found.trace
    return {
        "trace": {
            "name": trace.name,
            "seconds": trace.length_s,
            "requests": found.outcomes[0].result.requests if found.outcomes else 0,
            "mean_rps": trace.mean_rps,
        },
        "service": {
            "target_s": scenario.target_s,
            "percentile": scenario.percentile,
            "service_s": list(scenario.service.service_s),
            "instances": scenario.service.instances,
            "one_replica_rps": found.one_replica_rps,
        },
        "scenario": {
            "cold_start_s": scenario.cold_start_s,
            "cold_starts_s": list(scenario.cold_starts_s),
            "min_replicas": scenario.min_replicas,
            "max_replicas": scenario.max_replicas,
            "initial_replicas": scenario.initial_replicas,
            "routing": scenario.routing,
            "seed": scenario.seed,
        },
        "runs": [
            {
                "scaler": outcome.label,
                "what": outcome.what,
                **{k: _finite(v) for k, v in outcome.result.row().items()},
                "over_oracle": found.ratio(outcome),
                "cost": cost(outcome, price_per_hour),
            }
            for outcome in found.outcomes
        ],
    }


def cost(outcome: Outcome, price_per_hour: float | None) -> float | None:
    """What the run's replica-hours cost."""
    return None if price_per_hour is None else outcome.result.cost_hours * price_per_hour


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
