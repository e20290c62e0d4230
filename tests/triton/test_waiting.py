"""Ensembles and streams: what a client waits for, from captures of 24.10 and made-up histograms."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conch.errors import TritonError
from conch.triton import metrics, statistics
from conch.triton.sample import Histogram, ModelCounters
from conch.triton.waiting import fold, streamed

DATA = Path(__file__).parent / "data"
TEXT = (DATA / "24.10-ensemble.metrics.txt").read_text()
STATS = (DATA / "24.10-ensemble.stats.json").read_bytes()
MODELS = ["pipe", "pre", "net"]
PIPE = {"pipe": ("pre", "net")}

BOUNDS_S = (0.1, 0.5, 2.0, 5.0, math.inf)


def captured() -> dict[str, ModelCounters]:
    return metrics.parse(TEXT, MODELS, 99)


# --- ensembles ------------------------------------------------------------------------------------


def test_what_triton_says_of_an_ensemble_is_its_members_added_up() -> None:
    found = captured()
    pipe, pre, net = (found[name] for name in MODELS)
    assert pipe.request_s == pytest.approx(pre.request_s + net.request_s, rel=0.01)
    assert (pipe.executions, pipe.pending) == (60, 0)
    assert net.executions < 30  # its batches are of three and four
    batches = statistics.read(STATS, MODELS)
    assert batches["pipe"].batches.keys() == {1}


def test_members_stand_for_the_ensemble() -> None:
    found = captured()
    folded = fold(found, PIPE)
    assert folded.keys() == {"pre", "net"}
    assert sum(c.success for c in folded.values()) == 120
    assert {c.latency_s for c in folded.values()} == {found["pipe"].latency_s}


def test_a_member_has_what_the_others_leave_it() -> None:
    found = captured()
    folded = fold(found, PIPE)
    net_compute_s = (found["net"].request_s - found["net"].queue_s) / 60
    pre_compute_s = (found["pre"].request_s - found["pre"].queue_s) / 60
    assert folded["pre"].beside_s == pytest.approx(net_compute_s)
    assert folded["net"].beside_s == pytest.approx(pre_compute_s)


def test_members_side_by_side_do_not_add_up() -> None:
    found = captured()
    both = {name: replace(found["net"]) for name in ("left", "right")}
    both["pair"] = replace(found["net"], latency_s=0.2)
    folded = fold(both, {"pair": ("left", "right")})
    assert {c.beside_s for c in folded.values()} == {0.0}


def test_an_ensemble_in_an_ensemble() -> None:
    found = captured()
    found["outer"] = replace(found["pipe"], latency_s=0.5)
    folded = fold(found, {**PIPE, "outer": ("pipe",)})
    assert folded.keys() == {"pre", "net"}
    assert {c.latency_s for c in folded.values()} == {0.5}


def test_circles_and_members_elsewhere_end() -> None:
    assert fold(captured(), {"pipe": ("pipe", "elsewhere")}).keys() == {"pre", "net"}


def test_without_ensembles_nothing_changes() -> None:
    assert fold(captured(), {}) == captured()


# --- streams --------------------------------------------------------------------------------------


def stream(counts: tuple[float, ...], sum_s: float, **changed: object) -> ModelCounters:
    """Each request takes 3 s in all."""
    made = ModelCounters(
        success=counts[-1],
        failure=0,
        inferences=counts[-1],
        executions=counts[-1],
        request_s=3 * counts[-1],
        queue_s=0,
        pending=0,
        latency_s=3.2,
        first_response=Histogram(BOUNDS_S, counts, sum_s),
    )
    return replace(made, **changed)  # type: ignore[arg-type]


def test_a_stream_is_waited_for_until_its_first_response() -> None:
    seen = streamed(None, stream((90, 100, 100, 100, 100), 8.0), 0.0, 0.0, 95)
    assert seen.latency_s == pytest.approx(0.3)  # half way through 0.1 … 0.5
    assert seen.beside_s == pytest.approx(-(3.0 - 0.08))


def test_a_model_that_answers_once_keeps_its_own_latency() -> None:
    whole = stream((0, 0, 0, 100, 100), 298.0)
    assert streamed(None, whole, 0.0, 0.0, 95) == whole


def test_without_a_histogram_the_statistics_tell_the_tail() -> None:
    seen = streamed(None, stream((0,) * 4 + (100,), 0, first_response=None), 0.0, 2.5, 95)
    assert seen.latency_s == pytest.approx(0.7)
    assert seen.beside_s == -2.5


def test_beyond_the_last_bound_is_at_least_that() -> None:
    seen = streamed(None, stream((0, 0, 0, 0, 100), 100.0), 0.0, 0.0, 95)
    assert seen.latency_s == 5.0


def test_the_past_fades() -> None:
    before = streamed(None, stream((0, 0, 100, 100, 100), 150.0), 0.0, 0.0, 50)
    assert before.latency_s == pytest.approx(1.25)
    after = streamed(before, stream((100, 100, 200, 200, 200), 155.0), 2.0, 0.0, 50)
    assert after.latency_s is not None
    assert after.latency_s < 0.2
    long_after = streamed(after, stream((100, 100, 200, 200, 200), 155.0), 600.0, 0.0, 50)
    assert long_after.latency_s is None  # no request for long: as Triton's own quantiles


def test_a_restart_starts_anew() -> None:
    before = streamed(None, stream((0, 0, 100, 100, 100), 150.0), 0.0, 0.0, 50)
    after = streamed(before, stream((10, 10, 10, 10, 10), 0.5), 2.0, 0.0, 50)
    assert after.latency_s == pytest.approx(0.05)


@given(
    st.lists(st.floats(0, 1e6), min_size=5, max_size=5),
    st.lists(st.floats(0, 1e6), min_size=5, max_size=5),
    st.floats(0, 1e3),
    st.floats(1, 99.9),
)
def test_any_histogram_gives_a_latency_or_none(
    one: list[float], more: list[float], elapsed_s: float, percentile: float
) -> None:
    old = [sum(one[: i + 1]) for i in range(5)]
    new = [a + sum(more[: i + 1]) for i, a in enumerate(old)]
    before = streamed(None, stream(tuple(old), 0.0), 0.0, 0.0, percentile)
    seen = streamed(before, stream(tuple(new), 0.0), elapsed_s, 0.0, percentile)
    assert seen.latency_s is None or 0 <= seen.latency_s <= 5.0


# --- what is read ---------------------------------------------------------------------------------


def buckets(model: str, *counts: int, bounds: str = "100 500 +Inf") -> str:
    family = "nv_inference_first_response_histogram_ms"
    return (
        f'\n{family}_count{{model="{model}",version="1"}} {counts[-1]}'
        f'\n{family}_sum{{model="{model}",version="1"}} 1500\n'
        + "\n".join(
            f'{family}_bucket{{model="{model}",version="1",le="{le}"}} {count}'
            for le, count in zip(bounds.split(), counts, strict=True)
        )
    )


def test_the_histogram_is_read() -> None:
    found = metrics.parse(TEXT + buckets("net", 5, 9, 10), MODELS, 99)
    assert found["net"].first_response == Histogram((0.1, 0.5, math.inf), (5, 9, 10), 1.5)
    assert found["pre"].first_response is None


@pytest.mark.parametrize("text", [buckets("net", 5, 4, 10), buckets("net", 5, 9, bounds="100 500")])
def test_a_histogram_that_cannot_be_right_is_none(text: str) -> None:
    assert metrics.parse(TEXT + text, MODELS, 99)["net"].first_response is None


@pytest.mark.parametrize("bound", ["Nan", "x"])
def test_a_bound_that_is_no_number_is_an_error(bound: str) -> None:
    with pytest.raises(TritonError, match="has no bound"):
        metrics.parse(TEXT + buckets("net", 5, bounds=bound), MODELS, 99)


def test_response_statistics_tell_what_comes_after_the_first() -> None:
    responses = (
        b'"response_stats":{"0":{"compute_infer":{"count":60,"ns":1800000000},"success":{"count":60,'
        b'"ns":1}},"1":{"compute_infer":{"count":60,"ns":1}}}'
    )
    assert statistics.read(STATS, ["stream"])["stream"].tail_s == 0.0
    body = STATS[: STATS.rindex(b'"response_stats"')] + STATS[
        STATS.rindex(b'"response_stats"') :
    ].replace(b'"response_stats":{}', responses)
    whole_s = 7.684 / 60  # what the capture has for computing, in all
    assert statistics.read(body, ["stream"])["stream"].tail_s == pytest.approx(
        whole_s - 0.03, rel=0.01
    )
