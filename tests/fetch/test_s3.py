from __future__ import annotations

import threading
import time
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from conch.fetch import address, digest
from conch.fetch import s3 as store
from conch.fetch.request import ModelRequest
from tests.fetch.archives import MODEL, below
from tests.fetch.conftest import Puller
from tests.fetch.servers import Origin, running, s3_answers, silent_until

OBJECTS = {
    **below("models/resnet"),
    "models/resnet/": b"",  # what consoles create as directories
    "models/resnet/1/": b"",
    "models/resnet2/config.pbtxt": b"not ours",
    "models/hello world+ä/config.pbtxt": b"",
}


@pytest.fixture
def secret(s3: Origin, tmp_path: Path) -> Path:
    """The Secret of a bucket on the test's own endpoint."""
    s3_answers(s3, "bucket", OBJECTS)
    directory = tmp_path / "secret"
    directory.mkdir()
    fields = {
        "accessKeyId": "canary-id",
        "secretAccessKey": "canary-key\n",
        "endpoint": f"http://localhost:{s3.port}/\n",
    }
    for name, value in fields.items():
        (directory / name).write_text(value)
    return directory


def _model(uri: str, secret: Path, **fields: Any) -> ModelRequest:
    return ModelRequest("resnet", uri, secret_dir=str(secret), **fields)


def test_stages_everything_below_the_prefix(s3: Origin, secret: Path, puller: Puller) -> None:
    assert puller.run(_model("s3://bucket/models/resnet", secret)) == 0
    assert puller.files("resnet") == MODEL
    authorization = s3.requests[0][1]["authorization"]
    assert authorization.startswith("AWS4-HMAC-SHA256 Credential=canary-id/")
    assert "/us-east-1/s3/" in authorization


def test_region_and_session_token_are_used(s3: Origin, secret: Path, puller: Puller) -> None:
    (secret / "region").write_text("eu-central-1")
    (secret / "sessionToken").write_text("canary-session")
    assert puller.run(_model("s3://bucket/models/resnet/", secret)) == 0
    headers = s3.requests[0][1]
    assert "/eu-central-1/s3/" in headers["authorization"]
    assert headers["x-amz-security-token"] == "canary-session"


def test_without_keys_requests_are_not_signed(s3: Origin, secret: Path, puller: Puller) -> None:
    (secret / "accessKeyId").unlink()
    (secret / "secretAccessKey").unlink()
    assert puller.run(_model("s3://bucket/models/resnet", secret)) == 0
    assert "authorization" not in s3.requests[0][1]


@pytest.mark.slow
def test_the_digest_is_of_the_tree(secret: Path, puller: Puller) -> None:
    right = _tree_digest(puller, secret)
    wrong = "sha256:" + "0" * 64
    assert puller.run(_model("s3://bucket/models/resnet", secret, digest=right)) == 0
    assert puller.run(_model("s3://bucket/models/resnet", secret, digest=wrong)) == 1
    assert puller.failure["reason"] == "DigestMismatch"


def _tree_digest(puller: Puller, secret: Path) -> str:
    assert puller.run(_model("s3://bucket/models/resnet", secret)) == 0
    return digest.tree(puller.repository / "resnet")


@pytest.mark.parametrize(
    ("uri", "reason", "text"),
    [
        ("s3://bucket/models/nothing", "ModelNotFound", "nothing is stored below it"),
        ("s3://bucket/models/res", "ModelNotFound", "nothing is stored below it"),
        ("s3://other/models", "ModelNotFound", "does not exist"),
        ("s3://b/m", "ModelFetchFailed", "b is not a valid bucket name"),
        ("s3://bucket/models/hello", "ModelNotFound", "nothing is stored below it"),
    ],
)
def test_what_is_not_there(uri: str, reason: str, text: str, secret: Path, puller: Puller) -> None:
    assert puller.run(_model(uri, secret)) == 1
    assert puller.failure["reason"] == reason
    assert text in puller.failure["message"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("status", "text"),
    [
        (403, "the bucket refuses the credentials in source.secretRef"),
        (401, "the bucket refuses the credentials in source.secretRef"),
        (503, "the object store answers 503"),
    ],
)
def test_refusals_are_named_soon_and_show_no_credentials(
    status: int,
    text: str,
    s3: Origin,
    secret: Path,
    puller: Puller,
    capfd: pytest.CaptureFixture[str],
) -> None:
    s3.answers["/bucket"] = lambda handler: handler.status(status)
    started_s = time.monotonic()
    assert puller.run(_model("s3://bucket/models/resnet", secret)) == 1
    assert time.monotonic() - started_s < 9
    assert puller.failure["reason"] == "ModelFetchFailed"
    assert puller.failure["message"].endswith(text)
    assert "canary" not in puller.log.read_text() + "".join(capfd.readouterr())


def test_a_silent_endpoint_is_reported_soon(
    s3: Origin, secret: Path, puller: Puller, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The limits scaled down alike: the wait for an answer uses up the time for retries.
    assert store._CLIENT["read_timeout"] == "7s"
    assert store._RETRY["retry_timeout"] == timedelta(seconds=5)
    monkeypatch.setitem(store._CLIENT, "read_timeout", "350ms")
    monkeypatch.setitem(store._RETRY, "retry_timeout", timedelta(milliseconds=250))
    released = threading.Event()
    s3.answers["/bucket"] = silent_until(released)
    started_s = time.monotonic()
    assert puller.run(_model("s3://bucket/models/resnet", secret)) == 1
    released.set()
    assert time.monotonic() - started_s < 4
    assert len(s3.requests) == 1
    assert "the endpoint does not answer in time" in puller.failure["message"]


def test_the_object_stores_own_code_is_shown(s3: Origin, secret: Path, puller: Puller) -> None:
    body = b"<Error><Code>InvalidAccessKeyId</Code><Message>canary</Message></Error>"

    def answer(handler: Any) -> None:
        handler.send_response(403)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    s3.answers["/bucket"] = answer
    assert puller.run(_model("s3://bucket/models/resnet", secret)) == 1
    assert puller.failure["message"].endswith("source.secretRef (InvalidAccessKeyId)")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("endpoint", "text"),
    [
        ("http://localhost:1", "the endpoint refuses connections"),
        ("http://nowhere.invalid", "host nowhere.invalid does not exist"),
        ("ftp://localhost", "endpoint in the Secret must read"),
        ("http://user:canary@localhost", "endpoint in the Secret must read"),
        ("http://localhost/path", "endpoint in the Secret must read"),
        ("http://localhost:x", "endpoint in the Secret must read"),
    ],
)
def test_unusable_endpoints(endpoint: str, text: str, secret: Path, puller: Puller) -> None:
    (secret / "endpoint").write_text(endpoint)
    started_s = time.monotonic()
    assert puller.run(_model("s3://bucket/models/resnet", secret)) == 1
    assert time.monotonic() - started_s < 9
    assert text in puller.failure["message"]
    assert "canary" not in puller.log.read_text()


@pytest.mark.slow
def test_an_untrusted_certificate_is_refused(web: Origin, secret: Path, puller: Puller) -> None:
    (secret / "endpoint").write_text(web.url(""))
    assert puller.run(_model("s3://bucket/models/resnet", secret)) == 1
    assert "the endpoint's TLS certificate is not trusted" in puller.failure["message"]


@pytest.mark.parametrize("path", ["/bucket", "/bucket/models/resnet/config.pbtxt"])
def test_follows_no_redirect_to_another_host(
    path: str, s3: Origin, secret: Path, puller: Puller
) -> None:
    """An endpoint that its owner chose must not reach what he could not name as one."""
    (secret / "sessionToken").write_text("canary-session")
    with running(tls=False) as elsewhere:
        s3_answers(elsewhere, "bucket", OBJECTS)
        location = f"http://127.0.0.1:{elsewhere.port}{path}"
        s3.answers[path] = lambda handler: handler.status(307, Location=location)
        assert puller.run(_model("s3://bucket/models/resnet", secret)) == 1
        assert elsewhere.requests == []
    assert puller.failure["message"].endswith("the endpoint redirects to another host, 127.0.0.1")


@pytest.mark.slow
def test_tls_goes_through_the_guard_untouched(
    web: Origin, secret: Path, puller: Puller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Encrypted, the guard sees hosts only: it lets the endpoint pass and no other."""
    monkeypatch.setitem(store._CLIENT, "allow_invalid_certificates", True)
    (secret / "endpoint").write_text(web.url(""))
    s3_answers(web, "bucket", OBJECTS)
    assert puller.run(_model("s3://bucket/models/resnet", secret)) == 0
    assert puller.files("resnet") == MODEL
    path = "/bucket/models/resnet/config.pbtxt"
    with running(tls=True) as elsewhere:
        location = f"https://127.0.0.1:{elsewhere.port}{path}"
        web.answers[path] = lambda handler: handler.status(307, Location=location)
        assert puller.run(replace(_model("s3://bucket/models/resnet", secret), name="n")) == 1
        assert elsewhere.requests == []
    assert puller.failure["message"].endswith("the endpoint redirects to another host, 127.0.0.1")


def test_the_address_that_was_judged_is_the_one_that_is_used(
    s3: Origin, secret: Path, puller: Puller, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that means something else a moment later, or something only the client knows."""
    (secret / "endpoint").write_text(f"http://models.example:{s3.port}")
    monkeypatch.setattr(address, "_lookup", lambda host, port: ["127.0.0.1"])
    assert puller.run(_model("s3://bucket/models/resnet", secret)) == 0
    assert s3.requests[0][1]["host"] == f"models.example:{s3.port}"


def test_a_region_cannot_change_the_host(secret: Path, puller: Puller) -> None:
    (secret / "endpoint").unlink()
    (secret / "region").write_text("x.evil.example/#")
    assert puller.run(_model("s3://bucket/models/resnet", secret)) == 1
    assert "region in the Secret" in puller.failure["message"]


def test_private_endpoints_are_refused_unless_allowed(
    s3: Origin, secret: Path, puller: Puller
) -> None:
    model = _model("s3://bucket/models/resnet", secret)
    assert puller.run(model, allow_private_hosts=False) == 1
    assert puller.failure["reason"] == "SourceNotAllowed"
    assert s3.requests == []


@pytest.mark.parametrize("settings", [{"max_bytes": 20}, {"max_files": 1}])
def test_limits_are_judged_before_anything_is_downloaded(
    settings: dict[str, int], s3: Origin, secret: Path, puller: Puller
) -> None:
    assert puller.run(_model("s3://bucket/models/resnet", secret), **settings) == 1
    assert puller.failure["reason"] == "ModelFetchFailed"
    assert not [path for path, _ in s3.requests if "list-type" not in path]


@pytest.mark.slow
def test_a_download_that_breaks_off_goes_on(s3: Origin, secret: Path, puller: Puller) -> None:
    large = b"x" * 5_000_000
    s3_answers(s3, "bucket", {**OBJECTS, "models/resnet/1/weights.bin": large})
    whole = s3.answers["/bucket/models/resnet/1/weights.bin"]
    seen: list[str] = []

    def answer(handler: Any) -> None:
        seen.append(handler.headers.get("Range", ""))
        if len(seen) == 1:
            handler.cut_off(large, after=3_000_000)
        else:
            whole(handler)

    s3.answers["/bucket/models/resnet/1/weights.bin"] = answer
    assert puller.run(_model("s3://bucket/models/resnet", secret)) == 0
    assert puller.files("resnet")["1/weights.bin"] == large
    assert len(seen) == 2
