"""What a look at the simulated service shows: of the scrapes, the newest that it can know.

Decides what is lost on the way, and what a rule reads off two scrapes; ``world`` decides when one
is taken and when somebody looks.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from conch.observe.types import PodSample
from conch.twin import metrics
from conch.twin.kernel import Fleet
from conch.twin.scenario import Scenario


@dataclass(frozen=True, slots=True)
class Readings:
    """One look: samples for Conch's scaler, the rest for other rules (``controller.Sight``)."""

    samples: tuple[PodSample, ...]
    in_flight: tuple[float, ...]
    busy: tuple[float, ...]
    latencies_s: tuple[float, ...]


class Scrapes:
    """Those of one run that are not outdated yet."""

    def __init__(self, fleet: Fleet, scenario: Scenario, random: np.random.Generator) -> None:
        self._fleet = fleet
        self._scenario = scenario
        self._random = random
        self._taken: list[metrics.Snapshot] = [metrics.Snapshot(-math.inf)]
        self._seen = self._taken[0]

    def take(self, ready: Sequence[tuple[str, int, str]], now_s: float) -> None:
        """Read the counters of every ready pod, given as uid, slot and group."""
        self._taken.append(metrics.snapshot(self._fleet, ready, now_s, self._scenario.percentile))

    def look(self, ready: Iterable[str], at_s: float) -> Readings:
        """What is known of the pods that are ready (uids), from the scrape of ``at_s``."""
        while len(self._taken) > 1 and self._taken[1].at_s <= at_s + 1e-6:
            del self._taken[0]
        shown, before = self._taken[0], self._seen
        samples: list[PodSample] = []
        in_flight: list[float] = []
        busy: list[float] = []
        elapsed_s = shown.at_s - before.at_s
        for uid in ready:
            sample = shown.samples.get(uid)
            if sample is None:
                continue
            if self._scenario.loss > 0 and self._random.random() < self._scenario.loss:
                samples.append(replace(sample, models={}, error="no answer in time"))
                continue
            samples.append(sample)
            if math.isfinite(elapsed_s) and elapsed_s > 0 and uid in before.in_flight_s:
                grown = shown.in_flight_s[uid] - before.in_flight_s[uid]
                in_flight.append(max(0.0, grown / elapsed_s))
                grown = shown.busy_s[uid] - before.busy_s[uid]
                busy.append(min(1.0, max(0.0, grown / elapsed_s)))
        self._seen = shown
        latencies = shown.latencies_s if shown is not before else ()
        return Readings(tuple(samples), tuple(in_flight), tuple(busy), latencies)
