"""Triton's own reading of GPU memory → bytes in use per GPU. Pure.

It is of the whole device, whoever uses it, and not there on MIG slices and Jetsons: whether it says
something about a server is the reader's to judge. What cannot be right is left out.
"""

from __future__ import annotations

import re
from typing import Final

_USED: Final = re.compile(
    rb'^nv_gpu_memory_used_bytes\{gpu_uuid="([^"\n]{1,128})"\} +(\S{1,32})$', re.MULTILINE
)
_MOST_BYTES: Final = 1 << 42  # 4 TiB
_MOST_GPUS: Final = 64


def read(text: bytes) -> dict[str, int]:
    """By UUID of the GPU; empty where Triton does not tell. ``text`` is what its port sent."""
    if b"nv_gpu_memory_used_bytes{" not in text:
        return {}
    found: dict[str, int] = {}
    for uuid, raw in _USED.findall(text):
        try:
            used = float(raw)
        except ValueError:
            continue
        if 0 < used <= _MOST_BYTES and len(found) < _MOST_GPUS:  # false for NaN
            found[uuid.decode("utf-8", "replace")] = int(used)
    return found
