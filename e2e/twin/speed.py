"""twin_requests_per_s and fluid_hour_s: how fast the twin is, on one core.

Best of several, because a busy machine only ever makes it slower.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from conch.api.conditions import Reason
from conch.observe.types import Decision
from conch.twin import fluid
from conch.twin.controller import Sight
from conch.twin.service import ServiceModel
from conch.twin.traces import of_rates
from conch.twin.world import Scenario, World
from e2e.bench.figure import Context, Figure, Result

REPLICAS = 28
RATE_RPS = 1000.0
SECONDS = 1000
TURNS = 5
SETTINGS = 16


@dataclass(frozen=True, slots=True)
class Idle:
    """A scaler that looks every 15 s and keeps what there is."""

    replicas: int
    name: str = "idle"
    interval_s: float = 15.0

    def decide(self, sight: Sight) -> Decision:
        """What it always wanted."""
        return Decision(self.replicas, Reason.WITHIN_OBJECTIVE, "")


def _requests_per_s(ctx: Context) -> Result:
    scenario = Scenario(
        service=ServiceModel.linear(0.040, 0.020, 8),
        cold_start_s=40.0,
        target_s=0.5,
        max_replicas=REPLICAS,
        initial_replicas=REPLICAS,
    )
    world = World(scenario, of_rates("flat", [RATE_RPS] * SECONDS))
    world.run(Idle(REPLICAS))  # compiles
    took_s = []
    for _ in range(TURNS):
        started_s = time.perf_counter()
        result = world.run(Idle(REPLICAS))
        took_s.append(time.perf_counter() - started_s)
    return Result(
        result.requests / min(took_s),
        f"{result.requests} requests, {REPLICAS} replicas, least outstanding, looks and results "
        f"included: best of {TURNS}, {min(took_s):.2f} to {max(took_s):.2f} s",
    )


def _fluid_hour(ctx: Context) -> Result:
    rate = 150 + 60 * np.sin(np.arange(3600) / 300)
    bounds = np.outer(rate, np.linspace(0.9, 1.5, SETTINGS))
    table = np.array([0.0, 31, 70, 107, 145, 184, 225, 263, 303, 343, 383])
    plant = fluid.Plant(table, ready_after_s=44, slack_s=0.2, reject_after_s=0.26)
    took_s = []
    for _ in range(TURNS):
        started_s = time.perf_counter()
        fluid.replay(rate, fluid.held(fluid.needed(bounds, plant), [60.0] * SETTINGS), plant)
        took_s.append(time.perf_counter() - started_s)
    return Result(
        min(took_s),
        f"an hour of one service, {SETTINGS} settings, with late-reject: best of {TURNS}, "
        f"longest {max(took_s):.3f} s",
    )


FIGURES = (
    Figure(
        "twin_requests_per_s",
        "requests/s",
        1e6,
        "higher",
        "requests the twin replays in a second of one core",
        _requests_per_s,
    ),
    Figure("fluid_hour_s", "s", 0.1, "lower", "an hour of one service × 16 settings", _fluid_hour),
)
