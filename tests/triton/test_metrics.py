import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from conch.errors import TritonError
from conch.triton.metrics import parse

DATA = Path(__file__).parent / "data"
BUSY = (DATA / "24.10-busy.metrics.txt").read_text()
IDLE = (DATA / "24.10-idle.metrics.txt").read_text()


def test_a_busy_server() -> None:
    found = parse(BUSY, ["resnet"], 99)["resnet"]
    assert (found.success, found.failure, found.inferences, found.executions) == (45, 0, 45, 13)
    assert found.request_s == pytest.approx(19.569899)
    assert found.queue_s == pytest.approx(15.923218)
    assert found.pending == 32
    assert found.latency_s == pytest.approx(0.857679)


def test_an_idle_server_has_zeros_and_no_latency() -> None:
    found = parse(IDLE, ["resnet"], 99)["resnet"]
    assert found.success == 0
    assert found.latency_s is None  # Triton says Nan


def test_another_percentile_is_not_taken_for_the_objective() -> None:
    assert parse(BUSY, ["resnet"], 95)["resnet"].latency_s is None


def test_versions_and_gpus_are_summed_and_other_models_left_out() -> None:
    text = "\n".join(
        line.replace('model="resnet"', f'gpu_uuid="{gpu}",model="{model}"').replace(
            'version="1"', f'version="{version}"'
        )
        for gpu in ("GPU-a", "GPU-b")
        for model in ("resnet", "resnet-next")
        for version in (1, 2)
        for line in BUSY.splitlines()
        if "summary" not in line or model == "resnet"
    )
    found = parse(text, ["resnet"], 99)
    assert found.keys() == {"resnet"}
    assert found["resnet"].success == 4 * 45
    assert found["resnet"].latency_s == pytest.approx(0.857679)


def test_failures_are_summed_over_reasons() -> None:
    text = BUSY.replace('reason="REJECTED",version="1"} 0', 'reason="REJECTED",version="1"} 7')
    text = text.replace('reason="BACKEND",version="1"} 0', 'reason="BACKEND",version="1"} 5')
    found = parse(text, ["resnet"], 99)["resnet"]
    assert (found.failure, found.rejected) == (12, 7)


def test_without_the_pending_gauge() -> None:
    text = "\n".join(line for line in BUSY.splitlines() if "pending" not in line)
    assert parse(text, ["resnet"], 99)["resnet"].pending is None


@pytest.mark.parametrize("value", ["Nan", "NaN", "+Inf", "-1", "1e999", "many"])
@pytest.mark.parametrize("family", ["nv_inference_count", "nv_inference_pending_request_count"])
def test_an_impossible_value_is_an_error_that_names_it(family: str, value: str) -> None:
    lines = [
        f'{family}{{model="resnet",version="1"}} {value}' if line.startswith(family) else line
        for line in BUSY.splitlines()
    ]
    with pytest.raises(TritonError, match=f"{family} of.* resnet is"):
        parse("\n".join(lines), ["resnet"], 99)


def test_a_model_that_is_not_there_is_an_error() -> None:
    with pytest.raises(TritonError, match="no nv_inference_request_success of model bert"):
        parse(BUSY, ["resnet", "bert"], 99)


@given(st.text(alphabet='nv_inference_count{}"\\=,. 1\n', max_size=400))
def test_any_text_is_parsed_or_refused(text: str) -> None:
    with pytest.raises(TritonError):
        parse(BUSY.replace("nv_inference_count", "nv_other") + text, ["resnet"], 99)


def test_an_unclosed_quote_costs_no_time() -> None:
    text = 'nv_inference_count{model="' * 100_000
    started = time.process_time()
    with pytest.raises(TritonError):
        parse(text, ["resnet"], 99)
    assert time.process_time() - started < 1


def test_several_times_faster_than_the_general_parser() -> None:
    text = BUSY * 16

    def ours() -> None:
        parse(text, ["resnet"], 99)

    def general() -> None:
        for family in text_string_to_metric_families(text):
            assert family.name

    def fastest(action: object) -> float:
        times = []
        for _ in range(3):
            started = time.perf_counter()
            action()  # type: ignore[operator]
            times.append(time.perf_counter() - started)
        return min(times)

    assert fastest(ours) * 3 < fastest(general)
