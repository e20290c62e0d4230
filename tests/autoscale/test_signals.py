import math
from dataclasses import replace

import pytest

from conch.autoscale.signals import Interval, Signals, gather
from conch.observe.types import BatchStat, PodSample

from .worlds import MODEL, broken, counters, sample

BEFORE = {pod: sample(pod, 100, counters(1000)) for pod in ("a", "b", "c", "d")}


def look(*samples: PodSample, ready: int | None = None, **known: float) -> Signals:
    throughput = {model: {"": rps} for model, rps in known.items()}
    return gather(
        BEFORE, samples, [MODEL], len(samples) if ready is None else ready, 102, 100, throughput
    )


def interval(signals: Signals) -> Interval:
    return signals.intervals[MODEL]


def test_rates_add_up_over_pods() -> None:
    found = look(sample("a", 102, counters(1040)), sample("b", 102, counters(1020)))
    assert interval(found).rate == 30
    assert found.silent == 0


def test_waiting_requests_have_arrived_too() -> None:
    found = look(sample("a", 102, counters(1040, pending=60)))
    assert interval(found).rate == 50
    assert interval(found).pending == 60


def test_failures_are_demand() -> None:
    found = look(sample("a", 102, counters(1000, failure=80)))
    assert interval(found).rate == 40
    assert interval(found).failed == 80


def test_what_is_rejected_is_told_apart() -> None:
    after = replace(counters(1000, failure=80), rejected=60.0)
    found = interval(look(sample("a", 102, after)))
    assert (found.rate, found.failed, found.rejected) == (40, 80, 60)


def test_a_draining_queue_is_no_negative_demand() -> None:
    baseline = {"a": sample("a", 100, counters(1000, pending=500))}
    found = gather(
        baseline, [sample("a", 102, counters(1100, pending=0))], [MODEL], 1, 102, 100, {}
    )
    assert interval(found).rate == 0


def test_a_reset_is_a_new_baseline() -> None:
    found = look(sample("a", 102, counters(4)))
    assert found.intervals == {}
    assert found.reporting == 1
    again = gather(found.baselines, [sample("a", 104, counters(24))], [MODEL], 1, 104, 102, {})
    assert interval(again).rate == 10


def test_a_new_pod_started_from_zero() -> None:
    found = look(sample("new", 102, counters(40)))
    assert interval(found).rate == 20


def test_the_first_look_of_all_is_only_a_baseline() -> None:
    found = gather({}, [sample("a", 102, counters(5000))], [MODEL], 1, 102, None, {})
    assert found.intervals == {}
    assert found.baselines["a"].at_s == 102


def test_silent_pods_are_taken_to_get_their_share() -> None:
    found = look(sample("a", 102, counters(1040)), broken("b", 102), ready=2)
    assert interval(found).rate == 40
    assert found.silent == 1


def test_a_pod_that_answers_again_spreads_over_the_gap() -> None:
    found = look(sample("a", 104, counters(1080)))
    assert interval(found).rate == 20


def test_the_same_sample_twice_says_nothing_new() -> None:
    found = look(BEFORE["a"])
    assert not found.new
    assert found.intervals == {}


def test_an_old_sample_is_silence() -> None:
    found = look(sample("a", 90, counters(2000)))
    assert found.silent == 1


def test_one_pod_that_claims_ten_times_the_others_is_cut_down() -> None:
    pods = [sample(pod, 102, counters(1040)) for pod in ("a", "b", "c")]
    found = look(*pods, sample("d", 102, counters(1000 + 400)), **{MODEL: 25})
    assert interval(found).rate == 3 * 20 + 40


def test_a_pod_that_gets_all_the_load_it_can_do_is_believed() -> None:
    pods = [sample(pod, 102, counters(1000)) for pod in ("a", "b", "c")]
    found = look(*pods, sample("d", 102, counters(1000 + 90)), **{MODEL: 50})
    assert interval(found).rate == 45


def test_one_pod_cannot_bend_the_service_time() -> None:
    pods = [sample(pod, 102, counters(1040, batch_s=0.08)) for pod in ("a", "b", "c")]
    liar = counters(1040, batch_s=8.0)
    before = {**BEFORE, "d": sample("d", 100, counters(1000, batch_s=0.08))}
    found = gather(before, [*pods, sample("d", 102, liar)], [MODEL], 4, 102, 100, {})
    stat = interval(found).groups[""].batches[4]
    assert stat.compute_s / stat.count == pytest.approx(0.08)


def test_the_first_execution_of_a_server_is_not_learned_from() -> None:
    warm_up = sample("new", 102, counters(4, batch_s=0.5))
    assert interval(look(warm_up)).groups[""].batches == {}


def test_a_pod_that_answers_nothing_while_requests_wait_is_stuck() -> None:
    found = look(
        sample("a", 102, counters(1000, pending=3)),
        sample("b", 102, counters(1004, pending=3)),
        sample("c", 102, counters(1000)),
    )
    assert found.stuck_pods[MODEL] == {"a"}


def test_baselines_of_gone_pods_are_forgotten() -> None:
    later = gather(BEFORE, [], [MODEL], 0, 500, 498, {})
    assert later.baselines == {}


def test_a_pod_whose_first_looks_failed_did_not_start_just_now() -> None:
    silent = gather({}, [broken("a", 102)], [MODEL], 1, 102, 100, {})
    found = gather(silent.baselines, [sample("a", 112, counters(120))], [MODEL], 1, 112, 110, {})
    assert interval(found).rate == 10


def test_after_a_long_silence_the_first_look_is_only_a_baseline() -> None:
    baselines = BEFORE
    for at_s in range(102, 402, 2):
        baselines = gather(baselines, [broken("a", at_s)], [MODEL], 1, at_s, at_s - 2, {}).baselines
    found = gather(baselines, [sample("a", 402, counters(9000))], [MODEL], 1, 402, 400, {})
    assert found.intervals == {}


@pytest.mark.parametrize(
    "batches",
    [
        {4: BatchStat(math.inf, 20.0)},  # type: ignore[arg-type]
        {4: BatchStat(260, math.inf)},
        {4: BatchStat(260, math.nan)},
        {0: BatchStat(260, 20.0)},
        {-2: BatchStat(260, 20.0)},
    ],
)
def test_batches_that_cannot_be_teach_nothing(batches: dict[int, BatchStat]) -> None:
    found = interval(look(sample("a", 102, replace(counters(1040), batches=batches))))
    assert found.rate == 20
    assert found.groups[""].batches == {}
