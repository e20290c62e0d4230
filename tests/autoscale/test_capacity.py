import random
import time
from collections import deque
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conch.autoscale.capacity import capacity, late_share

from .sim import service

RESNET = service(0.040, 0.010, 4)
IDEAL = capacity(RESNET, 1, 99, 0.4).rate


def simulated_late_share(
    service_s: Sequence[float],
    instances: int,
    target_s: float,
    rate: float,
    ahead: int,
    seed: int = 1,
) -> float:
    """One replica, request by request: the oracle. It knows nothing of Markov chains.

    It closes up to ``ahead`` batches per instance ahead of time, and joins those that fit into one
    when an instance takes them; with 0 it takes what waits when an instance is free.
    """
    rng = random.Random(seed)
    requests = 40_000
    limit = len(service_s)
    free = [0.0] * instances
    closed: deque[list[float]] = deque()
    waiting: deque[float] = deque()
    late = done = 0
    now = 0.0
    arrival = rng.expovariate(rate)
    while done < requests:
        start = max(min(free), now) if closed or (waiting and not ahead) else float("inf")
        if arrival <= start:
            now = arrival
            waiting.append(arrival)
            arrival += rng.expovariate(rate)
        else:
            now = start
            if not ahead:
                closed.append([waiting.popleft() for _ in range(min(limit, len(waiting)))])
            batch = closed.popleft()
            while closed and len(batch) + len(closed[0]) <= limit:
                batch += closed.popleft()
            end = now + service_s[len(batch) - 1]
            free[free.index(min(free))] = end
            late += sum(end - arrived > target_s for arrived in batch)
            done += len(batch)
        while waiting and len(closed) < ahead * instances:
            closed.append([waiting.popleft() for _ in range(min(limit, len(waiting)))])
    return late / done


GRID = [
    (RESNET, 1, 99, 0.4),
    (RESNET, 1, 99, 0.25),
    (RESNET, 2, 99, 0.4),
    ([0.02], 1, 99, 0.1),
    ([0.02], 1, 99.9, 0.4),
    ([0.05], 4, 99, 0.3),
    ([0.02] * 8, 1, 99, 0.1),
    (service(0.040, 0.020, 8), 1, 99, 0.5),
    (service(0.005, 0.005, 8), 1, 99, 0.1),
    (service(0.010, 0.001, 16), 1, 99, 0.1),
    (service(0.002, 0.0005, 64), 1, 99, 0.1),
]


@pytest.mark.parametrize("ahead", [0, 2])
@pytest.mark.parametrize(("service_s", "instances", "percentile", "target_s"), GRID)
def test_agrees_with_a_simulation(
    service_s: list[float], instances: int, percentile: float, target_s: float, ahead: int
) -> None:
    """Triton's two ways: without a queue delay, and with one so short that it only switches."""
    found = capacity(service_s, instances, percentile, target_s, queue_delay_s=1e-6 * ahead)
    allowed = 1 - percentile / 100
    assert found.reachable
    # at 5 % less the objective is met, at 8 % more it is missed
    assert simulated_late_share(service_s, instances, target_s, found.rate * 0.95, ahead) < allowed
    assert simulated_late_share(service_s, instances, target_s, found.rate * 1.08, ahead) > allowed


def test_a_queue_policy_keeps_triton_from_closing_batches_ahead() -> None:
    assert capacity(RESNET, 1, 99, 0.4, queue_delay_s=0.002).rate < 0.95 * IDEAL
    assert capacity(RESNET, 1, 99, 0.4, queue_delay_s=0.002, queue_policy=True).rate == IDEAL


def test_a_request_that_comes_alone_waits_for_the_whole_queue_delay() -> None:
    assert capacity(RESNET, 1, 99, 0.4, queue_delay_s=0.3).reachable
    assert not capacity(RESNET, 1, 99, 0.4, queue_delay_s=0.36).reachable
    # a batch of one is full at once: there is nothing to wait for
    assert capacity(RESNET[:1], 1, 99, 0.4, queue_delay_s=0.36).reachable


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_without_batching_the_late_share_itself_agrees(load: float) -> None:
    exact = late_share([0.02], 1, 0.06, load * 50)
    assert simulated_late_share([0.02], 1, 0.06, load * 50, 0) == pytest.approx(exact, abs=0.01)


def test_agrees_with_a_real_triton() -> None:
    # 24.10, e2e/models/resnet, 36 requests/s for a minute: 0.5 % above 400 ms; batches took 52, 63,
    # 74 and 83 ms, with 5 to 10 % of noise on a busy machine
    measured = [0.052, 0.063, 0.0735, 0.083]
    assert 35 < capacity(measured, 1, 99, 0.4, noise=0.08, queue_delay_s=0.002).rate < 39


@pytest.mark.parametrize(("queue_delay_s", "p99_s"), [(0.0, 0.261), (0.002, 0.345)])
def test_the_p99_of_a_real_triton_is_where_it_is_full(queue_delay_s: float, p99_s: float) -> None:
    # 24.10, the same model at 36 requests/s on a quiet machine, with and without a queue delay
    measured = [0.0517, 0.0618, 0.0719, 0.0821]
    found = capacity(measured, 1, 99, p99_s, queue_delay_s=queue_delay_s)
    assert found.rate == pytest.approx(36, rel=0.04)


@settings(max_examples=15, deadline=None)
@given(
    base_s=st.floats(0.001, 0.2),
    item=st.floats(0.01, 1),
    limit=st.integers(1, 32),
    instances=st.integers(1, 4),
    batches=st.floats(0.5, 30),
)
def test_more_time_or_a_laxer_promise_never_carries_less(
    base_s: float, item: float, limit: int, instances: int, batches: float
) -> None:
    service_s = service(base_s, base_s * item, limit)
    target_s = service_s[-1] * batches
    found = capacity(service_s, instances, 99, target_s)
    assert 0 < found.rate <= found.throughput * 1.0001
    longer = capacity(service_s, instances, 99, 2 * target_s)
    laxer = capacity(service_s, instances, 90, target_s)
    if found.reachable:
        assert longer.reachable
        assert longer.rate >= found.rate * 0.97
        assert laxer.reachable
        assert laxer.rate >= found.rate * 0.97


def test_a_target_below_one_request_is_unreachable_and_sized_by_throughput() -> None:
    found = capacity(RESNET, 1, 99, 0.045)
    assert not found.reachable
    assert found.throughput == pytest.approx(50, rel=0.01)
    assert found.rate == pytest.approx(40, rel=0.01)


def test_a_target_that_leaves_next_to_nothing_is_unreachable_too() -> None:
    # s(1) fits, but nothing that has to wait: hundreds of replicas would be bought for it
    assert not capacity(RESNET, 1, 99, 0.0505).reachable


def test_noise_costs_capacity() -> None:
    assert capacity(RESNET, 1, 99, 0.2, noise=0.2).rate < 0.9 * capacity(RESNET, 1, 99, 0.2).rate


def test_a_curve_that_breathes_finds_its_answer_in_the_cache() -> None:
    service_s = service(0.0401, 0.0103, 4)
    capacity(service_s, 1, 99, 0.4)
    started = time.process_time()
    for _ in range(100):
        capacity(service_s, 1, 99, 0.4)
    assert (time.process_time() - started) / 100 < 0.001


@pytest.mark.parametrize("limit", [1, 4, 16, 64, 256])
def test_is_fast_enough_for_the_loop(limit: int) -> None:
    times = []
    for turn in range(3):  # the fastest of three new problems: the machine is shared
        service_s = service(0.0037 * 1.1**turn, 0.0007, limit)
        started = time.process_time()
        capacity(service_s, 1, 99, 5 * service_s[-1])
        times.append(time.process_time() - started)
    assert min(times) < 0.060
