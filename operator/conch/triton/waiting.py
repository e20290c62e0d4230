"""What of a model's times a client waits for, where that is not the model's own request time.

An **ensemble** is no work of its own: its counters and its "batches" are the sums of its members',
which have series too, and its queue is always empty. So its members stand for it, each with the
client's latency, and with what a client spends in the others. Measured on 24.10: the ensemble's
request and compute times are its members' added up, its batches all count as one request.

A model that **streams** is waited for until its first response. Pure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from conch.triton.arguments import quantile
from conch.triton.sample import Histogram, ModelCounters

Ensembles = Mapping[str, tuple[str, ...]]

_STREAMS: Final = 0.05  # of the request's time: less after the first response is no stream
_MEMORY_S: Final = 30.0  # as long as Triton's own quantiles look back, on average
_FEWEST: Final = 1.0


def fold(counters: Mapping[str, ModelCounters], ensembles: Ensembles) -> dict[str, ModelCounters]:
    """The counters without those of ensembles, whose members carry what their clients wait for."""
    found = {name: c for name, c in counters.items() if not ensembles.get(name)}
    for name, whole in counters.items():
        called = _leaves(name, ensembles) & found.keys() if ensembles.get(name) else frozenset()
        compute_s = {m: _mean_compute_s(found[m]) for m in called}
        for member in sorted(called):
            mine = found[member]
            # Side by side or one after another: what the ensemble takes longer tells.
            others_s = min(
                sum(compute_s.values()) - compute_s[member],
                _mean_request_s(whole) - _mean_request_s(mine),
            )
            found[member] = replace(
                mine,
                latency_s=_larger(mine.latency_s, whole.latency_s),
                beside_s=max(mine.beside_s, others_s),
            )
    return found


def _leaves(name: str, ensembles: Ensembles, depth: int = 0) -> frozenset[str]:
    """The models at the bottom of an ensemble; Triton refuses circles, we only don't hang."""
    called = ensembles.get(name)
    if not called or depth > len(ensembles):
        return frozenset((name,))
    return frozenset().union(*(_leaves(member, ensembles, depth + 1) for member in called))


def _mean_request_s(counters: ModelCounters) -> float:
    return counters.request_s / counters.success if counters.success else 0.0


def _mean_compute_s(counters: ModelCounters) -> float:
    if not counters.success:
        return 0.0
    return max(0.0, counters.request_s - counters.queue_s) / counters.success


def _larger(one: float | None, other: float | None) -> float | None:
    return max((x for x in (one, other) if x is not None), default=None)


def streamed(
    before: ModelCounters | None,
    after: ModelCounters,
    elapsed_s: float,
    tail_s: float,
    percentile: float,
) -> ModelCounters:
    """``after`` as clients of a stream see it; as it is when the model does not stream.

    ``tail_s`` is the mean time after the first response, from the statistics; the histogram, where
    there is one, knows it too, and the first response's latency. It is remembered fading, since
    one look has too few requests for a high percentile.
    """
    first = after.first_response
    if first is not None and first.counts[-1] >= _FEWEST:
        tail_s = max(tail_s, _mean_request_s(after) - first.sum_s / first.counts[-1])
    if tail_s <= _STREAMS * _mean_request_s(after):
        return after
    if first is None:
        latency_s = None if after.latency_s is None else max(0.0, after.latency_s - tail_s)
        request_s = max(0.0, after.request_s - tail_s * after.success)
        return replace(after, latency_s=latency_s, request_s=request_s, beside_s=-tail_s)
    recent = _recent(before, first, elapsed_s)
    return replace(
        after,
        latency_s=_at(recent, quantile(percentile)),
        request_s=first.sum_s,
        recent=recent,
        beside_s=-tail_s,
    )


def _recent(before: ModelCounters | None, first: Histogram, elapsed_s: float) -> Histogram:
    if (
        before is None
        or before.first_response is None
        or before.first_response.bounds_s != first.bounds_s
        or any(a < b for a, b in zip(first.counts, before.first_response.counts, strict=True))
    ):
        return first
    past = before.recent or before.first_response
    keep = math.exp(-max(0.0, elapsed_s) / _MEMORY_S)
    old = before.first_response.counts
    return Histogram(
        first.bounds_s,
        tuple(
            keep * p + (new - o) for p, new, o in zip(past.counts, first.counts, old, strict=True)
        ),
        0.0,
    )


def _at(histogram: Histogram, wanted: float) -> float | None:
    """The quantile, evenly spread within its bucket; the last finite bound when it is beyond."""
    total = histogram.counts[-1]
    if total < _FEWEST:
        return None
    rank, low_s, below = wanted * total, 0.0, 0.0
    for bound_s, count in zip(histogram.bounds_s, histogram.counts, strict=True):
        if count >= rank and count > below:
            if math.isinf(bound_s):
                break
            low_s = max(0.0, low_s)
            return low_s + (bound_s - low_s) * (rank - below) / (count - below)
        low_s, below = bound_s, count
    return max(0.0, low_s)
