"""All figures, in the order they are measured: neighbours share a cluster."""

from __future__ import annotations

from e2e.bench.arrivals import CR_TO_DEPLOYMENT
from e2e.bench.crash.figure import CRASH_POINTS
from e2e.bench.figure import Figure
from e2e.bench.hundred import READY_100, WRITES
from e2e.bench.real_kill import KILL
from e2e.bench.real_rollout import ROLLOUT
from e2e.bench.real_share import IN_TARGET
from e2e.bench.real_step import LOAD_STEP
from e2e.bench.steady import IDLE_WRITES, RSS

FIGURES: tuple[Figure, ...] = (
    CR_TO_DEPLOYMENT,
    READY_100,
    WRITES,
    IDLE_WRITES,
    RSS,
    CRASH_POINTS,
    LOAD_STEP,
    IN_TARGET,
    ROLLOUT,
    KILL,
)
