import numpy as np
import pytest

from conch.observe.types import PodSample
from conch.twin import kernel
from conch.twin.fleet import build_fleet
from conch.twin.kernel import READY, Fleet
from conch.twin.metrics import MODEL, Snapshot, snapshot
from conch.twin.service import ServiceModel
from conch.twin.world import Scenario


def alone(arrivals: np.ndarray, **service: object) -> Fleet:
    """One ready replica, without noise."""
    model = ServiceModel(**{"service_s": (0.1, 0.2), "noise": 0.0, **service})  # type: ignore[arg-type]
    made = build_fleet(
        Scenario(service=model, cold_start_s=1, target_s=1, max_replicas=1), arrivals
    )
    kernel.clear(made, 0, 0.0, 1.0)
    made.state[0] = READY
    made.ints[kernel.N_READY] = 1
    return made


def look(made: Fleet, at_s: float, percentile: float = 99.0) -> tuple[Snapshot, PodSample]:
    kernel.advance(made, at_s)
    seen = snapshot(made, [("pod-1", 0, "l4")], at_s, percentile)
    return seen, seen.samples["pod-1"]


def test_executing_requests_are_neither_pending_nor_done() -> None:
    made = alone(np.array([1.0, 1.01, 1.02, 1.03]))
    _, sample = look(made, 1.05)
    counters = sample.models[MODEL]
    assert (counters.success, counters.executions, counters.pending) == (0, 0, 3)
    _, sample = look(made, 1.15)  # the first is done, the next two execute
    counters = sample.models[MODEL]
    assert (counters.success, counters.executions, counters.pending) == (1, 1, 1)
    assert {size: stat.count for size, stat in counters.batches.items()} == {1: 1}


def test_times_are_summed_per_request_and_per_batch() -> None:
    made = alone(np.array([1.0, 1.01, 1.02]))
    counters = look(made, 5.0)[1].models[MODEL]
    # the first is served at once; the other two wait until 1.1 and take 0.2 s together
    assert counters.queue_s == pytest.approx(0.09 + 0.08)
    assert counters.request_s == pytest.approx(0.1 + 0.29 + 0.28)
    assert counters.batches[1].compute_s == pytest.approx(0.1)
    assert counters.batches[2].compute_s == pytest.approx(0.2)
    assert counters.inferences == counters.success == 3
    assert counters.executions == 2


def test_what_is_refused_is_a_failure() -> None:
    made = alone(np.array([1.0, 1.01, 1.02, 1.03, 1.04]))
    made.params[kernel.REJECT_AFTER_S] = 0.065
    counters = look(made, 5.0)[1].models[MODEL]
    assert (counters.success, counters.failure, counters.pending) == (2, 3, 0)


def test_integrals_are_up_to_date_in_the_middle_of_a_batch() -> None:
    made = alone(np.array([1.0]))
    seen, _ = look(made, 1.04)
    assert seen.in_flight_s["pod-1"] == pytest.approx(0.04)
    assert seen.busy_s["pod-1"] == pytest.approx(0.04)
    seen, _ = look(made, 9.0)
    assert seen.in_flight_s["pod-1"] == pytest.approx(0.1)
    assert seen.busy_s["pod-1"] == pytest.approx(0.1)


def test_the_sample_of_latencies_starts_anew_with_each_look() -> None:
    made = alone(np.array([1.0, 2.0, 3.0, 3.01]))
    assert look(made, 2.5)[0].latencies_s == pytest.approx((0.1, 0.1))
    assert look(made, 5.0)[0].latencies_s == pytest.approx((0.1, 0.19))
    assert look(made, 6.0)[0].latencies_s == ()


def test_a_large_sample_is_a_fair_one() -> None:
    arrivals = np.arange(40_000) * 0.5
    slow = np.repeat([1.0, 3.0], 20_000)
    made = alone(arrivals, service_s=(0.1,), drift=((9999.9, 1.0), (10_000.0, 3.0)))
    latencies = np.array(look(made, 1e6)[0].latencies_s)
    assert latencies.size == made.sample_s.size
    assert latencies.mean() == pytest.approx(0.1 * slow.mean(), rel=0.08)


def test_the_latency_is_the_quantile_of_the_last_minute() -> None:
    rng = np.random.default_rng(1)
    arrivals = np.cumsum(rng.exponential(0.2, 3000))
    made = alone(arrivals)
    at_s = 311.0  # a minute before is in the step from 252 s on
    kernel.advance(made, at_s)
    ended = arrivals + made.latency_s[: arrivals.size]
    recent = made.latency_s[: arrivals.size][(ended <= at_s) & (ended > 252.0)]
    for percentile in (50.0, 90.0, 99.0):
        seen = snapshot(made, [("p", 0, "")], at_s, percentile)
        found = seen.samples["p"].models[MODEL].latency_s
        assert found == pytest.approx(np.quantile(recent, percentile / 100), rel=0.04)


def test_no_answer_in_a_minute_is_no_latency() -> None:
    made = alone(np.array([1.0]))
    assert look(made, 0.5)[1].models[MODEL].latency_s is None
    assert look(made, 30.0)[1].models[MODEL].latency_s == pytest.approx(0.1, rel=0.04)
    assert look(made, 59.0)[1].models[MODEL].latency_s == pytest.approx(0.1, rel=0.04)
    assert look(made, 61.0)[1].models[MODEL].latency_s is None
    assert look(made, 300.0)[1].models[MODEL].latency_s is None
