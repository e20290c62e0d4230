"""When requests are due: Poisson arrivals through phases of constant rate."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

MOST_REQUESTS = 200_000
LONGEST_S = 3600.0


@dataclass(frozen=True, slots=True)
class Phase:
    """A constant rate for a while."""

    rate_per_s: float
    seconds: float


def parse(text: str) -> list[Phase]:
    """Phases from ``20x30,110x90`` (rate x seconds). Raises ValueError naming what is wrong."""
    phases = []
    for part in text.split(","):
        rate, _, seconds = part.partition("x")
        try:
            phase = Phase(float(rate), float(seconds))
        except ValueError:
            raise ValueError(f"{part!r} is not RATExSECONDS, such as 20x30") from None
        if not (phase.rate_per_s >= 0 and phase.seconds > 0):
            raise ValueError(f"{part!r}: the rate must be 0 or more and the seconds more than 0")
        phases.append(phase)
    total_s = sum(p.seconds for p in phases)
    requests = sum(p.rate_per_s * p.seconds for p in phases)
    if total_s > LONGEST_S or requests > MOST_REQUESTS:
        raise ValueError(
            f"{requests:.0f} requests in {total_s:.0f} s is more than the {MOST_REQUESTS} requests "
            f"or {LONGEST_S:.0f} s that a load may have"
        )
    return phases


def arrivals(phases: Sequence[Phase], seed: int) -> Iterator[tuple[float, int]]:
    """(seconds since the start, index of the phase) of each request, in order."""
    rng = random.Random(seed)
    start_s = 0.0
    for index, phase in enumerate(phases):
        at_s = start_s
        end_s = start_s + phase.seconds
        while phase.rate_per_s > 0:
            at_s += rng.expovariate(phase.rate_per_s)
            if at_s >= end_s:
                break
            yield at_s, index
        start_s = end_s
