"""The units of work. Each takes a case, is deterministic, and gives a small JSON value.

``Reference`` comes first: limits, capacity table, oracle, class. The others need its result.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from conch.observe.types import BatchStat, Decision, ModelCounters, PodSample
from conch.twin.controller import Controller, Sight
from conch.twin.metrics import MODEL
from conch.twin.oracle import NEVER_S, Chosen, Planner, clairvoyant_at
from conch.twin.result import Result
from conch.twin.rules import RULES, Setting
from conch.twin.rules.conch import conch
from conch.twin.rules.reject import reject_after_s
from conch.twin.table import Table, measured
from conch.twin.world import Scenario, World
from e2e.autoscale.cases import Case
from e2e.autoscale.store import modules

TRACTABLE: Final = 1.2  # times the oracle's cost: within it a causal scaler has to succeed
SURGE: Final = 1.3  # times the oracle's cost: what a scaler may spend on a surge
# What a world's outcome rests on: all of the twin but what plans, compares and tells.
_BESIDE: Final = (
    "oracle",
    "table",
    "compare",
    "report",
    "page",
    "chart",
    "synthetic",
    "fluid",
    "__init__",
)
TWIN_CODE: Final = tuple(m for m in modules("twin") if not Path(m).stem.startswith(_BESIDE))
# Plans look at no metrics.
ORACLE_CODE: Final = (
    *(m for m in TWIN_CODE if m != "twin/metrics.py"),
    "twin/oracle.py",
    "twin/table.py",
)
RULE_CODE: Final = (*TWIN_CODE, "twin/rules")
CONCH_CODE: Final = (*TWIN_CODE, "twin/rules/conch.py", "autoscale", "observe/types.py")

MOST_REPLICAS: Final = 64
ORACLE_SEEDS: Final = (0, 1)

Value = dict[str, Any]


def outcome(result: Result) -> Value:
    """What is kept of a run."""
    return {
        "late": result.late_share,
        "hours": result.replica_hours,
        "minutes_ok": result.minutes_ok,
        "rejected": result.rejected / max(1, result.requests),
        "requests": result.requests,
        "events": result.scale_events,
        "peak": result.peak_replicas,
    }


def table(case: Case) -> Value:
    """X(c) with batches formed when an instance is free, and X(1) as Triton ships it."""
    scenario = replace(case.scenario(MOST_REPLICAS), retry_share=0.0, lag_s=(0.0, 0.0))
    free = measured(replace(scenario, reject_after_s=NEVER_S), MOST_REPLICAS, requests=60_000)
    shipped = measured(scenario, 1, requests=200_000)
    return {"rates": free.rates, "one_replica_rps": shipped.rates[0]}


@dataclass(frozen=True, slots=True)
class Ground:
    """A case with what the reference found out about it."""

    case: Case
    table: Table
    one_replica_rps: float
    most: int
    initial: int

    @staticmethod
    def of(case: Case, known: Value) -> Ground:
        """From the reference's result."""
        return Ground(
            case,
            Table(tuple(known["table"])),
            known["one_replica_rps"],
            known["most"],
            known["initial"],
        )

    def scenario(self, seed: int) -> Scenario:
        """The scenario everybody gets."""
        return replace(self.case.scenario(self.most, seed), initial_replicas=self.initial)

    def setting(self, scenario: Scenario) -> Setting:
        """What everybody is told."""
        return Setting.of(scenario, self.one_replica_rps)


def reference(case: Case, capacity: Value) -> Value:
    """Limits, the clairvoyant's cost with either way of forming batches, and the case's class."""
    found = Table(tuple(capacity["rates"]))
    scenario = case.limited(found)
    planner = Planner(scenario, case.trace, found)
    oracle = planner.clairvoyant()
    # The same plan without a queue policy tells whether Triton would close batches ahead of time.
    plan = clairvoyant_at(scenario, case.trace, found, oracle, None)[0]
    alike = plan.late_share == oracle.late_share
    shipped = (
        oracle if alike else planner.clairvoyant(None, (oracle.window_s,), 1.07 * oracle.factor)
    )
    late_after_s = reject_after_s(case.curve.target_s, case.curve.service.service_s[-1])
    causal = planner.causal(TRACTABLE * oracle.replica_hours, late_after_s)
    tractable = (
        causal.late_share <= 1 - scenario.percentile / 100
        and causal.replica_hours <= TRACTABLE * oracle.replica_hours
    )
    floor = causal if tractable else planner.causal(SURGE * oracle.replica_hours, late_after_s)
    mark = _seeds(case, scenario, found, oracle, NEVER_S)
    return {
        "table": found.rates,
        "one_replica_rps": capacity["one_replica_rps"],
        "most": scenario.max_replicas,
        "initial": scenario.initial_replicas,
        "oracle": mark,
        "oracle_shipped": mark if alike else _seeds(case, scenario, found, shipped, None),
        "tractable": tractable,
        "causal": _chosen(causal),
        "floor": _chosen(floor),
    }


def _chosen(chosen: Chosen) -> Value:
    return {
        "window_s": chosen.window_s,
        "factor": chosen.factor,
        "hold_s": chosen.hold_s,
        "late": chosen.late_share,
        "hours": chosen.replica_hours,
    }


def _seeds(
    case: Case, scenario: Scenario, found: Table, chosen: Chosen, after_s: float | None
) -> Value:
    """The clairvoyant's mean over a few seeds, each of them within the budget."""
    runs = [
        clairvoyant_at(replace(scenario, seed=seed), case.trace, found, chosen, after_s)[0]
        for seed in ORACLE_SEEDS
    ]
    return {
        **_chosen(chosen),
        "late": sum(run.late_share for run in runs) / len(runs),
        "hours": sum(run.replica_hours for run in runs) / len(runs),
        "worst_late": max(run.late_share for run in runs),
    }


# --- Conch ----------------------------------------------------------------------------------------


def run_conch(ground: Ground, variant: str, seed: int) -> Value:
    """One run of Conch's scaler; variants are in ``VARIANTS``."""
    scenario = VARIANTS[variant].world(ground.scenario(seed), ground.case.trace.length_s)
    setting = ground.setting(scenario)
    scaler: Controller = conch(setting, late_reject=VARIANTS[variant].late_reject, model=MODEL)
    if VARIANTS[variant].told != 1:
        scaler = Misread(scaler, VARIANTS[variant].told)
    return outcome(World(scenario, ground.case.trace).run(scaler))


def _same(scenario: Scenario, length_s: float) -> Scenario:
    return scenario


def _drifting(scenario: Scenario, length_s: float) -> Scenario:
    # A service that becomes 1.5 times slower needs that many more replicas, and some.
    drift = ((0.4 * length_s, 1.0), (0.6 * length_s, 1.5))
    return replace(
        scenario,
        service=replace(scenario.service, drift=drift),
        max_replicas=2 * scenario.max_replicas,
    )


def _random(scenario: Scenario, length_s: float) -> Scenario:
    return replace(scenario, routing="random", max_replicas=round(1.5 * scenario.max_replicas))


@dataclass(frozen=True, slots=True)
class Variant:
    """How a run of Conch differs from the plain one. ``told``: factor on the batch times seen."""

    what: str
    late_reject: bool = True
    told: float = 1.0
    world: Callable[[Scenario, float], Scenario] = _same


VARIANTS: Final = {
    "reject": Variant("with late-reject"),
    "plain": Variant("without late-reject", late_reject=False),
    "optimistic": Variant("service times shown 10 % too short", told=0.9),
    "pessimistic": Variant("service times shown 10 % too long", told=1.1),
    "drift": Variant("service times growing 1.5-fold mid-trace", world=_drifting),
    "random": Variant("random routing", world=_random),
}
ERRORS: Final = ("optimistic", "pessimistic", "drift", "random")


@dataclass(slots=True)
class Misread:
    """A scaler that is shown wrong batch times: ``factor`` times what they were."""

    inner: Controller
    factor: float

    @property
    def name(self) -> str:
        """The inner one's."""
        return self.inner.name

    @property
    def interval_s(self) -> float:
        """The inner one's."""
        return self.inner.interval_s

    def decide(self, sight: Sight) -> Decision:
        """Decide on the altered sight."""
        samples = tuple(self._misread(sample) for sample in sight.observation.samples)
        return self.inner.decide(
            replace(sight, observation=replace(sight.observation, samples=samples))
        )

    def _misread(self, sample: PodSample) -> PodSample:
        def wrong(counters: ModelCounters) -> ModelCounters:
            return replace(
                counters,
                batches={
                    size: BatchStat(stat.count, self.factor * stat.compute_s)
                    for size, stat in counters.batches.items()
                },
            )

        return replace(sample, models={m: wrong(c) for m, c in sample.models.items()})


# --- everyone else --------------------------------------------------------------------------------


def run_rule(ground: Ground, name: str, value: float | None, rejecting: bool, seed: int) -> Value:
    """One run of a rule: at a setting of its row, or untouched."""
    scenario = ground.scenario(seed)
    scaler = RULES[name].controller(ground.setting(scenario), value, rejecting)
    return outcome(World(scenario, ground.case.trace).run(scaler))


def tune(ground: Ground, name: str, rejecting: bool, seeds: tuple[int, ...]) -> Value:
    """The cheapest setting of the rule's row that keeps to the budget on the first seed, by
    bisection (lateness falls along the row), and how it does on all ``seeds``."""
    setting = ground.setting(ground.scenario(0))
    row = RULES[name].row(setting)
    allowed = 1 - setting.percentile / 100
    tried: dict[int, Value] = {}

    def late(index: int) -> float:
        if index not in tried:
            tried[index] = run_rule(ground, name, row[index], rejecting, seeds[0])
        found: float = tried[index]["late"]
        return found

    low, high = -1, len(row)  # low: too late; high: good, or beyond the row
    while high - low > 1:
        middle = (low + high) // 2
        if late(middle) <= allowed:
            high = middle
        else:
            low = middle
    points = [{"value": row[i], **tried[i]} for i in sorted(tried)]
    if high == len(row):
        return {"points": points, "value": None}
    runs = [tried[high]]
    runs += [run_rule(ground, name, row[high], rejecting, seed) for seed in seeds[1:]]
    return {
        "points": points,
        "value": row[high],
        "late": sum(run["late"] for run in runs) / len(runs),
        "hours": sum(run["hours"] for run in runs) / len(runs),
    }


def sweep(ground: Ground, name: str, rejecting: bool) -> Value:
    """Every second setting of a rule's row, at the first seed: a Pareto curve."""
    row = RULES[name].row(ground.setting(ground.scenario(0)))
    return {"points": [{"value": v, **run_rule(ground, name, v, rejecting, 0)} for v in row]}
