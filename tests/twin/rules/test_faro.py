"""Against textbook M/M/c and Faro's formula; numbers by hand."""

import math

import pytest

from conch.twin.rules.faro import erlang_c, latency_s, rule, solve, wait_s

from .sights import SETTING, counters, sight


@pytest.mark.parametrize(
    ("servers", "offered", "expected"),
    [
        (1, 0.5, 0.5),  # M/M/1: ρ
        (2, 1.0, 1 / 3),  # a²/(2(2-a)) / (1 + a + that) = 1/2 / 3/2
        (5, 4.0, 0.5541),  # tables of Erlang C
        (3, 3.0, 1.0),
    ],
)
def test_erlang_c(servers: int, offered: float, expected: float) -> None:
    assert erlang_c(servers, offered) == pytest.approx(expected, abs=1e-4)


def test_wait_percentile_of_one_server() -> None:
    # M/M/1, ρ = 0.5, s = 1: E[W] = 1, P = 0.5: 2 ln(100 * 0.5 / 1) at p99.
    assert wait_s(1, 0.5, 1.0, 99) == pytest.approx(2 * math.log(50))
    assert wait_s(1, 0.005, 1.0, 99) == 0.0  # fewer than 1 % wait at all
    assert wait_s(1, 1.0, 1.0, 99) == math.inf


def test_beyond_the_relaxed_utilisation_latency_grows_with_the_excess() -> None:
    at_most = latency_s(2, 0.95 * 2, 1.0, 1.0, 99)
    assert latency_s(2, 2 * 0.95 * 2, 1.0, 1.0, 99) == pytest.approx(2 * at_most)


def test_solve_takes_the_fewest_that_hold_the_target() -> None:
    found = solve(100.0, 0.025, 0.2, 99, 0.5, 20)
    assert latency_s(found, 100.0, 0.025, 0.2, 99) <= 0.5
    assert latency_s(found - 1, 100.0, 0.025, 0.2, 99) > 0.5
    assert solve(1e6, 0.025, 0.2, 99, 0.5, 20) == 20


def test_solves_every_five_minutes_and_adds_one_after_thirty_seconds_of_misses() -> None:
    faro = rule(SETTING, 0.9)
    replicas, sizes = 2, []
    for tick in range(12):
        at_s = 10.0 * tick
        late = [0.9] * 5 if tick >= 6 else [0.1] * 5
        seen = sight(at_s, [counters(50 * at_s)] * 2, replicas=replicas, latencies_s=late)
        replicas = faro.decide(seen).replicas
        sizes.append(replicas)
    plan = solve(100.0, 0.2 / 8, 0.2, 99, 0.5, 20)
    # The first rate needs two looks, a forecast three rates; misses begin at 60 s.
    assert sizes == [2, 2, 2, plan, plan, plan, plan, plan, plan, plan + 1, plan + 2, plan + 3]
