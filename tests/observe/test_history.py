"""What arrived, from looks at counters: exact in sum, bounded in size."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conch.observe.history import KEPT_S, Arrivals, History
from conch.triton.sample import ModelCounters, PodSample


def sample(
    at_s: float, success: float, pending: float = 0.0, *, pod: str = "a", model: str = "m"
) -> PodSample:
    counters = ModelCounters(success, 0.0, success, success, 0.0, 0.0, pending)
    return PodSample(pod, at_s, {model: counters})


def silent(at_s: float, pod: str = "a") -> PodSample:
    return PodSample(pod, at_s, {}, "no answer in time")


def found(history: History) -> Arrivals:
    arrivals = history.arrivals()
    assert arrivals is not None
    return arrivals


def test_nothing_is_known_before_two_looks() -> None:
    history = History(2.0)
    assert history.arrivals() is None
    history.look([sample(10, 100)], 10)
    assert history.arrivals() is None


def test_a_steady_rate_is_seen_as_such() -> None:
    history = History(2.0)
    for k in range(20):
        history.look([sample(2.0 * k, 1000 + 14 * k)], 2.0 * k)
    arrivals = found(history)
    assert arrivals.rates == {"m": (7.0,) * 18}
    assert (arrivals.bin_s, arrivals.end_s) == (2.0, 36.0)


def test_looks_off_the_bins_lose_nothing() -> None:
    history = History(2.0)
    for k in range(41):
        history.look([sample(1.3 * k, 13.0 * k)], 1.3 * k)
    assert found(history).rates["m"] == pytest.approx((10.0,) * 25)


def test_pods_add_up_and_models_do_not() -> None:
    history = History(1.0)
    for k in range(6):
        history.look(
            [
                sample(k, 3.0 * k, pod="a"),
                sample(k, 4.0 * k, pod="b"),
                sample(k, 5.0 * k, pod="c", model="other"),
            ],
            k,
        )
    assert found(history).rates == {"m": (7.0,) * 4, "other": (5.0,) * 4}


def test_requests_count_when_they_arrive_not_when_they_end() -> None:
    history = History(1.0)
    # Ten come in the second second, execute (neither pending nor ended), and end in the fourth.
    for at_s, ended, pending in (
        (0, 0, 0),
        (1, 0, 0),
        (2, 0, 10),
        (3, 0, 0),
        (4, 10, 0),
        (6, 10, 0),
    ):
        history.look([sample(at_s, ended, pending)], at_s)
    assert found(history).rates["m"] == (0, 10, 0, 0, 0)


def test_a_silent_pod_tells_the_rest_later() -> None:
    history = History(1.0)
    history.look([sample(0, 0), sample(0, 0, pod="b")], 0)
    history.look([sample(1, 5), silent(1, "b")], 1)
    history.look([sample(2, 10), silent(2, "b")], 2)
    history.look([sample(3, 15), sample(3, 30, pod="b")], 3)
    history.look([sample(4, 20), sample(4, 40, pod="b")], 4)
    assert found(history).rates["m"] == pytest.approx((15, 15, 15))


def test_time_without_any_answer_is_told_when_one_comes() -> None:
    history = History(1.0)
    history.look([sample(0, 0)], 0)
    history.look([sample(2, 4)], 2)
    before = history.arrivals()
    history.look([silent(3)], 3)
    assert history.arrivals() == before
    history.look([sample(8, 16)], 8)
    assert found(history).rates["m"] == pytest.approx((2.0,) * 7)


def test_no_pod_means_no_request() -> None:
    history = History(1.0)
    for at_s in range(4):
        history.look([sample(at_s, 3 * at_s)], at_s)
    for at_s in range(4, 8):
        history.look([], at_s)
    assert found(history).rates["m"] == (3, 3, 3, 0, 0, 0)


def test_a_restarted_server_counts_from_there() -> None:
    history = History(1.0)
    for at_s, count in enumerate((1000, 1005, 1010, 2, 7, 12)):
        history.look([sample(at_s, count)], at_s)
    assert found(history).rates["m"] == (5, 5, 0, 5)


def test_a_new_pods_past_is_not_news() -> None:
    history = History(1.0)
    history.look([sample(0, 0)], 0)
    history.look([sample(1, 5), sample(1, 10**6, pod="b")], 1)
    history.look([sample(2, 10), sample(2, 10**6 + 1, pod="b")], 2)
    history.look([sample(3, 15), sample(3, 10**6 + 2, pod="b")], 3)
    assert found(history).rates["m"] == (5, 6)


@pytest.mark.parametrize("wrong", [math.nan, math.inf, -math.inf])
def test_nonsense_is_left_out(wrong: float) -> None:
    history = History(1.0)
    for at_s, count in enumerate((0.0, 2.0, wrong, 6.0, 8.0, 10.0)):
        history.look([sample(at_s, count)], at_s)
    assert found(history).rates["m"] == pytest.approx((2, 2, 2, 2))


def test_a_clock_that_goes_back_is_not_believed() -> None:
    history = History(1.0)
    for at_s in range(5):
        history.look([sample(at_s, at_s)], at_s)
    before = history.arrivals()
    history.look([sample(1, 100)], 1)
    assert history.arrivals() == before


def test_an_hour_is_kept_and_no_more() -> None:
    history = History(2.0)
    for k in range(5000):
        history.look([sample(2.0 * k, float(k * (k + 1)))], 2.0 * k)  # k/s: a ramp
    rates = found(history).rates["m"]
    assert len(rates) == KEPT_S / 2 - 2
    assert rates[-1] - rates[0] == len(rates) - 1  # the newest part of the ramp, in order


def test_a_long_pause_does_not_bring_back_what_is_old() -> None:
    history = History(2.0)
    for k in range(10):
        history.look([sample(2.0 * k, 100.0 * k)], 2.0 * k)
    history.look([], 20.0)
    history.look([], 20.0 + 5 * KEPT_S)
    assert not any(found(history).rates["m"])


@pytest.mark.slow
@given(
    st.lists(st.tuples(st.floats(0.1, 30), st.integers(0, 500)), min_size=2, max_size=60),
    st.floats(0.5, 10),
)
def test_the_sum_is_what_arrived(steps: list[tuple[float, int]], bin_s: float) -> None:
    history = History(bin_s)
    at_s = count = 0.0
    history.look([sample(0, 0)], 0)
    for step_s, more in steps:
        at_s, count = at_s + step_s, count + more
        history.look([sample(at_s, count)], at_s)
    quiet_s = at_s + 3 * max(1.0, bin_s)
    history.look([sample(quiet_s, count)], quiet_s)
    arrivals = found(history)
    total = sum(arrivals.rates["m"]) * arrivals.bin_s
    assert total == pytest.approx(count)
    assert all(rate >= 0 for rate in arrivals.rates["m"])
