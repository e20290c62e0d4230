"""How fast GPUs are beside each other: what to expect where a model has never run.

Two figures bound what a model gains from another GPU: how fast its memory is read, and how fast it
multiplies. The worse of the two ratios is taken, and of what is beyond 1 the half: launches, copies
and the host do not get faster. So an estimate errs towards too little; what was measured goes
before it. A GPU of which either figure was not read has no ratio. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from conch.observe.catalogue import Gpu, lookup, mig_share
from conch.observe.discovery import discover
from conch.observe.types import AcceleratorKind

SOURCES: Final = (
    "NVIDIA's data sheets as collected by winston-zhang-orz/gpu-specs (T4 to A100, L4, L40S, H100 "
    "PCIe), astroC86/gpu-datasheet (A40) and citsjtu2020/LLM-Prof (H100, H200, B200), read "
    "2026-11-23; A10G: baseten.co, NVIDIA A10 vs A10G; A30: NVIDIA's product page as quoted by two "
    "collections."
)


@dataclass(frozen=True, slots=True)
class Speed:
    """Peak figures of one GPU."""

    memory_gb_per_s: float
    dense_fp16_tflops: float


SPEEDS: Final[Mapping[str, Speed]] = MappingProxyType(
    {
        "p100": Speed(732, 18.7),
        "v100": Speed(900, 125),
        "v100-32gb": Speed(900, 125),
        "t4": Speed(300, 65),
        "a10": Speed(600, 125),
        "a10g": Speed(600, 70),
        "a30": Speed(933, 165),
        "a40": Speed(696, 149.7),
        "a100": Speed(1555, 312),
        "a100-pcie": Speed(1555, 312),
        "a100-80gb": Speed(2039, 312),
        "a100-80gb-pcie": Speed(1935, 312),
        "l4": Speed(300, 121),
        "l40s": Speed(864, 362),
        "h100": Speed(3350, 989),
        "h100-pcie": Speed(2048, 756),
        "h200": Speed(4800, 989),
        "b200": Speed(8000, 2250),
    }
)
"""By name in the catalogue."""

_GAIN: Final = 0.5  # of what is beyond 1, how much to count on


def relative(known: AcceleratorKind, other: AcceleratorKind) -> float | None:
    """How many times as fast as a unit of ``known`` one of ``other`` is; None: nothing tells.

    2.0: batches take half the time. MIG instances have their part of a GPU; those who share one by
    turns count as if all were busy.
    """
    one, two = _unit(known), _unit(other)
    if one is None or two is None:
        return None
    ratio = min(
        two.memory_gb_per_s / one.memory_gb_per_s, two.dense_fp16_tflops / one.dense_fp16_tflops
    )
    return ratio if ratio <= 1 else 1 + _GAIN * (ratio - 1)


def _unit(kind: AcceleratorKind) -> Speed | None:
    gpu = _product(kind)
    whole = SPEEDS.get(gpu.name) if gpu is not None else None
    if gpu is None or whole is None:
        return None
    part: float | None = 1.0
    if kind.mig_profile:
        part = mig_share(kind.mig_profile, gpu.memory_mib.value)
    if part is None:
        return None
    part /= max(1, kind.shared_by)
    return Speed(whole.memory_gb_per_s * part, whole.dense_fp16_tflops * part)


def _product(kind: AcceleratorKind) -> Gpu | None:
    """A declared class may have any name: what its selector names counts."""
    shown = next((found.kind.name for found in discover(kind.node_selector, {})), kind.name)
    return lookup(shown)
