"""Triton's own power meters → watts and joules per GPU. Pure.

Only whole NVIDIA GPUs have them (not MIG, not JetPack), per device and not per pod. Nothing depends
on them but energy figures, so what cannot be right is left out and never an error.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final

_FAMILIES: Final = {"nv_gpu_power_usage": "power_w", "nv_energy_consumption": "energy_j"}
_SERIES: Final = re.compile(
    rf'^({"|".join(_FAMILIES)})\{{gpu_uuid="([^"\n]{{1,128}})"\}} +(\S+)'.encode(), re.MULTILINE
)
_MOST_W: Final = 20_000.0
_MOST_GPUS: Final = 64


@dataclass(frozen=True, slots=True)
class GpuPower:
    """One GPU as a server sees it. ``energy_j`` counts since the server started; 0: no counter."""

    power_w: float | None = None
    energy_j: float = 0.0


def read(text: bytes) -> dict[str, GpuPower]:
    """By UUID of the GPU; empty where Triton has no meter. ``text`` is what its metrics port sent.

    Bytes, since a pod without a GPU is the cheap case: nothing is decoded for it.
    """
    if b"nv_gpu_power_usage{" not in text:
        return {}
    found: dict[str, dict[str, float]] = {}
    for series in _SERIES.findall(text):
        family, uuid, raw = (part.decode("utf-8", "replace") for part in series)
        try:
            value = float(raw)
        except ValueError:
            continue
        sound = math.isfinite(value) and value >= 0
        if not sound or (family == "nv_gpu_power_usage" and value > _MOST_W):
            continue
        if uuid in found or len(found) < _MOST_GPUS:
            found.setdefault(uuid, {})[_FAMILIES[family]] = value
    return {uuid: GpuPower(**values) for uuid, values in found.items()}
