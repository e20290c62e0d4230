"""Whatever the metrics, the clock or the pods do: within the limits, calm, and right again after.

A closed loop without queues: every ready pod answers its share, as long as it can. Each fault is
put between the truth and the scaler.
"""

import math
import random
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conch.autoscale import ScalerState, step
from conch.observe.types import Decision, PodSample, ScalingObservation

from .faults import MISLEADING, SAYING_NOTHING, Fault, Frozen, altered, scaled
from .worlds import MODEL, POLICY, counters

pytestmark = pytest.mark.simulation

FULL_RPS = 50.0  # what a pod can answer


@dataclass
class Loop:
    """Pods that share ``rate`` evenly; looked at every ``look_s``."""

    rate: float = 120.0
    look_s: float = 2.0
    cold_start_s: float = 20.0
    never_ready: bool = False
    now_s: float = 0.0
    skew_s: float = 0.0  # what the scaler's clock is off by
    state: ScalerState = field(default_factory=ScalerState)
    asked_s: list[float] = field(default_factory=lambda: [-100.0] * 4)
    done: list[float] = field(default_factory=lambda: [0.0] * 64)
    replicas: list[int] = field(default_factory=list)
    decisions: list[Decision] = field(default_factory=list)
    policy = POLICY

    def look(self, fault: Fault | None) -> None:
        self.now_s += self.look_s
        cold_s = math.inf if self.never_ready else self.cold_start_s
        ready = [a for a in self.asked_s if a < 0 or self.now_s - a >= cold_s]
        for pod in range(len(ready)):
            self.done[pod] += self.look_s * min(FULL_RPS, self.rate / len(ready))
        clock_s = self.now_s + self.skew_s
        observation = ScalingObservation(
            now_s=clock_s,
            replicas=len(self.asked_s),
            ready=len(ready),
            starting_age_s=tuple(self.now_s - a for a in self.asked_s[len(ready) :]),
            cold_start_s=(self.cold_start_s,),
            room=100,
            samples=tuple(
                PodSample(f"pod-{pod}", clock_s, {MODEL: counters(self.done[pod])})
                for pod in range(len(ready))
            ),
        )
        if fault is not None:
            observation = fault(observation)
        self.state, decision = step(self.policy, self.state, observation)
        assert self.policy.min_replicas <= decision.replicas <= self.policy.max_replicas
        assert decision.message
        for number in (decision.demand_rps, decision.bound_rps, decision.capacity_rps):
            assert number is None or (math.isfinite(number) and number >= 0)
        wanted = decision.replicas
        self.asked_s = (self.asked_s + [self.now_s] * wanted)[:wanted]
        self.replicas.append(wanted)
        self.decisions.append(decision)

    def run(self, seconds: float, fault: Fault | None = None) -> list[int]:
        """The replicas of these looks."""
        looks = round(seconds / self.look_s)
        for _ in range(looks):
            self.look(fault)
        return self.replicas[-looks:]


@pytest.mark.parametrize(
    ("name", "fault"), SAYING_NOTHING, ids=[name for name, _ in SAYING_NOTHING]
)
def test_metrics_that_say_nothing_change_nothing(name: str, fault: Fault) -> None:
    loop = Loop()
    before = loop.run(300)[-1]
    assert set(loop.run(300, fault)) == {before}
    assert loop.decisions[-1].reason.value == "NoMetrics"
    assert set(loop.run(300)) <= {before - 1, before, before + 1}


@pytest.mark.parametrize(("name", "fault"), MISLEADING, ids=[name for name, _ in MISLEADING])
def test_metrics_that_mislead_move_little(name: str, fault: Fault) -> None:
    loop = Loop()
    before = loop.run(300)[-1]
    assert max(loop.run(600, fault)) <= before + 3
    assert min(loop.replicas[-300:]) >= before - 1
    assert set(loop.run(400)[-50:]) <= {before - 1, before, before + 1}


def test_all_pods_lying_tenfold_stop_at_the_maximum_and_come_back() -> None:
    loop = Loop()
    before = loop.run(300)[-1]
    assert max(loop.run(60, lambda o: scaled(o, 10.0))) <= POLICY.max_replicas
    assert loop.run(900)[-1] <= before + 2


def test_frozen_counters_are_no_reason_to_go_for_a_minute() -> None:
    loop = Loop()
    before = loop.run(300)[-1]
    assert set(loop.run(58, Frozen())) == {before}


def test_counters_that_stand_still_while_requests_wait_are_no_end_of_demand() -> None:
    loop = Loop()
    before = loop.run(300)[-1]
    frozen = Frozen()
    assert set(loop.run(600, lambda o: frozen(altered(o, pending=3.0)))) == {before}
    assert "none was counted as answered" in loop.decisions[-1].message
    assert loop.decisions[-1].not_answering == (MODEL,)


@pytest.mark.parametrize("jump_s", [-3600.0, -30.0, 3600.0, 86400.0])
def test_a_clock_that_jumps_costs_a_moment(jump_s: float) -> None:
    loop = Loop()
    before = loop.run(900)[-1]
    setting = loop.state.tuning.shadows.setting
    loop.skew_s = jump_s
    after = loop.run(300)
    assert set(after) <= {before - 1, before, before + 1}
    assert after[0] == before
    assert abs(loop.state.tuning.shadows.setting.boldness - setting.boldness) <= 4


def test_pods_that_never_become_ready_are_counted_once() -> None:
    loop = Loop(rate=60.0)
    loop.run(300)
    loop.never_ready = True
    loop.rate = 400.0
    counts = loop.run(1200)
    assert max(counts) <= POLICY.max_replicas
    assert sum(a != b for a, b in pairwise(counts)) <= 12


@pytest.mark.parametrize("look_s", [1.0, 2.0, 5.0, 10.0, 15.0])
def test_any_look_interval_does(look_s: float) -> None:
    loop = Loop(look_s=look_s, rate=60.0)
    loop.run(600)
    assert 1 < loop.replicas[-1] <= 3
    loop.rate = 300.0
    assert loop.run(120)[-1] >= 6
    loop.rate = 60.0
    assert loop.run(900)[-1] <= 3


def test_zero_traffic_for_days_then_a_flash() -> None:
    loop = Loop(rate=0.0, look_s=15.0)
    assert loop.run(2 * 86400 / 10)[-1] == 1
    loop.rate = 200.0
    assert loop.run(150)[-1] >= 4


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**16), look_s=st.sampled_from([1.0, 5.0, 15.0]))
def test_no_series_of_faults_breaks_it(seed: int, look_s: float) -> None:
    rng = random.Random(seed)
    faults = [None, *(fault for _, fault in SAYING_NOTHING), *(fault for _, fault in MISLEADING)]
    loop = Loop(look_s=look_s)
    for _ in range(12):
        loop.rate = rng.choice([0.0, 20.0, 120.0, 400.0])
        loop.never_ready = rng.random() < 0.1
        loop.skew_s += rng.choice([0.0, 0.0, 0.0, 3600.0, -100.0])
        loop.run(rng.choice([15.0, 45.0, 90.0]), rng.choice(faults))
    falls = [index * look_s for index, (a, b) in enumerate(pairwise(loop.replicas)) if b < a]
    assert all(later - sooner >= 4.4 for sooner, later in pairwise(falls))
