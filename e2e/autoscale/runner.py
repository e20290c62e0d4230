"""The jobs of a benchmark over two processes: what is due, in which order, how long it will take.

Stages: capacity tables, references, runs, and what needs the runs' results. A job whose result is
in the store costs nothing; Ctrl-C or the end of the time budget loses only jobs in progress.
"""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any, Final

from e2e.autoscale import jobs
from e2e.autoscale.cases import FLASHES, Case, fingerprint
from e2e.autoscale.jobs import CONCH_CODE, ERRORS, ORACLE_CODE, RULE_CODE, Ground, Value
from e2e.autoscale.store import Store, code, key

PROCESSES: Final = 2
DEFAULTS: Final = ("nvidia-ratio", "nvidia-queue")
OTHERS: Final = ("hpa", "kpa", "ray", *DEFAULTS, "dynamo", "wva", "faro", "mark", "static")
PARTS: Final = ("conch", "plain", "errors", "keda", "defaults", "flash", "rules")
_TUNED_SEEDS: Final = (0, 1)
_SAY_S: Final = 5.0


class OutOfTime(Exception):
    """The time budget is spent; what was finished is kept."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to run."""

    cases: Sequence[Case]
    seeds: int
    parts: Sequence[str] = PARTS


@dataclass(frozen=True, slots=True)
class Job:
    """One call with a name, a key in the store, and a weight (requests simulated, about)."""

    name: str
    key: str
    weight: float
    call: Callable[..., Value]
    arguments: tuple[Any, ...]


@dataclass(slots=True)
class Results:
    """By case name: what the jobs gave."""

    reference: dict[str, Value] = field(default_factory=dict)
    conch: dict[tuple[str, str], list[Value]] = field(default_factory=dict)  # (case, variant)
    tuned: dict[tuple[str, str, bool], Value] = field(default_factory=dict)  # … rule, rejecting
    default: dict[tuple[str, str], Value] = field(default_factory=dict)
    swept: dict[str, Value] = field(default_factory=dict)  # KEDA as it is
    fixed: dict[str, Value] = field(default_factory=dict)  # the one KEDA target, with reject


class Runner:
    """Runs stages; ``deadline_s`` is on the clock of ``time.monotonic``."""

    def __init__(self, store: Store, deadline_s: float | None, quiet: bool = False) -> None:
        self._store = store
        self._deadline_s = deadline_s
        self._quiet = quiet

    def run(self, plan: Plan) -> Results:
        """Everything of the plan. Raises OutOfTime."""
        results = Results()
        with ProcessPoolExecutor(PROCESSES, initializer=_leave_interrupts) as pool:
            tables = self._stage(pool, "capacity", _tables(plan.cases))
            references = self._stage(pool, "references", _references(plan.cases, tables))
            results.reference = references
            grounds = {c.name: Ground.of(c, references[c.name]) for c in plan.cases}
            runs = list(_runs(plan, grounds, references))
            _sort(results, self._stage(pool, "runs", runs))
            if "keda" in plan.parts:
                fixed = _fixed(plan, grounds, results)
                results.fixed = self._stage(pool, "fixed target", fixed)
        return results

    def _stage(self, pool: ProcessPoolExecutor, title: str, due: Iterable[Job]) -> dict[str, Value]:
        found: dict[str, Value] = {}
        left: list[Job] = []
        for job in due:
            known = self._store.get(job.key)
            if known is None:
                left.append(job)
            else:
                found[job.name] = known
        progress = _Progress(title, len(left), sum(j.weight for j in left), self._quiet)
        left.sort(key=lambda job: -job.weight)  # long ones first: no tail at the end
        running: dict[Future[Value], Job] = {}
        try:
            while left or running:
                if self._deadline_s is not None and time.monotonic() > self._deadline_s:
                    left.clear()
                while left and len(running) < PROCESSES + 1:
                    job = left.pop(0)
                    running[pool.submit(job.call, *job.arguments)] = job
                if not running:
                    raise OutOfTime(f"{title}: {progress.done} jobs done, more are left")
                done, _ = wait(running, timeout=_SAY_S, return_when=FIRST_COMPLETED)
                for future in done:
                    job = running.pop(future)
                    value = future.result()
                    self._store.put(job.key, value)
                    found[job.name] = value
                    progress.add(job.weight)
                progress.say()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        if self._deadline_s is not None and time.monotonic() > self._deadline_s:
            raise OutOfTime(f"{title}: done; the next stage is left")
        return found


def _leave_interrupts() -> None:
    """Ctrl-C reaches the workers too: the first process tells them when to end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


@dataclass(slots=True)
class _Progress:
    title: str
    jobs: int
    weight: float
    quiet: bool
    done: int = 0
    _done_weight: float = 0.0
    _started_s: float = field(default_factory=time.monotonic)
    _said_s: float = field(default_factory=time.monotonic)

    def add(self, weight: float) -> None:
        self.done += 1
        self._done_weight += weight

    def say(self) -> None:
        now_s = time.monotonic()
        if self.quiet or now_s - self._said_s < _SAY_S or not self._done_weight:
            return
        self._said_s = now_s
        spent_s = now_s - self._started_s
        left_s = spent_s * (self.weight - self._done_weight) / self._done_weight
        share = self._done_weight / self.weight
        print(
            f"{self.title}: {self.done} of {self.jobs}, {share:.0%},"
            f" about {left_s / 60:.1f} min left",
            file=sys.stderr,
            flush=True,
        )


def _tables(cases: Sequence[Case]) -> list[Job]:
    first = {case.curve.name: case for case in reversed(cases)}
    rests_on = code(*ORACLE_CODE)
    return [
        Job(name, key({"table": repr(case.curve)}, rests_on), 1e7, jobs.table, (case,))
        for name, case in first.items()
    ]


def _references(cases: Sequence[Case], tables: Mapping[str, Value]) -> list[Job]:
    rests_on = code(*ORACLE_CODE)
    return [
        Job(
            case.name,
            key({"reference": fingerprint(case), "table": tables[case.curve.name]}, rests_on),
            30 * _weight(case),
            jobs.reference,
            (case, tables[case.curve.name]),
        )
        for case in cases
    ]


def _weight(case: Case) -> float:
    """Seconds, about, of one run: requests, and looks at the fleet."""
    return case.trace.requests / 0.9e6 + case.trace.length_s / 5 * 0.6e-3


def _runs(
    plan: Plan, grounds: Mapping[str, Ground], references: Mapping[str, Value]
) -> Iterable[Job]:
    for case in plan.cases:
        ground, known = grounds[case.name], references[case.name]
        basis = {"case": fingerprint(case), "most": ground.most, "initial": ground.initial}

        def job(
            kind: str,
            name: str,
            runs: float,
            rests_on: Sequence[str],
            call: Callable[..., Value],
            *arguments: Any,
            ground: Ground = ground,
            basis: Mapping[str, object] = basis,
            case: Case = case,
        ) -> Job:
            what = {**basis, "kind": kind, "arguments": repr(arguments)}
            what["rate"] = ground.one_replica_rps
            return Job(
                f"{kind}|{case.name}|{name}",
                key(what, code(*rests_on)),
                runs * _weight(case),
                call,
                (ground, *arguments),
            )

        for variant in _variants(plan, case, known):
            seeds = {"reject": plan.seeds, "plain": (plan.seeds + 1) // 2}.get(variant, 2)
            for seed in range(min(seeds, plan.seeds)):
                name = f"{variant}|{seed}"
                yield job("conch", name, 1.7, CONCH_CODE, jobs.run_conch, variant, seed)
        if "keda" in plan.parts and known["tractable"]:
            for rejecting in (False, True):
                name = f"keda|{int(rejecting)}"
                arguments = ("keda", rejecting, _TUNED_SEEDS[: plan.seeds])
                yield job("tune", name, 5, RULE_CODE, jobs.tune, *arguments)
        if "rules" in plan.parts and _everybody(case):
            for rule in OTHERS:
                yield job(
                    "tune", f"{rule}|0", 4, RULE_CODE, jobs.tune, rule, False, _TUNED_SEEDS[:1]
                )
            yield job("sweep", "keda", 8, RULE_CODE, jobs.sweep, "keda", False)
        elif "flash" in plan.parts and case.trace.name in FLASHES:
            yield job("sweep", "keda", 8, RULE_CODE, jobs.sweep, "keda", False)
        for rule in untouched(plan, case, known):
            yield job("default", rule, 1, RULE_CODE, jobs.run_rule, rule, None, False, 0)


def untouched(plan: Plan, case: Case, known: Value) -> list[str]:
    """The rules that are also run as their makers ship them. Both versions of all of them where
    all are tuned: on one curve and cold start."""
    rules: set[str] = set()
    if "defaults" in plan.parts and known["tractable"]:
        rules |= set(DEFAULTS)
    if "rules" in plan.parts and _everybody(case):
        rules |= {"keda", *OTHERS}
    return sorted(rules)


def _everybody(case: Case) -> bool:
    return case.cold_start_s == 40 and case.curve.name == "a"


def _variants(plan: Plan, case: Case, known: Value) -> list[str]:
    found = []
    if "conch" in plan.parts:
        found.append("reject")
    if "plain" in plan.parts and known["tractable"]:
        found.append("plain")
    if "errors" in plan.parts and known["tractable"] and case.cold_start_s == 40:
        found += ERRORS
    return found


def _sort(results: Results, found: Mapping[str, Value]) -> None:
    """From job names to results; seeds in order."""
    for name in sorted(found):
        kind, case, *rest = name.split("|")
        if kind == "conch":
            results.conch.setdefault((case, rest[0]), []).append(found[name])
        elif kind == "tune":
            results.tuned[case, rest[0], rest[1] == "1"] = found[name]
        elif kind == "default":
            results.default[case, rest[0]] = found[name]
        else:
            results.swept[case] = found[name]


def _fixed(plan: Plan, grounds: Mapping[str, Ground], results: Results) -> Iterable[Job]:
    """The loosest KEDA target, per service, that kept every tractable case to its budget."""
    loosest: dict[str, float] = {}
    for case in plan.cases:
        tuned = results.tuned.get((case.name, "keda", True))
        if tuned is not None and tuned["value"] is not None:
            value = tuned["value"]
            loosest[case.curve.name] = min(value, loosest.get(case.curve.name, value))
    for case in plan.cases:
        if not results.reference[case.name]["tractable"] or case.curve.name not in loosest:
            continue
        ground = grounds[case.name]
        arguments = ("keda", loosest[case.curve.name], True, 0)
        what = {"case": fingerprint(case), "most": ground.most, "arguments": repr(arguments)}
        what["initial"] = ground.initial
        yield Job(
            case.name,
            key({**what, "kind": "fixed"}, code(*RULE_CODE)),
            _weight(case),
            jobs.run_rule,
            (ground, *arguments),
        )
