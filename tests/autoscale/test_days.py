"""Days that resemble each other, in the twin: a rise at nine is met as if known; and what is not.

Days are cut to the hour around the rise, so that three of them are simulated in seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from conch.autoscale import season
from conch.autoscale.explain import time_of_day
from conch.observe.types import Decision
from conch.twin import synthetic
from conch.twin.controller import Sight
from conch.twin.metrics import MODEL
from conch.twin.result import Result
from conch.twin.rules.conch import conch
from conch.twin.rules.setting import Setting
from conch.twin.scenario import Scenario
from conch.twin.service import ServiceModel
from conch.twin.traces import Trace, of_rates
from conch.twin.world import World

from .worlds import World as Looked
from .worlds import counters

FROM_S, LENGTH_S, NINE_S, DAY_S = 8.4 * 3600, 4500, 9 * 3600, 86400.0
SERVICE = ServiceModel((0.04, 0.05, 0.06, 0.07))


@dataclass
class Days:
    """Conch, told that the trace's hours are those of days; or nothing of days at all."""

    scenario: Scenario
    late_reject: bool
    knows: bool = True
    name: str = "days"
    interval_s: float = 5.0
    decisions: list[Decision] = field(default_factory=list)

    def __post_init__(self) -> None:
        setting = Setting.of(self.scenario, 50.0)
        self.inner = conch(setting, late_reject=self.late_reject, model=MODEL)

    def decide(self, sight: Sight) -> Decision:
        day, at_s = divmod(sight.observation.now_s, LENGTH_S)
        week_s = day * DAY_S + FROM_S + at_s if self.knows else None
        seen = replace(sight.observation, time_of_week_s=week_s)
        self.decisions.append(self.inner.decide(replace(sight, observation=seen)))
        return self.decisions[-1]


def days(*ratios: float, low: float = 60.0) -> Trace:
    """A day for each ratio: so many times the rate from nine o'clock, in half a minute, for half an
    hour."""
    since_s = np.arange(LENGTH_S) + 0.5 + FROM_S - NINE_S
    up = np.clip(since_s / 30, 0, 1) * (since_s < 1800)
    return of_rates("days", np.concatenate([low * (1 + (ratio - 1) * up) for ratio in ratios]))


def played(trace: Trace, cold_start_s: float, late_reject: bool, knows: bool = True) -> Result:
    scenario = Scenario(SERVICE, cold_start_s, 0.3, 40, initial_replicas=3)
    return World(scenario, trace).run(Days(scenario, late_reject, knows))


def late(result: Result, day: int) -> float:
    """Share of a day's requests, in percent."""
    seconds = slice(day * LENGTH_S, (day + 1) * LENGTH_S)
    found = result.timeline
    return float(100 * found.late[seconds].sum() / found.arrivals[seconds].sum())


def hours(result: Result, day: int) -> float:
    """Replica-hours asked for on a day."""
    seconds = slice(day * LENGTH_S, (day + 1) * LENGTH_S)
    return float(result.timeline.wanted[seconds].sum() / 3600)


@pytest.mark.simulation
@pytest.mark.parametrize(
    ("cold_start_s", "late_reject"), [(40.0, True), (120.0, True), (120.0, False)]
)
def test_a_rise_at_the_same_hour_is_late_once(cold_start_s: float, late_reject: bool) -> None:
    found = played(days(5, 5, 5), cold_start_s, late_reject)
    assert late(found, 0) > 0.5
    assert max(late(found, 1), late(found, 2)) < 0.15
    # What it costs to be ready is about what is spent to make up for it, by who doesn't know.
    unaware = played(days(5, 5, 5), cold_start_s, late_reject, knows=False)
    assert all(hours(found, day) < 1.08 * hours(unaware, day) for day in (1, 2))
    assert min(late(unaware, 1), late(unaware, 2)) > 3 * max(late(found, 1), late(found, 2))


@pytest.mark.simulation
def test_a_day_without_the_rise_costs_one_look_ahead() -> None:
    known, unknown = (played(days(5, 5, 1), 120, True, knows) for knows in (True, False))
    # Eight more replicas at most, for the look ahead, the slot and its grace, a step down a third.
    ahead_s = 1.5 * 120 + 30 + season.SLOT_S + 60 + 60
    assert 0 < hours(known, 2) - hours(unknown, 2) < 8 * ahead_s / 3600


@pytest.mark.simulation
@pytest.mark.parametrize(("shape", "late_reject"), [("noise", True), ("onoff", False)])
def test_on_its_first_day_a_trace_has_the_same_decisions(shape: str, late_reject: bool) -> None:
    """Whatever its shape: nothing is known of other days."""
    scenario = Scenario(SERVICE, 40.0, 0.3, 40, initial_replicas=3)
    trace = synthetic.SHAPES[shape](200.0, 3600, 1)
    told, untold = Days(scenario, late_reject), Days(scenario, late_reject, knows=False)
    World(scenario, trace).run(told)
    World(scenario, trace).run(untold)
    assert told.decisions == untold.decisions


def test_a_decision_that_rests_on_other_days_says_so() -> None:
    begins_s = 269 * season.SLOT_S
    usual = bytes([60] * 270 + [100] * 450)
    world = Looked()
    world.serve(10, 60)
    known = season.Season(slot=269, recent=bytes([60] * 10)).with_days((usual,), ())
    world.state = replace(world.state, season=known)
    calm = world.serve(10, 10)
    world.pods = {pod: counters(before.success + 20) for pod, before in world.pods.items()}
    told = world.look(time_of_week_s=begins_s + 100)
    assert told.bound_rps is not None
    assert calm.bound_rps is not None
    assert told.bound_rps > 3 * calm.bound_rps
    assert told.replicas > calm.replicas
    assert told.message.endswith("for the rise that came at 09:00 UTC on other days")
    assert "other days" not in calm.message


@pytest.mark.parametrize("week_s", [None, float("nan"), float("inf"), -1.0, 1e12])
def test_a_time_that_cannot_be_is_survived(week_s: float | None) -> None:
    world = Looked()
    world.serve(30, 60)
    before = world.look()
    assert world.look(time_of_week_s=week_s).reason is before.reason


def test_what_was_learned_of_days_outlives_a_jump_of_the_clock() -> None:
    world = Looked()
    world.serve(30, 60)
    known = season.Season().with_days((bytes([60] * season.PER_DAY),), ())
    world.state = replace(world.state, season=known)
    world.now_s += 1e6
    world.look()
    assert world.state.season == known


def test_times_of_day() -> None:
    assert time_of_day(0) == "00:00 UTC"
    assert time_of_day(3 * DAY_S + NINE_S + 119) == "09:01 UTC"
