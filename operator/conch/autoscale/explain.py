"""The sentences of a decision, with their numbers, as ``conch why`` prints them.

Decides nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from conch.observe.types import ScalingObservation, ScalingPolicy

if TYPE_CHECKING:
    from conch.autoscale.picture import Load, Picture

_MAX_NAMED = 5
_FOLLOWS = 0.5


def sentence(picture: Picture, conclusion: str) -> str:
    """Demand, bound, capacity, conclusion: "83 req/s now, up to 97 in the next 12 s (start-up);
    one replica carries 34 within 400 ms (s(4)=80 ms, p99): 3 replicas"."""
    if not picture.loads:
        return conclusion
    demand = (
        f"{rate(picture.rate)} req/s now, up to {rate(picture.bound_rps)} "
        f"in the next {picture.horizon_s:.0f} s (start-up)"
    )
    due = picture.prepares_for
    if due is not None:
        conclusion += f", for the rise that came at {time_of_day(due.week_s)} on other days"
    extra = f", {picture.strain - 1:.0%} more for measured lateness" if picture.strain > 1 else ""
    return f"{demand}; {_carries(picture)}{extra}: {conclusion}"


def _carries(picture: Picture) -> str:
    policy = picture.policy
    objective = f"within {duration(policy.target_s)}"
    if len(picture.loads) == 1:
        load = picture.loads[0]
        if picture.mixed is not None:
            return _carry(picture, picture.mixed.follows, objective)
        return (
            f"one replica carries {rate(picture.capacity_rps or 0)} {objective} "
            f"(s({load.largest_batch})={duration(load.service_s)}, p{policy.percentile:g})"
        )
    busiest = sorted(picture.loads, key=lambda load: -load.busy)
    shares = ", ".join(f"{load.model} {load.busy:.1f}" for load in busiest[:_MAX_NAMED])
    more = ", …" if len(busiest) > _MAX_NAMED else ""
    return f"replicas kept busy {objective} (p{policy.percentile:g}) by model: {shares}{more}"


def _carry(picture: Picture, follows: float, objective: str) -> str:
    """Of replicas that are not alike: "one replica carries 25 on average within 400 ms (one on
    l40s 34, one on l4 17, p99)"."""
    groups = picture.group_rps
    ranked = sorted(groups, key=lambda group: -groups[group])[:_MAX_NAMED]
    each = ", ".join(f"one on {group or '?'} {rate(groups[group])}" for group in ranked)
    binds = "; each gets the same share, so the slowest binds" if follows < _FOLLOWS else ""
    return (
        f"one replica carries {rate(picture.capacity_rps or 0)} on average {objective} "
        f"({each}, p{picture.policy.percentile:g}{binds})"
    )


def rate(rps: float) -> str:
    """Requests/s with as many digits as mean something."""
    return f"{rps:.0f}" if rps >= 9.95 else f"{rps:.1f}"


def duration(seconds: float) -> str:
    """``80 ms`` or ``1.5 s``."""
    if seconds >= 1:
        return f"{seconds:.3g} s"
    milliseconds = seconds * 1e3
    return f"{milliseconds:.0f} ms" if milliseconds >= 9.95 else f"{milliseconds:.2g} ms"


def time_of_day(week_s: float) -> str:
    """``09:00 UTC``."""
    minutes = int(week_s // 60) % (24 * 60)
    return f"{minutes // 60:02}:{minutes % 60:02} UTC"


def replicas(count: int) -> str:
    return f"{count} replica{'s' if count != 1 else ''}"


def nothing_ready(held: int) -> str:
    return f"no replica is ready yet: holding {held}"


def first_look(policy: ScalingPolicy, observation: ScalingObservation, held: int) -> str:
    told = {model for sample in observation.samples for model in sample.models}
    if policy.models and told and told.isdisjoint(policy.models):
        named = ", ".join(sorted(told)[:_MAX_NAMED])
        return f"replicas tell of {named}, not of {policy.models[0]}: holding {held}"
    return f"one look is not a rate, nor are two that are far apart: holding {held} until the next"


def no_metrics(silent: int, observation: ScalingObservation, held: int) -> str:
    errors = [sample.error for sample in observation.samples if sample.error]
    # Whoever drives the scaler himself may look seldom and not know that it matters.
    old = [s for s in observation.samples if observation.now_s - s.at_s > s.fresh_s]
    if old and not errors:
        age_s = observation.now_s - old[0].at_s
        errors = [f"a look of {age_s:.0f} s ago counts for {old[0].fresh_s:.0f} s"]
    cause = f" ({errors[0]})" if errors else ""
    return (
        f"{silent} of {observation.ready} ready replicas gave no usable metrics{cause}: "
        f"holding {held}"
    )


def learning(models: Sequence[str], held: int) -> str:
    named = ", ".join(models[:_MAX_NAMED])
    return f"too few requests yet to know the service time of {named}: holding {held}"


def unreachable(policy: ScalingPolicy, loads: Sequence[Load]) -> str:
    load = loads[0]
    return (
        f"{load.model} misses {duration(policy.target_s)} (p{policy.percentile:g}) even when it is "
        f"hardly used; sized for 80 % of its {rate(load.capacity.throughput)} req/s per replica; "
        f"raise objectives.latency.target, lower maxBatchSize or use a faster accelerator"
    )


def at_maximum(wanted: int, most: int) -> str:
    return f"{replicas(wanted)} needed, scaling.maxReplicas is {most}"


def at_minimum(wanted: int, least: int) -> str:
    return f"{replicas(wanted)} would do, {least} is the minimum"


def no_room(wanted: int, possible: int) -> str:
    return f"{replicas(wanted)} needed, free accelerators for {possible}"


def no_traffic(current: int) -> str:
    return f"no requests arrive: {replicas(current)}"


def missed(current: int, latency_s: float, policy: ScalingPolicy) -> str:
    return (
        f"{replicas(current)} should do, but p{policy.percentile:g} of the last minute is "
        f"{duration(latency_s)} on most of them"
    )


def up(current: int, now: int, wanted: int) -> str:
    goal = f" on the way to {wanted}" if wanted > now else ""
    return f"{replicas(now)}{goal} (was {current})"


def down(current: int, now: int) -> str:
    return f"{replicas(now)} (was {current})"


def holding(wanted: int, current: int, why_not: str) -> str:
    return f"{replicas(wanted)} would do, holding {current}{': ' if why_not else ''}{why_not}"


def was_higher(wanted: int, hold_s: float) -> str:
    return f"{replicas(wanted)} could be needed within the last {hold_s:.0f} s"


def silent(count: int, ready: int) -> str:
    return f"{count} of {ready} ready replicas gave no metrics"


def watching(watched_s: float, hold_s: float) -> str:
    return f"watching for {watched_s:.0f} of {hold_s:.0f} s"


def quiet(quiet_s: float, enough_s: float) -> str:
    return f"no requests for {quiet_s:.0f} s: silence is believed after {enough_s:.0f} s"


def unanswered() -> str:
    return "requests wait, and none was counted as answered lately"


def pausing(pause_s: float) -> str:
    return f"one step down every {pause_s:.0f} s"
