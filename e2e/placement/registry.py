"""All figures of placement: those without a cluster first."""

from __future__ import annotations

from e2e.bench.figure import Figure
from e2e.placement import cost
from e2e.placement.churn import PENDING
from e2e.placement.holding import EVENT, MEMORY
from e2e.placement.optimal import GREEDY_MEAN, GREEDY_WORST, OPTIMAL
from e2e.placement.planning import FULL, GAP, INCREMENTAL
from e2e.placement.spot import SPOT

FIGURES: tuple[Figure, ...] = (
    OPTIMAL,
    GREEDY_WORST,
    GREEDY_MEAN,
    FULL,
    INCREMENTAL,
    GAP,
    *cost.FIGURES,
    MEMORY,
    EVENT,
    SPOT,
    PENDING,
)
