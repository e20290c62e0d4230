"""Counters as Triton 24.10 writes them: Prometheus text and the statistics' JSON.

Names, labels, help texts and keys are those of the real server with latency summaries on; the
tests compare them with what it really sent. Values are whole, except the quantiles' `Nan`.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from e2e.fleet.counters import INPUT_US, OUTPUT_US, Counters
from e2e.fleet.load import Load

VERSION: Final = "1"
QUANTILE: Final = "0.99"
NODE_BYTES: Final = 25276502016

Models = Mapping[str, Counters]
Read = Callable[[Counters], float]


def metrics(models: Models, *, instead: str = "") -> str:
    """The text of /metrics; `instead` stands in place of every value of a model."""
    parts = []
    for text, model, read in _lines(tuple(models)):
        parts.append(text)
        if model is not None:
            number = None if instead else read(models[model])
            parts.append(instead or ("Nan" if number is None else str(int(number))))
    return "".join(parts)


Shown = Callable[[Counters], float | None]
Line = tuple[str, str | None, Shown]
"""What goes before a value, whose value it is (None: nobody's), and how it is read."""


@functools.lru_cache(maxsize=64)
def _lines(models: tuple[str, ...]) -> tuple[Line, ...]:
    """All of the text but the values: thousands of pods have the same."""
    found: list[Line] = []
    text = ""

    def series(
        name: str, labels: str, model: str, read: Callable[[Counters], float | None]
    ) -> None:
        nonlocal text
        found.append((f"{text}{name}{{{labels}}} ", model, read))
        text = "\n"

    for name, help_text, read in COUNTERS:
        text += _header(name, "gauge" if name == PENDING else "counter", help_text)
        for model in models:
            if name == FAILURE:
                for reason in REASONS:
                    labels = f'model="{model}",reason="{reason}",version="{VERSION}"'
                    series(name, labels, model, read if reason == "REJECTED" else _none)
            else:
                series(name, f'model="{model}",version="{VERSION}"', model, read)
    for name, help_text, amount in NODE_GAUGES:
        text += _header(name, "gauge", help_text) + f"{name} {amount}\n"
    for name, help_text, read in SUMMARIES:
        text += _header(name, "summary", help_text)
        for model in models:
            labels = f'model="{model}",version="{VERSION}"'
            series(f"{name}_count", labels, model, _succeeded)
            series(f"{name}_sum", labels, model, read)
            wanted = f'{labels},quantile="{QUANTILE}"'
            series(name, wanted, model, functools.partial(_quantile, name, read))
    return (*found, (text, None, _none))


def _header(name: str, kind: str, text: str) -> str:
    return f"# HELP {name} {text}\n# TYPE {name} {kind}\n"


def _none(_: Counters) -> float:
    return 0.0


def _succeeded(counters: Counters) -> float:
    return counters.succeeded


def _quantile(name: str, read: Read, counters: Counters) -> float | None:
    """The request's own; of its parts, which nobody reads, the mean. None when there was none."""
    if counters.p99_us is None or counters.succeeded < 1:
        return None
    if name == "nv_inference_request_summary_us":
        return counters.p99_us
    return read(counters) / counters.succeeded


_CACHED: Final = "(does not include cached requests)"
_WITH_CACHED: Final = "(includes cached requests)"
PENDING: Final = "nv_inference_pending_request_count"
FAILURE: Final = "nv_inference_request_failure"
REASONS: Final = ("OTHER", "BACKEND", "CANCELED", "REJECTED")

# What Triton times, as (name, help text of its counter, of its summary, how it is read).
_TIMED: tuple[tuple[str, str, str, Read], ...] = (
    (
        "request",
        f"Cumulative inference request duration in microseconds {_WITH_CACHED}",
        f"Summary of inference request duration in microseconds {_WITH_CACHED}",
        lambda c: c.request_us,
    ),
    (
        "queue",
        f"Cumulative inference queuing duration in microseconds {_WITH_CACHED}",
        f"Summary of inference queuing duration in microseconds {_WITH_CACHED}",
        lambda c: c.queue_us,
    ),
    (
        "compute_input",
        text := f"Cumulative compute input duration in microseconds {_CACHED}",
        text,
        lambda c: c.succeeded * INPUT_US,
    ),
    (
        "compute_infer",
        text := f"Cumulative compute inference duration in microseconds {_CACHED}",
        text,
        lambda c: c.infer_us,
    ),
    (
        "compute_output",
        text := f"Cumulative inference compute output duration in microseconds {_CACHED}",
        text,
        lambda c: c.succeeded * OUTPUT_US,
    ),
)
COUNTERS: tuple[tuple[str, str, Read], ...] = (
    (
        "nv_inference_request_success",
        "Number of successful inference requests, all batch sizes",
        lambda c: c.succeeded,
    ),
    (
        FAILURE,
        "Number of failed inference requests, all batch sizes",
        lambda c: c.rejected,
    ),
    (
        "nv_inference_count",
        f"Number of inferences performed {_CACHED}",
        lambda c: c.succeeded,
    ),
    (
        "nv_inference_exec_count",
        f"Number of model executions performed {_CACHED}",
        lambda c: c.executions,
    ),
    *((f"nv_inference_{what}_duration_us", text, read) for what, text, _, read in _TIMED),
    (
        PENDING,
        "Instantaneous number of pending requests awaiting execution per-model.",
        lambda c: c.pending,
    ),
)
SUMMARIES: tuple[tuple[str, str, Read], ...] = tuple(
    (f"nv_inference_{what}_summary_us", text, read) for what, _, text, read in _TIMED
)
NODE_GAUGES: tuple[tuple[str, str, float], ...] = (
    (
        "nv_pinned_memory_pool_total_bytes",
        "Pinned memory pool total memory size, in bytes",
        1 << 28,
    ),
    ("nv_pinned_memory_pool_used_bytes", "Pinned memory pool used memory size, in bytes", 0),
    ("nv_cpu_utilization", "CPU utilization rate [0.0 - 1.0]", 0.25),
    ("nv_cpu_memory_total_bytes", "CPU total memory (RAM), in bytes", NODE_BYTES),
    ("nv_cpu_memory_used_bytes", "CPU used memory (RAM), in bytes", NODE_BYTES // 4),
)


def statistics(models: Models) -> bytes:
    """The JSON of /v2/models/stats, or of one model's."""
    stats = [_model_statistics(name, counters) for name, counters in models.items()]
    return json.dumps({"model_stats": stats}, separators=(",", ":")).encode()


def _model_statistics(name: str, counters: Counters) -> dict[str, Any]:
    requests = int(counters.succeeded)

    def took(count: float, us: float) -> dict[str, int]:
        return {"count": int(count), "ns": int(us * 1e3)}

    return {
        "name": name,
        "version": VERSION,
        "last_inference": counters.last_inference_ms,
        "inference_count": requests,
        "execution_count": int(counters.executions),
        "inference_stats": {
            "success": took(requests, counters.request_us),
            "fail": took(counters.rejected, 0),
            "queue": took(requests, counters.queue_us),
            "compute_input": took(requests, requests * INPUT_US),
            "compute_infer": took(requests, counters.infer_us),
            "compute_output": took(requests, requests * OUTPUT_US),
            "cache_hit": took(0, 0),
            "cache_miss": took(0, 0),
        },
        "response_stats": {},
        "batch_stats": [
            {
                "batch_size": size,
                "compute_input": took(b.executions, b.executions * size * INPUT_US),
                "compute_infer": took(b.executions, b.infer_us),
                "compute_output": took(b.executions, b.executions * size * OUTPUT_US),
            }
            for size, b in sorted(counters.batches.items())
        ],
        "memory_usage": [],
    }


def configuration(model: str, load: Load) -> bytes:
    """The JSON of /v2/models/M/config: a Python model that batches, without a queue delay."""
    tensor = {"data_type": "TYPE_FP32", "dims": [4], "is_shape_tensor": False}
    given = {"format": "FORMAT_NONE", "allow_ragged_batch": False, "optional": False}
    odd = {"is_non_linear_format_io": False}
    pinned = {"enable": True}
    config = {
        "name": model,
        "platform": "",
        "backend": "python",
        "runtime": "",
        "version_policy": {"latest": {"num_versions": 1}},
        "max_batch_size": load.max_batch,
        "input": [{"name": "X", **tensor, **given, **odd}],
        "output": [{"name": "Y", **tensor, "label_filename": "", **odd}],
        "batch_input": [],
        "batch_output": [],
        "optimization": {
            "priority": "PRIORITY_DEFAULT",
            "input_pinned_memory": pinned,
            "output_pinned_memory": pinned,
            "gather_kernel_buffer_threshold": 0,
            "eager_batching": False,
        },
        "dynamic_batching": {
            "preferred_batch_size": [load.max_batch],
            "max_queue_delay_microseconds": 0,
            "preserve_ordering": False,
            "priority_levels": 0,
            "default_priority_level": 0,
            "priority_queue_policy": {},
        },
        "instance_group": [
            {
                "name": f"{model}_0",
                "kind": "KIND_CPU",
                "count": load.instances,
                "gpus": [],
                "secondary_devices": [],
                "profile": [],
                "passive": False,
                "host_policy": "",
            }
        ],
        "default_model_filename": "model.py",
        "cc_model_filenames": {},
        "metric_tags": {},
        "parameters": {},
        "model_warmup": [],
    }
    return json.dumps(config, separators=(",", ":")).encode()
