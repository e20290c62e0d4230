"""Whole runs: local sources, several models, restarts, and what is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from conch.fetch import digest, main
from conch.fetch.request import FetchRequest, ModelRequest, parse
from conch.fetch.run import PARALLEL
from tests.fetch.archives import MODEL, below, tar
from tests.fetch.conftest import Puller
from tests.fetch.servers import Handler, Origin, silent_until
from tests.fetch.test_tree import write

ROOT = Path(__file__).parents[2]


def _claim(tmp_path: Path) -> Path:
    return write(tmp_path / "claim", {**below("models/resnet"), "other/config.pbtxt": b""})


def _baked(puller: Puller, index: int = 0) -> ModelRequest:
    source = write(puller.repository / f".baked-{index}", MODEL)
    return ModelRequest("baked", "image:///opt/models/m", source_dir=str(source))


def test_copies_from_a_claim(tmp_path: Path, puller: Puller) -> None:
    claim = _claim(tmp_path)
    model = ModelRequest(
        "resnet",
        "pvc://claim/models/resnet",
        digest=digest.tree(claim / "models/resnet"),
        config={"maxBatchSize": 2},
        source_dir=str(claim),
    )
    assert puller.run(model) == 0
    assert b"max_batch_size: 2" in puller.files("resnet")["config.pbtxt"]
    assert (claim / "models/resnet/config.pbtxt").read_bytes() == MODEL["config.pbtxt"]


def test_a_stream_gets_buckets_where_the_server_knows_them(tmp_path: Path, puller: Puller) -> None:
    claim = _claim(tmp_path)
    config = claim / "models/resnet/config.pbtxt"
    config.write_text(config.read_text() + "\nmodel_transaction_policy { decoupled: true }\n")
    model = ModelRequest("resnet", "pvc://claim/models/resnet", source_dir=str(claim))
    for stream_buckets in (True, False):
        assert puller.run(replace(model, stream_buckets=stream_buckets)) == 0
        staged = puller.files("resnet")["config.pbtxt"]
        assert (b"model_metrics" in staged) is stream_buckets


@pytest.mark.parametrize(
    ("uri", "reason", "text"),
    [
        ("pvc://claim/models/gone", "ModelNotFound", "the volume has no such directory"),
        ("pvc://claim/models/resnet/config.pbtxt", "ModelNotFound", "no such directory"),
        ("pvc://claim/../x", "SourceNotAllowed", "'..' path segment"),
        ("pvc://claim/out", "SourceNotAllowed", "the path leads out of the volume"),
        ("pvc://claim/models", "", ""),
        ("pvc://claim", "ModelInvalid", "neither config.pbtxt nor a numbered version"),
    ],
)
def test_paths_in_a_claim(uri: str, reason: str, text: str, tmp_path: Path, puller: Puller) -> None:
    claim = _claim(tmp_path)
    (claim / "out").symlink_to(write(tmp_path / "secret", MODEL))
    if not reason:
        (claim / "out").unlink()
        assert puller.run(ModelRequest("m", uri, source_dir=str(claim))) == 0
        return
    if uri == "pvc://claim":
        (claim / "out").unlink()
    assert puller.run(ModelRequest("m", uri, source_dir=str(claim))) == 1
    assert puller.failure["reason"] == reason
    assert text in puller.failure["message"]


def test_moves_a_baked_model(puller: Puller) -> None:
    model = _baked(puller)
    (Path(model.source_dir) / "1").chmod(0o500)  # as it was in the image
    assert puller.run(model) == 0
    assert puller.files("baked") == MODEL
    assert puller.directories == {"baked"}


def test_a_source_the_administrator_does_not_allow(puller: Puller) -> None:
    assert puller.run(_baked(puller), allowed_sources=("s3://ours/",)) == 1
    assert puller.failure == {
        "reason": "SourceNotAllowed",
        "message": "model baked from image:///opt/models/m: the URI is not below any prefix "
        "the administrator allows (s3://ours/)",
        "model": "baked",
    }


@pytest.mark.parametrize("name", ["../evil", ".hidden", "a/b", "x" * 64, "-"])
def test_a_name_is_never_a_path(name: str, puller: Puller) -> None:
    assert puller.run(ModelRequest(name, "image:///m", source_dir="/")) == 1
    assert puller.directories == set()


def test_all_or_nothing_for_one_model(puller: Puller) -> None:
    model = _baked(puller)
    write(Path(model.source_dir), {"config.pbtxt": b"backend: "})
    assert puller.run(model) == 1
    assert puller.failure["reason"] == "ModelInvalid"
    assert puller.directories == set()


def test_what_is_staged_is_not_fetched_again(web: Origin, puller: Puller) -> None:
    model = ModelRequest("m", web.serve("/m", tar(MODEL)))
    leftovers = write(puller.repository / ".baked-7", MODEL)
    assert puller.run(model) == 0
    assert puller.run(model) == 0
    assert len(web.requests) == 1
    assert not leftovers.exists()


def test_another_request_replaces_what_is_staged(web: Origin, puller: Puller) -> None:
    uri = web.serve("/m", tar(MODEL))
    assert puller.run(ModelRequest("m", uri)) == 0
    web.serve("/m", tar({"1/model.onnx": b""}))
    assert puller.run(ModelRequest("m", uri, config={"instances": 1})) == 0
    assert set(puller.files("m")) == {"1/model.onnx", "config.pbtxt"}


def test_several_models_at_once_but_not_too_many(web: Origin, puller: Puller) -> None:
    together = threading.Barrier(PARALLEL)
    running, most, lock = 0, 0, threading.Lock()

    def answer(handler: Handler) -> None:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        together.wait(timeout=20)
        with lock:
            running -= 1
        handler.content(tar(MODEL))

    web.answers["/m"] = answer
    models = [ModelRequest(f"m{n}", web.url("/m")) for n in range(2 * PARALLEL)]
    assert puller.run(*models) == 0
    assert puller.directories == {model.name for model in models}
    assert most == PARALLEL


def test_one_failure_ends_the_run_at_once(web: Origin, puller: Puller) -> None:
    released = threading.Event()
    web.answers["/slow"] = silent_until(released)
    started_s = time.monotonic()
    code = puller.run(
        ModelRequest("slow", web.url("/slow")), ModelRequest("gone", web.url("/gone"))
    )
    released.set()
    assert code == 1
    assert time.monotonic() - started_s < 10
    assert puller.failure["model"] == "gone"


@pytest.mark.slow
def test_the_time_limit_holds_for_a_server_that_says_nothing(web: Origin, puller: Puller) -> None:
    released = threading.Event()
    web.answers["/m"] = silent_until(released)
    started_s = time.monotonic()
    assert puller.run(ModelRequest("m", web.url("/m")), timeout_s=0.5) == 1
    released.set()
    assert time.monotonic() - started_s < 5
    assert puller.failure["reason"] == "ModelFetchFailed"


def test_a_bug_is_reported_without_what_it_quotes(
    puller: Puller, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def broken(model: ModelRequest, *_: object) -> str:
        raise KeyError(model.config["secret"])  # the traceback shows this line, not the value

    monkeypatch.setattr("conch.fetch.run.stage", broken)
    model = ModelRequest("m", "image:///m", config={"secret": "canary"})
    assert puller.run(model) == 1
    assert puller.failure["reason"] == "InternalError"
    assert "KeyError" in puller.failure["message"]
    assert "canary" not in puller.log.read_text() + "".join(capfd.readouterr())


def test_progress_is_printed(puller: Puller, capfd: pytest.CaptureFixture[str]) -> None:
    assert puller.run(_baked(puller)) == 0
    out = capfd.readouterr().out
    assert out.startswith("model baked from image:///opt/models/m: staged, 0.0 MiB, ")


@pytest.mark.parametrize("arguments", [[], ["--model={}"], ["--max-bytes=1", "--model=x"], ["x"]])
def test_a_wrong_call_is_one_sentence(
    arguments: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert len(capfd.readouterr().err.strip().splitlines()) == 1


def test_the_command_line_carries_the_whole_request() -> None:
    request = FetchRequest(
        models=(
            ModelRequest("a", "s3://b/a", "sha256:0", {"instances": 1}, "/secrets/0", "/sources/0"),
            ModelRequest("b", "image:///b"),
        ),
        allowed_sources=("s3://", "image://"),
        max_bytes=5,
        repository="/elsewhere",
        allow_private_hosts=True,
        max_files=7,
        timeout_s=1.5,
        termination_log="/log",
    )
    assert parse(request.arguments()) == request


# --- as a process, the way a container runs it -----------------------------------------------


def _start(puller: Puller, *models: ModelRequest) -> subprocess.Popen[str]:
    request = FetchRequest(
        models=models,
        allowed_sources=("https://", "image://"),
        allow_private_hosts=True,
        max_bytes=1 << 30,
        repository=str(puller.repository),
        termination_log=str(puller.log),
    )
    return subprocess.Popen(
        [sys.executable, "-m", "conch.fetch", *request.arguments()],
        env={**os.environ, "PYTHONPATH": str(ROOT / "operator")},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _killed_in_the_middle(puller: Puller, web: Origin, number: signal.Signals) -> int:
    """Starts a download that hangs half-way, kills the process there, returns its exit code."""
    content = tar({**MODEL, "1/weights": os.urandom(3_000_000)}, compressed=False)
    half_way, released = threading.Event(), threading.Event()

    def answer(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content[: len(content) // 2])
        handler.wfile.flush()
        half_way.set()
        released.wait(20)
        handler.close_connection = True

    web.answers["/m"] = answer
    process = _start(puller, ModelRequest("m", web.url("/m")))
    try:
        assert half_way.wait(20)
        process.send_signal(number)
        process.communicate(timeout=20)
    finally:
        released.set()
        process.kill()
        process.communicate()
    web.serve("/m", content)
    return process.returncode


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, 143)]
)
def test_killed_in_the_middle_and_run_again(
    number: signal.Signals, code: int, web: Origin, puller: Puller
) -> None:
    assert _killed_in_the_middle(puller, web, number) == code
    assert puller.directories <= {".tmp-m"}  # nothing that looks finished
    assert puller.run(ModelRequest("m", web.url("/m"))) == 0
    assert puller.directories == {"m"}
    assert set(puller.files("m")) == {*MODEL, "1/weights"}


def test_ends_soon_and_says_why(puller: Puller) -> None:
    process = _start(puller, ModelRequest("m", "image:///opt/m", source_dir="/nowhere"))
    out, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert err == (
        "ModelNotFound: model m from image:///opt/m: "
        "the runtime's image has no such directory; check the URI\n"
    )
    assert puller.failure["reason"] == "ModelNotFound"
    assert out == ""


def test_the_puller_loads_nothing_heavy(puller: Puller) -> None:
    model = _baked(puller)
    arguments = FetchRequest(
        models=(replace(model, config={"instances": 2}),),
        allowed_sources=("image://",),
        max_bytes=1 << 20,
        repository=str(puller.repository),
    ).arguments()
    program = (
        "import json, sys\n"
        "from conch.fetch import main\n"
        f"code = main({arguments!r})\n"
        "print(json.dumps([code, sorted(m.partition('.')[0] for m in sys.modules)]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(ROOT / "operator")},
        capture_output=True,
        text=True,
        check=True,
    )
    code, modules = json.loads(done.stdout.splitlines()[-1])
    assert code == 0
    heavy = {"kopf", "kubernetes", "pydantic", "typer", "rich", "aiohttp", "asyncio", "grpc"}
    assert not (heavy | {"numpy", "obstore", "tritonclient"}) & set(modules)
