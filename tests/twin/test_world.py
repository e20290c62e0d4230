"""Replicas, looks and the bill, against numbers worked out by hand."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from conch.api.conditions import Reason
from conch.errors import UsageError
from conch.observe.types import Decision
from conch.twin.controller import Sight
from conch.twin.metrics import MODEL
from conch.twin.result import Result
from conch.twin.scenario import Lot
from conch.twin.service import ServiceModel
from conch.twin.traces import Trace, of_rates, of_times
from conch.twin.world import Scenario, World

PLAIN = Scenario(
    service=ServiceModel((0.1,), noise=0),
    cold_start_s=40.0,
    cold_start_spread=0.0,
    target_s=0.5,
    max_replicas=10,
)
QUIET = of_times("quiet", [0.0], length_s=600.0)


@dataclass
class Plan:
    """Wants what ``wants`` says at each look, and keeps what it was shown."""

    wants: Callable[[float], int]
    interval_s: float = 5.0
    name: str = "plan"
    reject_after_s: float | None = None
    sights: list[Sight] = field(default_factory=list)

    def decide(self, sight: Sight) -> Decision:
        self.sights.append(sight)
        wanted = self.wants(sight.observation.now_s)
        return Decision(wanted, Reason.WITHIN_OBJECTIVE, "", reject_after_s=self.reject_after_s)


def steps(*levels: tuple[float, int]) -> Callable[[float], int]:
    """The last level whose time has come; 1 before the first."""

    def wants(now_s: float) -> int:
        return ([1] + [level for at_s, level in levels if at_s <= now_s])[-1]

    return wants


def run(
    scenario: Scenario, trace: Trace, *levels: tuple[float, int], **options: float
) -> tuple[Result, Plan]:
    plan = Plan(steps(*levels), **options)  # type: ignore[arg-type]
    return World(scenario, trace).run(plan), plan


def ready_at(plan: Plan) -> dict[float, int]:
    return {s.observation.now_s: s.observation.ready for s in plan.sights}


def test_replicas_are_billed_from_the_asking_to_the_end() -> None:
    result, plan = run(PLAIN, QUIET, (100, 3), (300, 2))
    # one for 600 s, one from 100 to the end, one from 100 to 300
    assert result.replica_hours * 3600 == pytest.approx(600 + 500 + 200)
    assert result.cost_hours == result.replica_hours
    assert (result.scale_events, result.replica_starts, result.peak_replicas) == (2, 2, 3)
    assert ready_at(plan)[135] == 1
    assert ready_at(plan)[145] == 3
    assert ready_at(plan)[305] == 2


def test_starts_that_were_measured_are_drawn_as_they_are() -> None:
    """With the image on the node, and without."""
    scenario = replace(PLAIN, max_replicas=60, cold_starts_s=(10.0, 10.0, 100.0))
    _, plan = run(scenario, QUIET, (100, 60))
    # Two of three, give or take three standard deviations.
    assert 1 + 40 - 11 <= ready_at(plan)[125] <= 1 + 40 + 11
    assert ready_at(plan)[205] == 60
    assert {took_s for s in plan.sights for took_s in s.observation.cold_start_s} == {10.0, 100.0}


def test_starting_replicas_are_cancelled_first_and_billed_until_then() -> None:
    result, plan = run(PLAIN, QUIET, (100, 3), (120, 1))
    assert result.replica_hours * 3600 == pytest.approx(600 + 2 * 20)
    assert set(ready_at(plan).values()) == {1}


def test_a_drain_is_billed_until_its_queue_is_empty() -> None:
    # A hundred requests at 99.9 s: fifty each, 5 s of work; the second replica goes at 100 s.
    times = np.full(100, 99.9)
    scenario = replace(PLAIN, initial_replicas=2)
    result, _ = run(scenario, of_times("lot", times, 600.0), (0, 2), (100, 1))
    assert result.replica_hours * 3600 == pytest.approx(600 + 99.9 + 5.0)
    assert result.failed == 0


def test_a_drain_lasts_as_long_as_it_must() -> None:
    scenario = replace(PLAIN, initial_replicas=2, drain_s=30.0)
    result, _ = run(scenario, QUIET, (100, 1))
    assert result.replica_hours * 3600 == pytest.approx(600 + 5 + 30)


def test_a_draining_replica_gets_nothing_new() -> None:
    scenario = replace(PLAIN, initial_replicas=2, drain_s=50.0)
    trace = of_rates("flat", [15.0] * 300)  # 1.5 times what one carries
    result, _ = run(scenario, trace, (0, 2), (100, 1))
    assert result.timeline.late[:100].sum() < 0.03 * result.timeline.arrivals[:100].sum()
    assert result.timeline.late[130:].sum() == result.timeline.arrivals[130:].sum()


def test_limits_are_kept_whatever_is_decided() -> None:
    scenario = replace(PLAIN, min_replicas=2, max_replicas=4)
    result, _ = run(scenario, QUIET, (50, 0), (100, 1000), (300, -5))
    assert result.timeline.wanted.min() == 2
    assert result.timeline.wanted.max() == 4 == result.peak_replicas


def test_requests_without_any_replica_fail() -> None:
    scenario = replace(PLAIN, min_replicas=0, initial_replicas=0)
    result, _ = run(scenario, of_times("one", [1.0], 10.0), (0, 0))
    assert (result.requests, result.failed, result.late_share) == (1, 1, 1.0)


def test_a_trace_without_requests_late_is_nobody() -> None:
    result, _ = run(PLAIN, of_rates("none", [0.0] * 20))
    assert (result.requests, result.late_share, result.minutes_ok) == (0, 0.0, 1.0)


def test_what_a_look_shows() -> None:
    scenario = replace(PLAIN, initial_replicas=2, seed=3)
    _, plan = run(scenario, of_rates("flat", [10.0] * 300), (0, 2), (100, 4))
    ages = []
    for sight in plan.sights[3:]:
        seen = sight.observation
        assert len(seen.samples) <= seen.ready
        assert len({s.at_s for s in seen.samples}) == 1
        ages.append(seen.now_s - seen.samples[0].at_s)
        for sample in seen.samples:
            assert sample.models[MODEL].success <= 10 * 1.3 * seen.now_s
    assert 1.0 <= min(ages) < 3.0  # 2 to 5 s, to the nearest scrape of every 2 s
    assert 4.0 < max(ages) <= 6.0
    starting = {s.observation.now_s: s.observation.starting_age_s for s in plan.sights}
    assert starting[100] == ()
    assert starting[105] == (5.0, 5.0)
    assert starting[145] == ()
    assert plan.sights[-1].observation.cold_start_s == (40.0,) * 4
    assert plan.sights[-1].observation.replicas == 4


def test_lots_are_filled_in_order_and_the_last_is_emptied_first() -> None:
    lots = (Lot("fast", room=2), Lot("slow", slower=2.0))
    result, plan = run(replace(PLAIN, lots=lots), QUIET, (100, 4), (300, 2))
    seen = {s.observation.now_s: s.observation for s in plan.sights}
    assert (seen[95].growing, seen[95].shrinking) == ("fast", "fast")
    assert seen[105].starting_groups == ("fast", "slow", "slow")
    assert (seen[105].growing, seen[105].shrinking) == ("slow", "slow")
    assert [s.group for s in seen[200].samples] == ["fast", "fast", "slow", "slow"]
    assert [s.group for s in seen[400].samples] == ["fast", "fast"]
    assert result.failed == 0


def test_a_slower_lot_takes_longer() -> None:
    scenario = replace(PLAIN, lots=(Lot("slow", slower=2.5),))
    result, _ = run(scenario, of_times("some", [10.0, 20.0, 30.0], 100.0))
    assert result.p50_s == pytest.approx(0.25)
    with pytest.raises(UsageError, match="factor above 0"):
        Lot("none", slower=0.0)


def test_counters_add_up_to_what_was_sent() -> None:
    scenario = replace(PLAIN, initial_replicas=3, lag_s=(0.0, 0.0), scrape_interval_s=0.0)
    result, plan = run(scenario, of_rates("flat", [20.0] * 100 + [0.0] * 20), (0, 3))
    last = [s.models[MODEL] for s in plan.sights[-1].observation.samples]
    assert sum(c.success for c in last) == result.requests
    assert sum(c.executions for c in last) == result.requests
    assert sum(b.count for c in last for b in c.batches.values()) == result.requests
    assert sum(c.batches[1].compute_s for c in last) == pytest.approx(0.1 * result.requests)
    assert sum(c.request_s - c.queue_s for c in last) == pytest.approx(0.1 * result.requests)
    assert [c.pending for c in last] == [0.0] * 3
    assert plan.sights[-1].observation.samples[0].at_s == plan.sights[-1].observation.now_s


def test_lost_scrapes_are_errors_without_numbers() -> None:
    _, plan = run(replace(PLAIN, loss=0.3), of_rates("flat", [5.0] * 3000))
    samples = [s for sight in plan.sights for s in sight.observation.samples]
    lost = [s for s in samples if s.error]
    assert len(lost) / len(samples) == pytest.approx(0.3, abs=0.05)
    assert not any(s.models for s in lost)


def test_proxies_see_requests_in_flight_and_busy_shares() -> None:
    # 5/s of 0.1 s each: busy half of the time
    _, plan = run(replace(PLAIN, lag_s=(0, 0)), of_rates("flat", [5.0] * 2000), interval_s=100.0)
    last = plan.sights[-1]
    assert last.running == 1
    assert last.busy == pytest.approx([0.5], abs=0.06)
    # Little's law
    latencies = np.array(last.latencies_s)
    assert last.in_flight == pytest.approx([5.0 * latencies.mean()], rel=0.2)
    assert (np.diff(latencies) >= 0).all()
    assert latencies.min() >= 0.0999


def test_a_loading_server_runs_before_it_is_ready() -> None:
    _, plan = run(PLAIN, QUIET, (100, 2))
    running = {s.observation.now_s: s.running for s in plan.sights}
    assert (running[115], running[125], running[145]) == (1, 2, 2)


def test_a_crash_fails_what_was_held_and_resets_the_counters() -> None:
    scenario = replace(PLAIN, crashes_per_hour=60.0, initial_replicas=1, max_replicas=2, seed=5)
    result, plan = run(scenario, of_rates("flat", [12.0] * 1200), (0, 2))
    assert result.failed > 0
    drops = 0
    before: dict[str, float] = {}
    for sight in plan.sights:
        for sample in sight.observation.samples:
            now = sample.models[MODEL].success
            drops += now < before.get(sample.pod, 0.0)
            before[sample.pod] = now
    assert drops > 0
    assert len(before) == 2  # the same pods all the time


def test_a_lost_node_takes_its_pods_until_they_are_evicted() -> None:
    scenario = replace(
        PLAIN, initial_replicas=6, node_losses_s=(100.5,), pods_per_node=4, eviction_s=60.0
    )
    result, plan = run(scenario, QUIET, (0, 6))
    ready = ready_at(plan)
    assert (ready[100], ready[105], ready[195], ready[205]) == (6, 2, 2, 6)
    assert result.replica_hours * 3600 == pytest.approx(6 * 600)
    pods = {s.pod for sight in plan.sights for s in sight.observation.samples}
    assert len(pods) == 10


def test_pods_beyond_the_room_never_become_ready() -> None:
    _, plan = run(replace(PLAIN, room=3), QUIET, (50, 8))
    assert max(ready_at(plan).values()) == 3
    assert plan.sights[0].observation.room == 2
    assert plan.sights[-1].observation.room == 0
    assert len(plan.sights[-1].observation.starting_age_s) == 5


def test_pods_that_never_become_ready() -> None:
    _, plan = run(replace(PLAIN, never_ready=1.0), QUIET, (50, 4))
    assert set(ready_at(plan).values()) == {1}
    assert plan.sights[-1].observation.starting_age_s == (545.0,) * 3


def test_a_decision_can_refuse_what_would_be_late() -> None:
    trace = of_rates("flat", [15.0] * 300)
    without, _ = run(PLAIN, trace)
    refusing, plan = run(PLAIN, trace, reject_after_s=0.4)
    assert without.late_share > 0.9
    assert 0.25 < refusing.late_share < 0.45  # a third is too much
    after = refusing.timeline  # of the first decision, at 5 s
    assert after.rejected[10:].sum() == after.late[10:].sum()
    assert np.nanmax(after.p99_s[10:]) < 0.51
    last = plan.sights[-1].observation.samples[0].models[MODEL]
    assert last.failure > 0.25 * refusing.requests


def test_one_seed_is_one_history() -> None:
    scenario = replace(
        PLAIN,
        service=ServiceModel.linear(0.04, 0.02, 8),
        cold_start_spread=0.3,
        loss=0.1,
        crashes_per_hour=20.0,
    )
    trace = of_rates("flat", [40.0] * 300)
    rows = [run(replace(scenario, seed=s), trace, (50, 3))[0].row() for s in (1, 1, 2)]
    assert rows[0] == rows[1] != rows[2]


def test_replicas_differ_when_asked() -> None:
    service = ServiceModel((0.1,), noise=0, spread=0.2)
    scenario = replace(PLAIN, service=service, initial_replicas=10)
    _, plan = run(scenario, of_rates("flat", [30.0] * 100), (0, 10))
    counters = [s.models[MODEL] for s in plan.sights[-1].observation.samples]
    means = [c.batches[1].compute_s / c.executions for c in counters]
    assert 0.05 < np.std(means) / np.mean(means) < 0.4


def test_the_timeline_says_what_was_wanted_and_ready() -> None:
    result, _ = run(PLAIN, QUIET, (100, 3))
    wanted, ready = result.timeline.wanted, result.timeline.ready
    assert (wanted[99], wanted[101], ready[139], ready[141]) == (1, 3, 1, 3)
    assert wanted.size == ready.size == result.timeline.p99_s.size == 600


@pytest.mark.parametrize(
    "wrong",
    [
        {"cold_start_s": 0.0},
        {"cold_start_s": -5.0},
        {"cold_start_s": math.nan},
        {"cold_starts_s": (40.0, 0.0)},
        {"cold_start_spread": 1.0},
        {"target_s": 0.0},
        {"percentile": 100.0},
        {"min_replicas": 5, "max_replicas": 4},
        {"max_replicas": 0, "min_replicas": 0},
        {"routing": "best"},
        {"lag_s": (5.0, 2.0)},
    ],
)
def test_nonsense_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        replace(PLAIN, **wrong)  # type: ignore[arg-type]


def test_a_controller_must_look_sometimes() -> None:
    with pytest.raises(UsageError, match="decides every 0"):
        run(PLAIN, QUIET, interval_s=0)
