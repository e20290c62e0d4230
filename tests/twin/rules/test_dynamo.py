"""Against throughput_scaling.py and load_scaling.py; numbers by hand."""

import pytest

from conch.twin.rules.dynamo import load_replicas, planner, throughput_replicas

from .sights import SETTING, counters, sight


def test_forecast_over_what_an_engine_carries() -> None:
    assert throughput_replicas(90.0, 30.0) == 3
    assert throughput_replicas(91.0, 30.0) == 4
    assert throughput_replicas(0.0, 30.0) == 1


@pytest.mark.parametrize(
    ("latency_s", "replicas", "expected"),
    [
        (0.51, 4, 5),
        (0.50, 4, 4),
        (0.29, 4, 3),  # 0.29 * 4/3 = 0.387 < 0.4
        (0.31, 4, 4),  # 0.31 * 4/3 = 0.413
        (0.01, 1, 1),
    ],
)
def test_one_at_a_time(latency_s: float, replicas: int, expected: int) -> None:
    assert load_replicas(replicas, latency_s, 0.5) == expected


def test_plans_every_three_minutes() -> None:
    dynamo = planner(SETTING, 30.0)
    sizes, replicas = [], 2
    for tick in range(80):
        at_s = 5.0 * tick
        seen = sight(at_s, [counters(60 * at_s)] * 2, replicas=replicas)
        replicas = dynamo.decide(seen).replicas
        sizes.append(replicas)
    assert sizes[:36] == [2] * 36
    assert sizes[36] == 4  # 120 rps


def test_load_half_waits_while_replicas_start_and_keeps_the_plan_as_floor() -> None:
    dynamo = planner(SETTING, 30.0, load_scaling=True)
    late = [0.9] * 10
    first = sight(0, [counters(0)] * 2, latencies_s=late)
    assert dynamo.decide(first).replicas == 3
    starting = sight(5, [counters(0)] * 2, starting=1, latencies_s=late)
    assert dynamo.decide(starting).replicas == 3
    quick = sight(10, [counters(0)] * 3, latencies_s=[0.01])
    assert dynamo.decide(quick).replicas == 2
    again = sight(15, [counters(0)] * 2, latencies_s=[0.01])
    assert dynamo.decide(again).replicas == 2  # the size it found is its first plan
