from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from conch.errors import FetchError
from conch.fetch import modelconfig

CONFIG = """\
# a comment that only an untouched file keeps
name: "resnet"
backend: "python"
max_batch_size: 4
input [ { name: "X" data_type: TYPE_FP32 dims: [ 4 ] } ]
instance_group [ { count: 1 kind: KIND_GPU gpus: [ 0 ] } ]
parameters { key: "BASE_MS" value: { string_value: "40" } }
"""
MERGED = """\
name: "resnet"
max_batch_size: 16
input {
  name: "X"
  data_type: TYPE_FP32
  dims: 4
}
instance_group {
  count: 3
  gpus: 0
  kind: KIND_GPU
}
dynamic_batching {
  preferred_batch_size: 8
  preferred_batch_size: 16
  max_queue_delay_microseconds: 1500
}
parameters {
  key: "BASE_MS"
  value {
    string_value: "40"
  }
}
backend: "python"
"""
ALL = {
    "maxBatchSize": 16,
    "dynamicBatching": {"maxQueueDelay": "1.5ms", "preferredBatchSizes": [8, 16]},
    "instances": 3,
}


def _merged(tmp_path: Path, text: str | None, overrides: dict[str, Any], name: str) -> str:
    path = tmp_path / "config.pbtxt"
    if text is not None:
        path.write_text(text)
    changed = modelconfig.merge(tmp_path, name, overrides)
    result = path.read_text() if path.exists() else ""
    assert changed == (result != (text or ""))
    return result


def test_merges_every_override_and_keeps_the_rest(tmp_path: Path) -> None:
    assert _merged(tmp_path, CONFIG, ALL, "resnet") == MERGED


@pytest.mark.parametrize("text", [CONFIG, CONFIG.replace('name: "resnet"\n', ""), None])
def test_without_overrides_nothing_is_touched(text: str | None, tmp_path: Path) -> None:
    assert _merged(tmp_path, text, {}, "resnet") == (text or "")


def test_a_newer_field_is_no_trouble_until_it_would_be_lost(tmp_path: Path) -> None:
    text = CONFIG + "invented_in_2030 { x: 1 }\n"
    assert _merged(tmp_path, text, {}, "resnet") == text
    with pytest.raises(FetchError, match=r"cannot be read: .*invented_in_2030.*overrides need"):
        modelconfig.merge(tmp_path, "resnet", ALL)


QUEUES = """\
max_batch_size: 4
dynamic_batching {
  default_queue_policy { max_queue_size: 7 allow_timeout_override: false }
  priority_levels: 2
  default_priority_level: 1
  priority_queue_policy { key: 2 value { timeout_action: DELAY default_timeout_microseconds: 9 } }
}
"""


def _queue_policies(tmp_path: Path) -> list[tuple[str, int, bool, int]]:
    config = modelconfig._parse((tmp_path / "config.pbtxt").read_text(), strict=True)
    batching = config.dynamic_batching
    return [
        (
            policy.TimeoutAction.Name(policy.timeout_action),
            policy.default_timeout_microseconds,
            policy.allow_timeout_override,
            policy.max_queue_size,
        )
        for policy in (batching.default_queue_policy, *batching.priority_queue_policy.values())
    ]


def test_late_requests_are_rejected_in_every_queue_and_its_size_stays(tmp_path: Path) -> None:
    (tmp_path / "config.pbtxt").write_text(QUEUES)
    assert modelconfig.merge(tmp_path, "m", {}, reject_after_us=250_000)
    assert _queue_policies(tmp_path) == [("REJECT", 250_000, True, 7), ("REJECT", 250_000, True, 0)]


def test_rejecting_goes_with_what_else_is_overridden(tmp_path: Path) -> None:
    modelconfig.merge(tmp_path, "resnet", ALL, reject_after_us=1000)
    assert _queue_policies(tmp_path) == [("REJECT", 1000, True, 0)]
    assert "max_queue_delay_microseconds: 1500" in (tmp_path / "config.pbtxt").read_text()


def test_an_ensemble_has_no_queue_and_a_sequence_batcher_no_such_policy(tmp_path: Path) -> None:
    path = tmp_path / "config.pbtxt"
    path.write_text('name: "e"\nensemble_scheduling { step { model_name: "m" } }\n')
    modelconfig.merge(tmp_path, "e", {}, reject_after_us=1000)
    assert "queue_policy" not in path.read_text()
    path.write_text('name: "s"\nsequence_batching { }\n')
    with pytest.raises(FetchError, match=r"sequence_batching.*remove objectives.latency.rejectLa"):
        modelconfig.merge(tmp_path, "s", {}, reject_after_us=1000)


def test_the_name_follows_the_service(tmp_path: Path) -> None:
    assert 'name: "other"' in _merged(tmp_path, CONFIG, {}, "other")


def test_a_model_without_config_gets_one_with_the_overrides(tmp_path: Path) -> None:
    text = _merged(tmp_path, None, {"maxBatchSize": 0, "instances": 2}, "onnx")
    assert text == 'name: "onnx"\ninstance_group {\n  count: 2\n}\n'


def test_empty_dynamic_batching_switches_it_on(tmp_path: Path) -> None:
    text = _merged(tmp_path, CONFIG, {"dynamicBatching": {}}, "resnet")
    assert "dynamic_batching {\n}\n" in text


def test_every_instance_group_gets_the_count(tmp_path: Path) -> None:
    text = CONFIG + "instance_group [ { count: 9 kind: KIND_CPU } ]\n"
    merged = _merged(tmp_path, text, {"instances": 2}, "resnet")
    assert re.findall(r"(?:count|kind): (\w+)", merged) == ["2", "KIND_GPU", "2", "KIND_CPU"]


@pytest.mark.parametrize("scheduler", ["sequence_batching { }", "ensemble_scheduling { }"])
def test_dynamic_batching_never_replaces_another_scheduler(scheduler: str, tmp_path: Path) -> None:
    (tmp_path / "config.pbtxt").write_text(CONFIG + scheduler)
    with pytest.raises(FetchError, match=r"excludes dynamic batching; remove config\.dynamicBat"):
        modelconfig.merge(tmp_path, "resnet", {"dynamicBatching": {}})


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"name: ", "cannot be read: 1:"),
        (b"max_batch_size: many", "cannot be read: 1:"),
        (b"\xff\xfe", "is not text"),
        (b" " * (17 << 20), "is larger than"),
    ],
)
def test_a_config_that_triton_could_not_read(content: bytes, problem: str, tmp_path: Path) -> None:
    (tmp_path / "config.pbtxt").write_bytes(content)
    with pytest.raises(FetchError, match=problem) as caught:
        modelconfig.merge(tmp_path, "m", {})
    assert caught.value.reason == "ModelInvalid"


def _model(tmp_path: Path, config: str, *files: str) -> Path:
    (tmp_path / "config.pbtxt").write_text(config)
    for name in files:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    return tmp_path


def test_a_model_without_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=r"it has no numbered version directory \(1/\)"):
        modelconfig.check(_model(tmp_path, CONFIG, "v1/model.py"))


@pytest.mark.parametrize(
    ("config", "files", "missing"),
    [
        (CONFIG, ["1/model.py"], None),
        (CONFIG, ["1/other.py"], "1/model.py"),
        (CONFIG, ["9/model.py", "10/other.py"], "10/model.py"),
        (CONFIG + 'default_model_filename: "main.py"', ["1/main.py"], None),
        (CONFIG + 'default_model_filename: "main.py"', ["1/model.py"], "1/main.py"),
        ('backend: "tensorrtllm"', ["1/anything"], None),
        ("", ["1/model.onnx"], None),
    ],
)
def test_a_python_model_needs_its_file(
    config: str, files: list[str], missing: str | None, tmp_path: Path
) -> None:
    directory = _model(tmp_path, config, *files)
    if missing is None:
        modelconfig.check(directory)
        return
    with pytest.raises(FetchError, match=f"its backend is python, and {missing} is missing"):
        modelconfig.check(directory)


def test_an_ensemble_gets_the_version_directory_it_cannot_bring(tmp_path: Path) -> None:
    modelconfig.check(_model(tmp_path, 'platform: "ensemble"\nensemble_scheduling { }'))
    assert (tmp_path / "1").is_dir()


@pytest.mark.parametrize(
    ("duration", "expected"),
    [("2ms", 2000), ("100us", 100), ("1.5ms", 1500), ("0.1us", 0), ("1s", 10**6)],
)
def test_durations(duration: str, expected: int) -> None:
    assert modelconfig.microseconds(duration) == expected


STREAMS = """\
backend: "python" # no line ends after the last field
model_transaction_policy { decoupled: true }
invented_in_2030 { x: 1 }"""


def test_a_stream_gets_buckets_and_keeps_all_else(tmp_path: Path) -> None:
    path = tmp_path / "config.pbtxt"
    path.write_text(STREAMS)
    assert modelconfig.add_buckets(tmp_path)
    assert path.read_text().startswith(STREAMS)
    config = modelconfig._parse(path.read_text(), strict=False)
    assert config.model_transaction_policy.decoupled
    (control,) = config.model_metrics.metric_control
    assert control.metric_identifier.family == "nv_inference_first_response_histogram_ms"
    bounds_ms = list(control.histogram_options.buckets)
    assert bounds_ms == sorted(set(bounds_ms))
    assert all(b / a < 1.4 for a, b in pairwise(bounds_ms))
    assert not modelconfig.add_buckets(tmp_path), "once is enough"


@pytest.mark.parametrize(
    "text",
    [CONFIG, STREAMS.replace("true", "false"), STREAMS + "\nmodel_metrics { }", None],
    ids=["batches", "no stream", "its own", "no file"],
)
def test_whoever_needs_no_buckets_keeps_the_file(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "config.pbtxt"
    if text is not None:
        path.write_text(text)
    assert not modelconfig.add_buckets(tmp_path)
    assert (path.read_text() if path.exists() else None) == text
