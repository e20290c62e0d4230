"""What arrived at one service lately: requests per model and bin of time, for ``conch trace``.

Counts from the same looks that the scaler decides from; decides nothing. A ring: however long the
operator runs, an hour is all that is kept. Pure: times come from the caller.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from conch.triton.sample import ModelCounters, PodSample

KEPT_S: Final = 3600.0
SHORTEST_BIN_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Requests/s by model, one per ``bin_s``; the last ends at ``end_s`` on the looks' clock."""

    end_s: float
    bin_s: float
    rates: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True, slots=True)
class _Seen:
    """One model on one pod: ended requests at the last look, and the most ever seen to arrive."""

    at_s: float
    ended: float
    arrived: float


class History:
    """Looks in, rates out. Bounded by ``KEPT_S``."""

    def __init__(self, bin_s: float) -> None:
        self._bin_s = max(SHORTEST_BIN_S, bin_s)
        self._bins = math.ceil(KEPT_S / self._bin_s)
        self._counts: dict[str, array[float]] = {}
        self._pods: dict[str, dict[str, _Seen]] = {}
        self._first_s: float | None = None
        self._last_s = 0.0
        self._head = 0  # the newest bin, counted from time 0

    def look(self, samples: Iterable[PodSample], now_s: float) -> None:
        """One look at all ready pods. Without any answer it is as if it had not happened.

        No ready pod at all is an answer: nothing arrives anywhere.
        """
        looked = list(samples)
        if (looked and all(sample.error for sample in looked)) or now_s < self._last_s:
            return
        self._advance(now_s)
        pods: dict[str, dict[str, _Seen]] = {}
        for sample in looked:
            before = self._pods.get(sample.pod, {})
            if sample.error:
                pods[sample.pod] = before  # its counters go on; the next look tells the rest
            else:
                pods[sample.pod] = {
                    model: self._count(model, before.get(model), counters, sample.at_s)
                    for model, counters in sample.models.items()
                }
        self._pods = pods
        self._first_s = now_s if self._first_s is None else self._first_s
        self._last_s = now_s

    def arrivals(self) -> Arrivals | None:
        """Whole bins that were watched from end to end; None while there are none."""
        if self._first_s is None:
            return None
        # Answers of one look are up to a bin older than the look itself.
        end = math.floor(self._last_s / self._bin_s) - 1
        first = max(math.ceil(self._first_s / self._bin_s), end - self._bins + 2)
        if end <= first:
            return None
        rates = {
            model: tuple(counts[i % self._bins] / self._bin_s for i in range(first, end))
            for model, counts in self._counts.items()
        }
        return Arrivals(end * self._bin_s, self._bin_s, rates)

    def _count(
        self, model: str, before: _Seen | None, counters: ModelCounters, at_s: float
    ) -> _Seen:
        """What has arrived by now. Requests that execute are neither pending nor ended: the sum
        dips and comes back, and only what exceeds the highest so far is new."""
        ended = counters.success + counters.failure
        arrived = ended + (counters.pending or 0.0)
        if not math.isfinite(arrived):
            return before or _Seen(at_s, 0.0, math.inf)
        self._counts.setdefault(model, array("d", bytes(8 * self._bins)))
        if before is None or ended < before.ended or not math.isfinite(before.arrived):
            # New to us, or its server began anew: from here on.
            return _Seen(at_s, ended, arrived)
        if arrived > before.arrived and at_s > before.at_s:
            self._spread(model, before.at_s, at_s, arrived - before.arrived)
        return _Seen(max(at_s, before.at_s), ended, max(arrived, before.arrived))

    def _spread(self, model: str, start_s: float, end_s: float, requests: float) -> None:
        """Evenly over the time between two looks."""
        counts = self._counts[model]
        oldest_s = (self._head - self._bins + 1) * self._bin_s
        rate = requests / (end_s - start_s)
        start_s, end_s = max(start_s, oldest_s), min(end_s, (self._head + 1) * self._bin_s)
        for i in range(math.floor(start_s / self._bin_s), math.ceil(end_s / self._bin_s)):
            inside_s = min(end_s, (i + 1) * self._bin_s) - max(start_s, i * self._bin_s)
            if inside_s > 0:
                counts[i % self._bins] += rate * inside_s

    def _advance(self, now_s: float) -> None:
        """Forget the bins that come round again."""
        head = math.floor(now_s / self._bin_s)
        for i in range(max(self._head + 1, head - self._bins + 1), head + 1):
            for counts in self._counts.values():
                counts[i % self._bins] = 0.0
        self._head = max(head, self._head)
