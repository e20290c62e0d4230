"""Sizes in the termination message: what is written, what of it is believed, what it gives away."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from conch.fetch.report import Staged, model_key, read, text
from conch.fetch.request import ModelRequest
from tests.fetch.archives import below, tar
from tests.fetch.conftest import Puller
from tests.fetch.servers import Origin
from tests.fetch.test_tree import write

KEY = "0123456789ab"


def test_what_is_written_is_read() -> None:
    assert read(text([Staged(KEY, 5), Staged("b" * 12, 7)])) == {KEY: 5, "b" * 12: 7}


def test_the_largest_message_is_one_that_the_kubelet_keeps() -> None:
    message = text(Staged(f"{n:012d}", 1 << 45) for n in range(64))
    assert len(message) <= 4096
    assert len(read(message)) == 64


@pytest.mark.parametrize(
    "message",
    [
        "",
        "no JSON",
        "[" * 4000,
        '{"staged"',
        '{"staged": [1]}',
        '{"staged": 7}',
        '{"staged": {"0123456789ab": true}}',
        '{"staged": {"0123456789ab": -1}}',
        '{"staged": {"0123456789ab": 0}}',
        '{"staged": {"0123456789ab": 1e9}}',
        '{"staged": {"0123456789ab": 35184372088833}}',
        '{"staged": {"0123456789ab": NaN}}',
        '{"staged": {"0123456789ab": ' + "9" * 4000 + "}}",
        '{"staged": {"short": 1}}',
        '{"staged": {"0123456789ab": 1, "short": 1}}',
        json.dumps({"staged": {f"{n:012d}": 1 for n in range(65)}}),
        '{"staged": {"0123456789ab": 1}}' + " " * 4096,
        '{"staged": ' + "[" * 4000,
        "\ud800",
    ],
)
def test_anything_else_says_nothing(message: str) -> None:
    assert read(message) == {}


def test_a_model_is_known_by_what_is_asked_for() -> None:
    same = model_key("s3://b/m", "", {"instances": 2, "maxBatchSize": 4})
    assert same == model_key("s3://b/m", "", {"maxBatchSize": 4, "instances": 2})
    others = {
        model_key("s3://b/m2", "", {"instances": 2, "maxBatchSize": 4}),
        model_key("s3://b/m", "sha256:0", {"instances": 2, "maxBatchSize": 4}),
        model_key("s3://b/m", "", {}),
    }
    assert len({same, *others}) == 4


def test_a_run_tells_sizes_and_nothing_else(web: Origin, puller: Puller) -> None:
    content = {"config.pbtxt": b"", "1/model.onnx": b"x" * 1000}
    uri = f"{web.serve('/secret-path', tar(content))}?token=hidden"
    model = ModelRequest("m", uri, config={"instances": 2})
    for _ in range(2):  # the second time it is staged already
        assert puller.run(model) == 0
        told = puller.log.read_text()
        ((key, size),) = read(told).items()
        assert key == model_key(uri, "", {"instances": 2})
        assert 1000 <= size < 1100
        assert "secret" not in told
        assert "hidden" not in told
        puller.log.unlink()


@pytest.mark.parametrize(
    ("policy", "loaded"),
    [
        ("", 2000),
        ("version_policy { latest { } }", 2000),
        ("version_policy { latest { num_versions: 2 } }", 2100),
        ("version_policy { all { } }", 2101),
        ("version_policy { specific { versions: [1, 2] } }", 101),
    ],
)
def test_only_versions_that_are_loaded_count(
    policy: str, loaded: int, tmp_path: Path, puller: Puller
) -> None:
    files = {
        "config.pbtxt": policy.encode(),
        "labels.txt": b"l" * 10,
        "1/model.onnx": b"x",
        "2/model.onnx": b"x" * 100,
        "10/model.onnx": b"x" * 2000,
    }
    claim = write(tmp_path / "claim", below("m", files))
    model = ModelRequest("m", "pvc://claim/m", source_dir=str(claim))
    assert puller.run(model) == 0
    (size,) = read(puller.log.read_text()).values()
    assert size == loaded + 10 + len(policy)


def test_a_message_that_cannot_be_written_is_no_failure(tmp_path: Path, puller: Puller) -> None:
    claim = write(tmp_path / "claim", below("m"))
    model = ModelRequest("m", "pvc://claim/m", source_dir=str(claim))
    assert puller.run(model, termination_log=str(tmp_path / "nowhere" / "log")) == 0
    assert puller.directories == {"m"}
