import random
from collections import deque
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conch.autoscale.capacity import capacity
from conch.autoscale.fleet import Fleet

from .sim import service

CURVE = service(0.040, 0.020, 8)
ONE_BY_ONE = (0.250,)
TARGET_S = 0.5
FULL_RPS = 40.0


def late_shares(
    replicas: int,
    rate: float,
    reject_after_s: float,
    even: bool,
    curve: Sequence[float] = CURVE,
    target_s: float = TARGET_S,
) -> float:
    """Replicas request by request, late ones refused; shares no code with what it checks."""
    rng = random.Random(3)
    queues: list[deque[float]] = [deque() for _ in range(replicas)]
    free = [0.0] * replicas
    running = [0] * replicas
    late = 0
    now = 0.0
    count = 30_000
    for _ in range(count):
        now += rng.expovariate(rate)
        for r in range(replicas):
            while free[r] <= now:
                while queues[r] and free[r] - queues[r][0] > reject_after_s:
                    queues[r].popleft()
                    late += 1
                running[r] = min(len(curve), len(queues[r]))
                if not running[r]:
                    break
                took = curve[running[r] - 1]
                batch = [queues[r].popleft() for _ in range(running[r])]
                late += sum(free[r] + took - arrived > target_s for arrived in batch)
                free[r] += took
        load = [len(queues[r]) + (running[r] if free[r] > now else 0) for r in range(replicas)]
        chosen = load.index(min(load)) if even else rng.randrange(replicas)
        if free[chosen] <= now:
            free[chosen] = now
        queues[chosen].append(now)
    return late / count


def fleet(evenness: float = 1.0, reject: bool = True) -> Fleet:
    found = capacity(CURVE, 1, 99, TARGET_S)
    return Fleet(found.rate / found.throughput, True, evenness, 0.01, reject)


@pytest.mark.parametrize("replicas", [2, 6])
@pytest.mark.parametrize("load", [0.85, 0.95, 1.1])
def test_lateness_agrees_with_a_simulation(replicas: int, load: float) -> None:
    expected = fleet().late_share(load * replicas, replicas)
    found = late_shares(replicas, load * replicas * FULL_RPS, 0.26, even=True)
    assert found == pytest.approx(expected, abs=0.006 + 0.1 * expected)


@pytest.mark.parametrize(("replicas", "load"), [(2, 0.8), (6, 0.9), (6, 1.0)])
def test_lateness_agrees_with_a_simulation_one_by_one(replicas: int, load: float) -> None:
    alone = capacity(ONE_BY_ONE, 1, 99, 1.0)
    model = Fleet(alone.rate / alone.throughput, False, 1.0, 0.01, reject=True)
    expected = model.late_share(load * replicas, replicas)
    found = late_shares(replicas, load * replicas * 4.0, 0.725, True, ONE_BY_ONE, 1.0)
    assert found == pytest.approx(expected, abs=0.004 + 0.1 * expected)


def test_who_may_wait_for_long_loses_few_to_batches_cut_short() -> None:
    hasty, patient = replace(fleet(), patience=1.0), replace(fleet(), patience=4.0)
    assert patient.late_share(7.6, 8) < 0.5 * hasty.late_share(7.6, 8)
    assert patient.carries(8) > 1.02 * hasty.carries(8)


def test_capacity_agrees_with_a_simulation() -> None:
    carried = fleet(reject=False).carries(6) * FULL_RPS
    assert late_shares(6, 0.96 * carried, float("inf"), even=True) < 0.01
    assert late_shares(6, 1.05 * carried, float("inf"), even=True) > 0.01


def test_random_choice_gains_nothing_from_more_replicas() -> None:
    one = fleet(0.0, reject=False).carries(1)
    assert fleet(0.0, reject=False).carries(5) == pytest.approx(5 * one)
    assert late_shares(5, 5 * one * FULL_RPS * 1.15, float("inf"), even=False) > 0.01
    assert fleet(1.0, reject=False).carries(5) > 5.4 * one


@given(
    used=st.floats(0.05, 1),
    evenness=st.sampled_from([0.0, 0.5, 1.0]),
    late=st.floats(0.0001, 0.2),
    reject=st.booleans(),
    demand=st.floats(0, 3000),
    most=st.integers(1, 5000),
)
def test_needed_is_the_fewest_that_carry(
    used: float, evenness: float, late: float, reject: bool, demand: float, most: int
) -> None:
    found = Fleet(used, True, evenness, late, reject)
    needed = found.needed(demand, most)
    assert 1 <= needed <= most
    if needed < most:
        assert found.carries(needed) >= demand * (1 - 1e-9)
    if needed > 1:
        assert found.carries(needed - 1) < demand * (1 + 1e-9)


@given(replicas=st.integers(1, 50), reject=st.booleans(), demand=st.floats(0.1, 80))
def test_lateness_rises_with_demand(replicas: int, reject: bool, demand: float) -> None:
    found = fleet(1.0, reject)
    assert 0 <= found.late_share(demand, replicas) <= 1
    assert found.late_share(demand, replicas) <= found.late_share(demand * 1.1, replicas) + 1e-12
    assert found.late_share(demand, 0) == 1
    assert found.late_share(0, replicas) == 0
