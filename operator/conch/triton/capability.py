"""Which GPUs, which drivers and which CUDA a Triton release is built for.

Of drivers only what is certain: a branch older than any that a release's notes name. Which of the
newer ones do depends on the GPU (data centre GPUs have compatibility packages), and the notes
contradict each other since 26.x. A TritonRuntime may override both, for images built from source
and for those who know better. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from conch.api import v1alpha1
from conch.triton.arguments import Release, parse_release

ComputeCapability = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Support:
    """What a release is built for; ``cuda`` is the toolkit's major version.

    ``min_driver`` is a branch of NVIDIA's driver (535.104.05: 535).
    """

    min_compute_capability: ComputeCapability
    cuda: int
    min_driver: int


# Newest first: (first release it holds for, support). Source: NVIDIA release notes 23.05, 24.10
# (CUDA 12, capability 6.0) and 25.08 (CUDA 13, V100 and P series dropped), still so in 26.07.
# Drivers: the notes of 23.05 and 23.08 name R450 as the oldest, those of 24.03 to 24.10 R470; later
# ones still print that list although they ask for 575.
_SUPPORT: Final[tuple[tuple[Release, Support], ...]] = (
    ((25, 8), Support((7, 5), 13, 470)),
    ((24, 3), Support((6, 0), 12, 470)),
    ((0, 0), Support((6, 0), 12, 450)),
)


def support(
    release: str, min_compute_capability: str | None = None, min_driver: int | None = None
) -> Support:
    """What ``release`` supports; the others (``"7.5"``, ``535``) override the table.

    Raises ValueError when one cannot be read.
    """
    version = parse_release(release)
    known = next(entry for since, entry in _SUPPORT if version >= since)
    if min_compute_capability is not None:
        oldest = parse_compute_capability(min_compute_capability)
        known = replace(known, min_compute_capability=oldest)
    return known if min_driver is None else replace(known, min_driver=min_driver)


def support_of(runtime: v1alpha1.TritonRuntimeSpec) -> Support:
    """What a runtime's image runs on: as it says, else as its release does."""
    return support(runtime.release, runtime.min_compute_capability, runtime.min_driver)


def parse_compute_capability(text: str) -> ComputeCapability:
    """``"8.9"`` as ``(8, 9)``. Raises ValueError."""
    major, _, minor = text.partition(".")
    if not (major.isdecimal() and minor.isdecimal()):
        raise ValueError(f"not a compute capability: {text!r}; write it like 7.5")
    return int(major), int(minor)
