"""What meters that Prometheus scrapes say of pods: DCGM per GPU, Kepler per pod.

Reads two exporters as they are installed by default and gives watts, and memory in use; whose they
are on a shared GPU is for others to say. DCGM's numbers of MIG instances are the whole board's and
are left out. Of Kepler's RAPL zones only `package` is read: zones overlap.

https://github.com/NVIDIA/dcgm-exporter, https://sustainable-computing.io/kepler/
"""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

Vector = Sequence[tuple[Mapping[str, str], float]]
"""An instant query's answer: labels and value of each series."""
Ask = Callable[[str], Awaitable[Vector]]

PodName = tuple[str, str]
"""Namespace and name."""

# Prometheus renames the labels of what it scrapes where they collide with its own.
_DCGM: Final = (
    "max by (exported_namespace, exported_pod, namespace, pod, UUID)"
    ' (DCGM_FI_DEV_POWER_USAGE{GPU_I_ID=""})'
)
_DCGM_MEMORY: Final = (
    "max by (exported_namespace, exported_pod, namespace, pod, UUID)"
    ' (DCGM_FI_DEV_FB_USED{GPU_I_ID=""})'
)
_KEPLER_GPU: Final = "sum by (pod_namespace, pod_name) (kepler_pod_gpu_watts)"
_KEPLER_CPU: Final = 'sum by (pod_namespace, pod_name) (kepler_pod_cpu_watts{zone="package"})'
_MOST_W: Final = 20_000.0  # of one GPU or pod; more is no reading
_MOST_MIB: Final = 1 << 22  # of one GPU


@dataclass(frozen=True, slots=True)
class Meters:
    """Watts: of each GPU a pod has (by UUID), and of pods' own shares."""

    gpus: Mapping[PodName, Mapping[str, float]] = field(default_factory=dict)
    pod_gpu_w: Mapping[PodName, float] = field(default_factory=dict)
    pod_cpu_w: Mapping[PodName, float] = field(default_factory=dict)
    # Memory in use of each GPU a pod has, by whomever.
    gpu_bytes: Mapping[PodName, Mapping[str, int]] = field(default_factory=dict)


async def read(ask: Ask) -> Meters:
    """What there is now. Raises what ``ask`` raises."""
    watts = _by_gpu(await ask(_DCGM), _MOST_W)
    memory = _by_gpu(await ask(_DCGM_MEMORY), _MOST_MIB)
    return Meters(
        watts,
        _by_pod(await ask(_KEPLER_GPU)),
        _by_pod(await ask(_KEPLER_CPU)),
        {
            pod: {uuid: int(mib * 2**20) for uuid, mib in gpus.items() if mib}
            for pod, gpus in memory.items()
        },
    )


def _by_gpu(vector: Vector, most: float) -> dict[PodName, dict[str, float]]:
    found: dict[PodName, dict[str, float]] = {}
    for labels, value in vector:
        pod = (
            labels.get("exported_namespace") or labels.get("namespace", ""),
            labels.get("exported_pod") or labels.get("pod", ""),
        )
        if all(pod) and labels.get("UUID") and _sound(value, most):
            found.setdefault(pod, {})[labels["UUID"]] = value
    return found


def _by_pod(vector: Vector) -> dict[PodName, float]:
    return {
        (labels.get("pod_namespace", ""), labels.get("pod_name", "")): watts
        for labels, watts in vector
        if _sound(watts, _MOST_W)
    }


def _sound(value: float, most: float) -> bool:
    return math.isfinite(value) and 0 <= value <= most
