"""Which GPUs and which CUDA a Triton release is built for.

Decides nothing about drivers: the release notes' driver lists contradict each other since 26.x.
A TritonRuntime may override the capability, for images built from source. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from conch.triton.arguments import Release, parse_release

ComputeCapability = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Support:
    """What a release is built for; ``cuda`` is the toolkit's major version."""

    min_compute_capability: ComputeCapability
    cuda: int


# Newest first: (first release it holds for, support). Source: NVIDIA release notes 23.05, 24.10
# (CUDA 12, capability 6.0) and 25.08 (CUDA 13, V100 and P series dropped), still so in 26.07.
_SUPPORT: Final[tuple[tuple[Release, Support], ...]] = (
    ((25, 8), Support((7, 5), 13)),
    ((0, 0), Support((6, 0), 12)),
)


def support(release: str, min_compute_capability: str | None = None) -> Support:
    """What ``release`` supports; ``min_compute_capability`` (``"7.5"``) overrides the table.

    Raises ValueError when either cannot be read.
    """
    version = parse_release(release)
    known = next(entry for since, entry in _SUPPORT if version >= since)
    if min_compute_capability is None:
        return known
    return Support(parse_compute_capability(min_compute_capability), known.cuda)


def parse_compute_capability(text: str) -> ComputeCapability:
    """``"8.9"`` as ``(8, 9)``. Raises ValueError."""
    major, _, minor = text.partition(".")
    if not (major.isdecimal() and minor.isdecimal()):
        raise ValueError(f"not a compute capability: {text!r}; write it like 7.5")
    return int(major), int(minor)
