"""All figures, in the order they are measured: neighbours share a cluster."""

from __future__ import annotations

from e2e.bench.arrivals import CR_TO_DEPLOYMENT
from e2e.bench.figure import Figure
from e2e.bench.hundred import READY_100, WRITES
from e2e.bench.steady import IDLE_WRITES, RSS

FIGURES: tuple[Figure, ...] = (CR_TO_DEPLOYMENT, READY_100, WRITES, IDLE_WRITES, RSS)
