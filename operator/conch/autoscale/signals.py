"""From two looks at every pod to what arrived in between, per model.

Decides which numbers to believe: a counter that fell is a new baseline, never a negative rate; a
pod that said nothing is not one without requests; one pod that claims far more than the others
and than any batch could do is cut down to size. Pure.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Final

from conch.triton.sample import FRESH_S, BatchStat, ModelCounters, PodSample

STALE_S: Final = FRESH_S  # a look older than this says nothing about now, unless it says itself
SHORTEST_S: Final = 0.1  # two looks closer than this are one
LONGEST_S: Final = 30.0  # two looks further apart than this say little about now
FORGET_POD_S: Final = 120.0  # the baseline of a pod that is gone is kept this long
_OUTLIER_SHARE: Final = 2.0  # times the median pod
_OUTLIER_WORK: Final = 1.2  # times what a pod can complete at all
_IMPOSSIBLE_WORK: Final = 2.0  # times that: no pod can have answered so much
_MOST_BUSY: Final = 8.0  # instances
_FEWEST_EACH: Final = 5.0  # requests per pod; fewer say nothing about how pods are chosen
_MOST_UNEVEN: Final = 3.0


@dataclass(frozen=True, slots=True)
class Taken:
    """What one group of pods, which are alike, did between two looks."""

    pods: int
    arrived: float  # requests at a pod, on average
    batches: Mapping[int, BatchStat]


@dataclass(frozen=True, slots=True)
class Interval:
    """One model, all pods, between two looks. Rates in requests/s, extrapolated to silent pods.

    ``counted`` is how many requests the rate rests on, ``slack`` the variance that comes from
    requests being executed, which Triton counts neither as pending nor as done.
    """

    start_s: float
    end_s: float
    rate: float
    counted: float
    slack: float
    succeeded: float
    failed: float
    pending: float
    request_s: float = 0.0  # latencies of those that ended, summed
    rejected: float = 0.0  # of the failed: by a queue's own policy
    # Variance of what arrived at each pod over a Poisson process's; None: too few to say.
    unevenness: float | None = None
    groups: Mapping[str, Taken] = field(default_factory=dict)

    @property
    def length_s(self) -> float:
        """Seconds between the two looks, averaged over pods."""
        return self.end_s - self.start_s


@dataclass(frozen=True, slots=True)
class Signals:
    """What one step learned from the samples.

    ``silent`` counts ready pods that gave nothing usable, ``reporting`` those that did;
    ``fresh_s`` is how long the ones that are looked at least often stay usable;
    ``new`` is False when every sample had been seen before.
    """

    baselines: Mapping[str, PodSample]
    intervals: Mapping[str, Interval]
    reporting: int
    silent: int
    fresh_s: float
    new: bool
    stuck_pods: Mapping[str, frozenset[str]]  # model → pods with pending > 0 and nothing completed


@dataclass(frozen=True, slots=True)
class _Delta:
    pod: str
    group: str
    seconds: float
    arrived: float
    succeeded: float
    failed: float
    executed: float
    pending: float
    request_s: float
    rejected: float
    batches: Mapping[int, BatchStat]


def gather(
    baselines: Mapping[str, PodSample],
    samples: Iterable[PodSample],
    models: Sequence[str],
    ready: int,
    now_s: float,
    previous_s: float | None,
    throughput: Mapping[str, Mapping[str, float]],
) -> Signals:
    """Compare ``samples`` with the last good look at each pod.

    ``previous_s`` is when the last step ran: a pod first seen now is taken to have started from
    zero then. None (the operator has just started) makes it a baseline only. ``throughput`` is
    what one pod can complete per model and group, in requests/s, where known.
    """
    listed = {s.pod: s for s in samples}
    good = {
        p: s
        for p, s in listed.items()
        if not s.error
        and -STALE_S <= now_s - s.at_s <= s.fresh_s + SHORTEST_S
        and all(map(_makes_sense, s.models.values()))
    }
    deltas: dict[str, list[_Delta]] = {model: [] for model in models}
    new = False
    for pod, sample in good.items():
        before = baselines.get(pod)
        if before is not None and sample.at_s - before.at_s < SHORTEST_S:
            continue
        new = True
        for model in models:
            after = sample.models.get(model)
            if after is None:
                continue
            delta = _delta(before, sample, model, after, previous_s)
            if delta is not None and _possible(delta, throughput.get(model, {})):
                deltas[model].append(delta)
    silent = max(0, ready - len(good))
    return Signals(
        baselines=_remember(baselines, listed, good, now_s, previous_s),
        intervals={
            model: _interval(found, max(ready, len(good)), now_s, throughput.get(model, {}))
            for model, found in deltas.items()
            if found
        },
        reporting=len(good),
        silent=silent,
        fresh_s=max((s.fresh_s for s in good.values()), default=STALE_S),
        new=new,
        stuck_pods={
            model: frozenset(d.pod for d in found if d.pending > 0 and d.succeeded + d.failed == 0)
            for model, found in deltas.items()
        },
    )


def _remember(
    baselines: Mapping[str, PodSample],
    listed: Mapping[str, PodSample],
    good: Mapping[str, PodSample],
    now_s: float,
    previous_s: float | None,
) -> dict[str, PodSample]:
    kept = {
        pod: sample
        for pod, sample in baselines.items()
        if pod in listed or now_s - sample.at_s <= FORGET_POD_S
    }
    for pod in listed:
        if pod not in kept:
            # Silent since it appeared: when it speaks, its counters did not start just then.
            kept[pod] = PodSample(pod, now_s if previous_s is None else previous_s, {})
    kept.update(good)
    return kept


_ZERO: Final = ModelCounters(0, 0, 0, 0, 0, 0, 0)


def _delta(
    sample_before: PodSample | None,
    sample: PodSample,
    model: str,
    after: ModelCounters,
    previous_s: float | None,
) -> _Delta | None:
    at_s = sample.at_s
    before = sample_before.models.get(model) if sample_before is not None else None
    start_s = sample_before.at_s if sample_before is not None else previous_s
    longest_s = max(LONGEST_S, sample.fresh_s)
    if start_s is None or not SHORTEST_S <= at_s - start_s <= longest_s:
        return None
    if before is None:
        before = _ZERO
    if (
        after.success < before.success
        or after.failure < before.failure
        or after.executions < before.executions
    ):
        return None  # the server restarted: a baseline
    succeeded = after.success - before.success
    failed = after.failure - before.failure
    waiting = (after.pending or 0.0) - (before.pending or 0.0)
    return _Delta(
        pod=sample.pod,
        group=sample.group,
        seconds=at_s - start_s,
        arrived=max(0.0, succeeded + failed + waiting),
        succeeded=succeeded,
        failed=failed,
        executed=after.executions - before.executions,
        pending=after.pending or 0.0,
        request_s=max(0.0, after.request_s - before.request_s),
        rejected=min(failed, max(0.0, after.rejected - before.rejected)),
        batches=_executed(before, after),
    )


def _throughput(delta: _Delta, known: Mapping[str, float]) -> float | None:
    """What the pod can complete; while its group is not known, what any group's can."""
    return known.get(delta.group, max(known.values(), default=None))


def _possible(delta: _Delta, known: Mapping[str, float]) -> bool:
    """Whether a pod can have answered that much. If not, it is a baseline: counters came back after
    a reset, are another server's, or lie. More than it was thought capable of is believed when its
    batches account for it, in the time there was."""
    completed = delta.succeeded + delta.failed
    throughput = _throughput(delta, known)
    if throughput is None or delta.succeeded <= _IMPOSSIBLE_WORK * throughput * delta.seconds:
        return True
    executed = sum(size * stat.count for size, stat in delta.batches.items())
    busy_s = sum(stat.compute_s for stat in delta.batches.values())
    return executed >= 0.8 * completed and busy_s <= _MOST_BUSY * delta.seconds


def _makes_sense(counters: ModelCounters) -> bool:
    """Whether every number is finite and not negative: one that is not says that none is sure."""
    numbers = (
        counters.success,
        counters.failure,
        counters.inferences,
        counters.executions,
        counters.request_s,
        counters.queue_s,
        counters.rejected,
        counters.pending or 0.0,
        counters.latency_s or 0.0,
    )
    return min(numbers) >= 0 and math.isfinite(sum(numbers))


def _executed(before: ModelCounters, after: ModelCounters) -> Mapping[int, BatchStat]:
    """Executions in between. The first ones of a server are left out: they warm up (measured on
    24.10: 120 ms instead of 50)."""
    if before.executions == 0 and after.executions <= 2:
        return {}
    found = {}
    for size, stat in after.batches.items():
        old = before.batches.get(size, BatchStat(0, 0.0))
        count, compute_s = stat.count - old.count, stat.compute_s - old.compute_s
        if size > 0 and 0 < count < math.inf and 0 < compute_s < math.inf:
            found[size] = BatchStat(count, compute_s)
    return found


def _interval(
    deltas: Sequence[_Delta], ready: int, now_s: float, known: Mapping[str, float]
) -> Interval:
    rates = [d.arrived / d.seconds for d in deltas]
    if len(rates) >= 3 and known:
        # With two pods nobody can say which one lies.
        usual = _OUTLIER_SHARE * median(rates)
        rates = [
            min(rate, max(usual, _OUTLIER_WORK * (_throughput(delta, known) or 0.0)))
            for rate, delta in zip(rates, deltas, strict=True)
        ]
    seconds = sum(d.seconds for d in deltas) / len(deltas)
    scale = max(1.0, ready / len(deltas))  # requests are spread over all ready pods
    completed = sum(d.succeeded + d.failed for d in deltas)
    executed = sum(d.executed for d in deltas)
    batch = completed / executed if executed else 1.0
    groups: dict[str, list[_Delta]] = defaultdict(list)
    for delta in deltas:
        groups[delta.group].append(delta)
    return Interval(
        start_s=now_s - seconds,
        end_s=now_s,
        rate=sum(rates) * scale,
        counted=sum(r * d.seconds for r, d in zip(rates, deltas, strict=True)),
        slack=len(deltas) * batch * batch / 2,
        succeeded=sum(d.succeeded for d in deltas),
        failed=sum(d.failed for d in deltas),
        pending=sum(d.pending for d in deltas) * scale,
        request_s=sum(d.request_s for d in deltas),
        rejected=sum(d.rejected for d in deltas),
        unevenness=_unevenness(groups.values(), batch),
        groups={
            group: Taken(len(found), sum(d.arrived for d in found) / len(found), _typical(found))
            for group, found in groups.items()
        },
    )


def _unevenness(groups: Collection[Sequence[_Delta]], batch: float) -> float | None:
    """How differently pods of a group were chosen: 1 when at random, near 0 when each gets its
    turn. That pods of another group get more or fewer says something else."""
    seconds = next(iter(groups))[0].seconds
    in_execution = batch * batch / 6  # at both ends of the interval some are neither here nor there
    found, counted = 0.0, 0
    for deltas in groups:
        if any(abs(d.seconds - seconds) > 0.1 * seconds for d in deltas):
            return None
        mean = sum(d.arrived for d in deltas) / len(deltas)
        if len(deltas) < 2 or mean < _FEWEST_EACH:
            continue
        others = len(deltas) - 1
        variance = sum((d.arrived - mean) ** 2 for d in deltas) / others
        own = min(_MOST_UNEVEN, max(0.0, variance - in_execution) / mean)
        counted += others
        found += (own - found) * (others / counted)
    return found if counted else None


def _typical(deltas: Sequence[_Delta]) -> dict[int, BatchStat]:
    """Executions of all pods per size; from three pods on timed by the median one: one may lie."""
    by_size: dict[int, list[BatchStat]] = defaultdict(list)
    for delta in deltas:
        for size, stat in delta.batches.items():
            by_size[size].append(stat)
    found = {}
    for size, stats in by_size.items():
        total = sum(stat.count for stat in stats)
        if len(stats) < 3:
            found[size] = BatchStat(total, sum(stat.compute_s for stat in stats))
        else:
            typical_s = median(stat.compute_s / stat.count for stat in stats)
            found[size] = BatchStat(total, total * typical_s)
    return found
