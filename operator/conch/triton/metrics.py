"""Triton's Prometheus text → counters per model.

Reads only the ``nv_inference_*`` families the autoscaler uses, with one regular expression:
prometheus_client's own parser builds objects for every series and takes about ten times as long
(``tests/triton/test_metrics.py`` compares the two), and every pod is read every two seconds.
A number that cannot be right is an error that names the series, never a silent zero. Pure.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from conch.errors import TritonError
from conch.triton.arguments import quantile
from conch.triton.sample import Histogram, ModelCounters

_SUCCESS: Final = "nv_inference_request_success"
_FAILURE: Final = "nv_inference_request_failure"
_INFERENCES: Final = "nv_inference_count"
_EXECUTIONS: Final = "nv_inference_exec_count"
_REQUEST_US: Final = "nv_inference_request_duration_us"
_QUEUE_US: Final = "nv_inference_queue_duration_us"
_REQUIRED: Final = (_SUCCESS, _FAILURE, _INFERENCES, _EXECUTIONS, _REQUEST_US, _QUEUE_US)
_PENDING: Final = "nv_inference_pending_request_count"  # since 23.08
_SUMMARY_US: Final = "nv_inference_request_summary_us"  # with summary_latencies=true
# In milliseconds, with histogram_latencies=true: streaming models since 24.11, all since 26.01.
_FIRST: Final = "nv_inference_first_response_histogram_ms"
_FIRST_PARTS: Final = tuple(f"{_FIRST}_{part}" for part in ("bucket", "sum"))
_COMPUTE_US: Final = tuple(
    f"nv_inference_compute_{part}_duration_us" for part in ("input", "infer", "output")
)
FAMILIES: Final = (*_REQUIRED, _PENDING, _SUMMARY_US, *_FIRST_PARTS, *_COMPUTE_US)
"""What `from_series` uses; the text of a pod is read without the compute times."""

Series = tuple[str, Mapping[str, str], float]
"""Family, labels, value."""

# Possessive, and no class matches a newline: time stays linear in the text whatever a broken
# server sends.
_SERIES: Final = re.compile(
    rf"^({'|'.join((*_REQUIRED, _PENDING, _SUMMARY_US, *_FIRST_PARTS))})"
    r'\{((?:[^"}\n]++|"(?:[^"\\\n]|\\.)*+")*+)\} +(\S+)',
    re.MULTILINE,
)
_LABEL: Final = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


@dataclass(slots=True)
class _Sums:
    counters: dict[str, float] = field(default_factory=dict)
    latency_us: float | None = None
    rejected: float = 0.0
    first_ms: dict[float, float] = field(default_factory=dict)  # cumulative count by bound


def parse(text: str, models: Collection[str], percentile: float) -> dict[str, ModelCounters]:
    """Counters of each of ``models``, summed over versions and GPUs, without batch statistics.

    The latency is the request summary's quantile for ``percentile`` (0..100): None when Triton
    reports none (no request in the last minute, or a release before 23.04). Several versions of a
    model: the worst, since quantiles cannot be added.
    Raises TritonError when a model is not in ``text`` or a value is NaN, infinite or negative.
    """
    return from_series(_series(text), models, percentile)


def from_series(
    series: Iterable[Series], models: Collection[str], percentile: float
) -> dict[str, ModelCounters]:
    """The same from series that somebody else has read; ``compute_s`` where they have it all."""
    wanted_quantile = quantile(percentile)
    found = {model: _Sums() for model in models}
    for family, labels, value in series:
        sums = found.get(labels.get("model", ""))
        if sums is None:
            continue
        if family == _SUMMARY_US:
            # NaN here is Triton's way to say "no request in the window".
            if _is_quantile(labels, wanted_quantile) and not math.isnan(value):
                _check(family, labels, value)
                sums.latency_us = max(value, sums.latency_us or 0.0)
            continue
        _check(family, labels, value)
        if family == _FIRST_PARTS[0]:
            bound = _bound(labels)
            sums.first_ms[bound] = sums.first_ms.get(bound, 0.0) + value
            continue
        sums.counters[family] = sums.counters.get(family, 0.0) + value
        if family == _FAILURE and labels.get("reason") == "REJECTED":
            sums.rejected += value
    return {model: _counters(model, sums) for model, sums in found.items()}


def _series(text: str) -> Iterator[Series]:
    for family, raw, raw_value in _SERIES.findall(text):
        labels = _known_labels(raw) if len(raw) < _SHORT else _labels(raw)
        try:
            yield family, labels, float(raw_value)
        except ValueError as error:
            raise TritonError(f"{family} of {labels.get('model')} is {raw_value!r:.40}") from error


def _labels(raw: str) -> Mapping[str, str]:
    return dict(_LABEL.findall(raw))


# All pods of a service have the same; a server that sends others each time costs 1 MiB.
_SHORT: Final = 200
_known_labels: Final = lru_cache(maxsize=2048)(_labels)


def _is_quantile(labels: Mapping[str, str], wanted: float) -> bool:
    try:
        return abs(float(labels.get("quantile", "nan")) - wanted) < 1e-6
    except ValueError:
        return False


def _bound(labels: Mapping[str, str]) -> float:
    try:
        bound = float(labels.get("le", ""))
    except ValueError:
        bound = math.nan
    if math.isnan(bound):
        raise TritonError(f"a bucket of model {labels['model']} has no bound")
    return bound


def _first_response(sums: _Sums) -> Histogram | None:
    """None also when versions have different buckets, or a bucket holds less than a smaller one."""
    bounds = sorted(sums.first_ms)
    counts = [sums.first_ms[bound] for bound in bounds]
    sum_ms = sums.counters.get(_FIRST_PARTS[1])
    if not bounds or not math.isinf(bounds[-1]) or sum_ms is None or counts != sorted(counts):
        return None
    return Histogram(tuple(bound / 1e3 for bound in bounds), tuple(counts), sum_ms / 1e3)


def _check(family: str, labels: Mapping[str, str], value: float) -> None:
    if not math.isfinite(value) or value < 0:
        raise TritonError(f"{family} of model {labels['model']} is {value}")


def _counters(model: str, sums: _Sums) -> ModelCounters:
    missing = [family for family in _REQUIRED if family not in sums.counters]
    if missing:
        raise TritonError(f"the metrics have no {missing[0]} of model {model}")
    counters = sums.counters
    computed = all(family in counters for family in _COMPUTE_US)
    return ModelCounters(
        success=counters[_SUCCESS],
        failure=counters[_FAILURE],
        inferences=counters[_INFERENCES],
        executions=counters[_EXECUTIONS],
        request_s=counters[_REQUEST_US] / 1e6,
        queue_s=counters[_QUEUE_US] / 1e6,
        pending=counters.get(_PENDING),
        rejected=sums.rejected,
        latency_s=None if sums.latency_us is None else sums.latency_us / 1e6,
        first_response=_first_response(sums),
        compute_s=sum(counters[f] for f in _COMPUTE_US) / 1e6 if computed else None,
    )
