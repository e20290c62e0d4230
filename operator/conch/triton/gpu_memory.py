"""Triton's own reading of GPU memory → bytes in use per GPU, wherever it was scraped. Pure.

It is of the whole device, whoever uses it, and not there on MIG slices and Jetsons: whether it says
something about a server is the reader's to judge. What cannot be right is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Final

FAMILY: Final = "nv_gpu_memory_used_bytes"
_USED: Final = re.compile(
    rb'^nv_gpu_memory_used_bytes\{gpu_uuid="([^"\n]{1,128})"\} +(\S{1,32})$', re.MULTILINE
)
_MOST_BYTES: Final = 1 << 42  # 4 TiB
_MOST_GPUS: Final = 64


def read(text: bytes) -> dict[str, int]:
    """By UUID of the GPU; empty where Triton does not tell. ``text`` is what its port sent."""
    if b"nv_gpu_memory_used_bytes{" not in text:
        return {}
    found: list[tuple[str, float]] = []
    for uuid, raw in _USED.findall(text):
        try:
            found.append((uuid.decode("utf-8", "replace"), float(raw)))
        except ValueError:
            continue
    return _sound(found)


def from_series(series: Iterable[tuple[str, Mapping[str, str], float]]) -> dict[str, int]:
    """The same from series that somebody else has read: family, labels, value."""
    return _sound(
        (labels.get("gpu_uuid", ""), value) for family, labels, value in series if family == FAMILY
    )


def _sound(readings: Iterable[tuple[str, float]]) -> dict[str, int]:
    found: dict[str, int] = {}
    for uuid, used in readings:
        if uuid and 0 < used <= _MOST_BYTES and len(found) < _MOST_GPUS:  # false for NaN
            found[uuid] = int(used)
    return found
