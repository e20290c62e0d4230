"""What can be wrong with what a scaler is told: put between the truth and the scaler.

Each takes an observation and gives the one that is seen instead.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from conch.observe.types import ModelCounters, PodSample, ScalingObservation

Fault = Callable[[ScalingObservation], ScalingObservation]


def altered(observation: ScalingObservation, **numbers: float) -> ScalingObservation:
    """Every pod's counters with these fields set."""

    def of(sample: PodSample) -> PodSample:
        found = {m: replace(c, **numbers) for m, c in sample.models.items()}  # type: ignore[arg-type]
        return replace(sample, models=found)

    return replace(observation, samples=tuple(map(of, observation.samples)))


def scaled(observation: ScalingObservation, factor: float, pods: int = 1000) -> ScalingObservation:
    """The first ``pods`` pods' counters times ``factor``."""

    def of(found: ModelCounters) -> ModelCounters:
        return replace(
            found, success=found.success * factor, executions=int(found.executions * factor)
        )

    samples = [
        replace(s, models={m: of(c) for m, c in s.models.items()}) if number < pods else s
        for number, s in enumerate(observation.samples)
    ]
    return replace(observation, samples=tuple(samples))


def down(observation: ScalingObservation) -> ScalingObservation:
    return replace(observation, samples=())


def stale(observation: ScalingObservation) -> ScalingObservation:
    old = (replace(s, at_s=s.at_s - 60) for s in observation.samples)
    return replace(observation, samples=tuple(old))


def ahead(observation: ScalingObservation) -> ScalingObservation:
    early = (replace(s, at_s=s.at_s + 3600) for s in observation.samples)
    return replace(observation, samples=tuple(early))


def foreign(observation: ScalingObservation) -> ScalingObservation:
    """Another pod's answers: from uids that are never the same again."""
    others = (replace(s, pod=f"{s.pod}-{observation.now_s}") for s in observation.samples)
    return replace(observation, samples=tuple(others))


def swapped(observation: ScalingObservation) -> ScalingObservation:
    """Each pod answers with the next one's counters, at every look those of another."""
    found = observation.samples
    turn = int(observation.now_s / 5) % max(1, len(found))
    others = (*found[turn:], *found[:turn])
    told = (replace(s, models=o.models) for s, o in zip(found, others, strict=True))
    return replace(observation, samples=tuple(told))


def skewed(observation: ScalingObservation, jump_s: float) -> ScalingObservation:
    """The whole clock is off."""
    samples = tuple(replace(s, at_s=s.at_s + jump_s) for s in observation.samples)
    return replace(observation, now_s=observation.now_s + jump_s, samples=samples)


class Frozen:
    """Counters stand still from the first look on, and look fresh."""

    def __init__(self) -> None:
        self._last: dict[str, PodSample] = {}

    def __call__(self, observation: ScalingObservation) -> ScalingObservation:
        samples = tuple(
            replace(self._last.setdefault(s.pod, s), at_s=s.at_s) for s in observation.samples
        )
        return replace(observation, samples=samples)


SAYING_NOTHING: list[tuple[str, Fault]] = [
    ("down", down),
    ("stale", stale),
    ("from the future", ahead),
    ("not a number", lambda o: altered(o, success=math.nan)),
    ("infinite", lambda o: altered(o, success=math.inf)),
    ("negative", lambda o: altered(o, success=-5.0)),
    ("one field is not a number", lambda o: altered(o, queue_s=math.nan)),
]
MISLEADING: list[tuple[str, Fault]] = [
    ("reset", lambda o: altered(o, success=0.0, executions=0.0) if o.now_s % 60 < 2 else o),
    ("foreign", foreign),
    ("swapped", swapped),
    ("one pod lies tenfold", lambda o: scaled(o, 10.0, pods=1)),
    ("one pod lies to a tenth", lambda o: scaled(o, 0.1, pods=1)),
]
