import pytest

from e2e.fleet.counters import Counters
from e2e.fleet.load import Load


def run(load: Load, seconds: float, steps: int = 1) -> Counters:
    counters = Counters()
    for _ in range(steps):
        counters.advance(load, seconds / steps, wall_ms=1_000)
    return counters


def test_a_load_within_capacity_is_served_whole() -> None:
    counters = run(Load(rate_per_s=30), 10)
    assert counters.succeeded == pytest.approx(300)
    assert counters.pending == 0
    assert counters.executions == pytest.approx(150)  # batches of 2
    assert counters.batches[2].infer_us / counters.batches[2].executions == pytest.approx(60_000)
    assert counters.infer_us == pytest.approx(300 * 60_000)  # the batch's time per request


def test_beyond_capacity_the_backlog_grows_and_requests_wait() -> None:
    counters = run(Load(rate_per_s=80), 10)
    assert counters.succeeded == pytest.approx(500)  # 4 per 80 ms
    assert counters.pending == pytest.approx(300)
    assert counters.queue_us / counters.succeeded > 2e6
    counters.advance(Load(rate_per_s=0), 6, wall_ms=2_000)
    assert counters.pending == 0
    assert counters.succeeded == pytest.approx(800)


@pytest.mark.parametrize("rate_per_s", [7, 49, 120])
def test_how_often_one_looks_does_not_matter(rate_per_s: float) -> None:
    once, often = run(Load(rate_per_s=rate_per_s), 12), run(Load(rate_per_s=rate_per_s), 12, 60)
    assert often.succeeded == pytest.approx(once.succeeded)
    assert often.pending == pytest.approx(once.pending)
    assert often.queue_us == pytest.approx(once.queue_us, rel=1e-6)


def test_rejected_requests_are_not_served() -> None:
    counters = run(Load(rate_per_s=20, failure_share=0.25), 10)
    assert (counters.succeeded, counters.rejected) == (pytest.approx(150), pytest.approx(50))


def test_no_traffic_has_no_latency() -> None:
    counters = run(Load(rate_per_s=20), 10)
    assert counters.p99_us is not None
    counters.advance(Load(), 10, wall_ms=3_000)
    assert counters.p99_us is None
    assert counters.last_inference_ms == 1_000


def test_a_lie_is_about_totals_only() -> None:
    counters = run(Load(rate_per_s=80), 10)
    lie = counters.times(10)
    assert lie.executions == pytest.approx(10 * counters.executions)
    assert lie.request_us == pytest.approx(10 * counters.request_us)
    assert lie.pending == counters.pending
