"""All figures of placement: those without a cluster first."""

from __future__ import annotations

from e2e.bench.figure import Figure
from e2e.placement.churn import PENDING
from e2e.placement.cost import RATIO, WORST
from e2e.placement.holding import EVENT, MEMORY
from e2e.placement.optimal import GREEDY_MEAN, GREEDY_WORST, OPTIMAL
from e2e.placement.planning import FULL, GAP, INCREMENTAL
from e2e.placement.spot import SPOT
from e2e.placement.steady import CHURN
from e2e.placement.why import RIGHT

FIGURES: tuple[Figure, ...] = (
    OPTIMAL,
    GREEDY_WORST,
    GREEDY_MEAN,
    FULL,
    INCREMENTAL,
    GAP,
    RATIO,
    WORST,
    CHURN,
    RIGHT,
    MEMORY,
    EVENT,
    SPOT,
    PENDING,
)
