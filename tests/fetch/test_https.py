from __future__ import annotations

import hashlib
import threading
import time
from pathlib import Path

import pytest

from conch.fetch import address, https
from conch.fetch.request import ModelRequest
from tests.fetch.archives import MODEL, below, tar, zipped
from tests.fetch.conftest import Puller
from tests.fetch.servers import Handler, Origin, silent_until

ARCHIVES = {
    "tar": tar(MODEL, compressed=False),
    "tar.gz": tar(MODEL),
    "zip": zipped(MODEL),
    "tar.gz with one directory": tar(below("resnet-v2")),
    "zip with one directory": zipped(below("resnet-v2")),
}


@pytest.fixture
def _hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries follow each other at once; test_trouble_that_stays has the pauses as they are."""
    monkeypatch.setattr(https, "_PAUSE_S", 0.005)


def _secret(tmp_path: Path, **fields: str) -> str:
    directory = tmp_path / "secret"
    directory.mkdir()
    for name, value in fields.items():
        (directory / name).write_text(value)
    return str(directory)


@pytest.mark.parametrize("kind", ARCHIVES)
def test_stages_an_archive(kind: str, web: Origin, puller: Puller) -> None:
    # The name says nothing about the format; the content does.
    uri = web.serve("/download", ARCHIVES[kind])
    assert puller.run(ModelRequest("resnet", uri)) == 0
    assert puller.files("resnet") == MODEL
    assert puller.directories == {"resnet"}


def test_the_digest_is_of_the_archive(web: Origin, puller: Puller) -> None:
    uri = web.serve("/m.tgz", ARCHIVES["tar.gz"])
    right = f"sha256:{hashlib.sha256(ARCHIVES['tar.gz']).hexdigest()}"
    assert puller.run(ModelRequest("m", uri, digest="sha256:" + "0" * 64)) == 1
    assert puller.failure == {
        "reason": "DigestMismatch",
        "message": f"model m from {uri}: its digest is {right}, "
        f"source.digest says sha256:{'0' * 64}",
        "model": "m",
    }
    assert puller.directories == set()
    assert puller.run(ModelRequest("m", uri, digest=right)) == 0


@pytest.mark.parametrize(
    ("fields", "header"),
    [
        ({"bearerToken": "canary-token\n"}, "Bearer canary-token"),
        ({"username": "u", "password": "p"}, "Basic dTpw"),
    ],
)
def test_credentials_go_into_the_header(
    fields: dict[str, str], header: str, web: Origin, puller: Puller, tmp_path: Path
) -> None:
    uri = web.serve("/m.tgz", ARCHIVES["tar.gz"])
    assert puller.run(ModelRequest("m", uri, secret_dir=_secret(tmp_path, **fields))) == 0
    assert web.requests[0][1]["Authorization"] == header


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({}, "it needs bearerToken, or username and password"),
        ({"username": "u"}, "it needs bearerToken, or username and password"),
        ({"bearerToken": "canary\r\nX: y"}, "bearerToken is too long or holds white space"),
        ({"bearerToken": "canäry"}, "bearerToken holds characters outside ASCII"),
    ],
)
def test_unusable_credentials_are_named_and_not_shown(
    fields: dict[str, str],
    problem: str,
    web: Origin,
    puller: Puller,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    uri = web.serve("/m.tgz", ARCHIVES["tar.gz"])
    assert puller.run(ModelRequest("m", uri, secret_dir=_secret(tmp_path, **fields))) == 1
    assert problem in puller.failure["message"]
    assert web.requests == []
    assert "can" not in puller.log.read_text() + "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("status", "reason", "text"),
    [
        (404, "ModelNotFound", "nothing is stored there (HTTP 404); check the URI"),
        (410, "ModelNotFound", "nothing is stored there (HTTP 410); check the URI"),
        (401, "ModelFetchFailed", "the server asks who we are (HTTP 401)"),
        (418, "ModelFetchFailed", "the server answers HTTP 418"),
    ],
)
def test_a_refusal_is_final(
    status: int, reason: str, text: str, web: Origin, puller: Puller
) -> None:
    web.answers["/m"] = lambda handler: handler.status(status)
    assert puller.run(ModelRequest("m", web.url("/m"))) == 1
    assert puller.failure["reason"] == reason
    assert puller.failure["message"] == f"model m from {web.url('/m')}: {text}"
    assert len(web.requests) == 1


def test_a_redirect_to_nowhere_is_told(web: Origin, puller: Puller) -> None:
    web.answers["/m"] = lambda handler: handler.status(302, Location="https://[")
    assert puller.run(ModelRequest("m", web.url("/m"))) == 1
    assert puller.failure["message"].endswith("it redirects to what is no address")


@pytest.mark.usefixtures("_hasty")
@pytest.mark.parametrize("length", ["9" * 5000, "-1", "1e3"])
def test_a_length_that_cannot_be_is_none(length: str, web: Origin, puller: Puller) -> None:
    def answer(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", length)
        handler.end_headers()
        handler.wfile.write(ARCHIVES["zip"])
        handler.close_connection = True

    web.answers["/m"] = answer
    assert puller.run(ModelRequest("m", web.url("/m"))) == 0


@pytest.mark.usefixtures("_hasty")
def test_a_part_that_begins_nowhere_is_refused(web: Origin, puller: Puller) -> None:
    web.answers["/m"] = lambda handler: handler.status(
        206, **{"Content-Range": f"bytes {'9' * 5000}-/*"}
    )
    assert puller.run(ModelRequest("m", web.url("/m"))) == 1
    assert "another part of the file" in puller.failure["message"]


@pytest.mark.usefixtures("_hasty")
def test_trouble_that_passes_is_retried(web: Origin, puller: Puller) -> None:
    def answer(handler: Handler) -> None:
        if len(web.requests) < 3:
            handler.status(503)
        else:
            handler.content(ARCHIVES["zip"])

    web.answers["/m"] = answer
    assert puller.run(ModelRequest("m", web.url("/m"))) == 0
    assert len(web.requests) == 3


@pytest.mark.slow
def test_trouble_that_stays_is_reported_soon(web: Origin, puller: Puller) -> None:
    web.answers["/m"] = lambda handler: handler.status(503)
    started_s = time.monotonic()
    assert puller.run(ModelRequest("m", web.url("/m"))) == 1
    assert time.monotonic() - started_s < 8
    assert puller.failure["reason"] == "ModelFetchFailed"
    assert puller.failure["message"].endswith("the server answers 503; tried 4 times")


@pytest.mark.usefixtures("_hasty")
def test_a_closed_port_is_reported_soon(web: Origin, puller: Puller) -> None:
    started_s = time.monotonic()
    assert puller.run(ModelRequest("m", "https://localhost:1/m.zip")) == 1
    assert time.monotonic() - started_s < 8
    assert "connection refused; tried 4 times" in puller.failure["message"]


def test_a_silent_server_is_reported_soon(
    web: Origin, puller: Puller, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The limits scaled down alike: the wait for an answer uses up the time for retries.
    assert https.RETRY_WINDOW_S < https.ANSWER_TIMEOUT_S < 10
    monkeypatch.setattr(https, "RETRY_WINDOW_S", https.RETRY_WINDOW_S / 20)
    monkeypatch.setattr(https, "ANSWER_TIMEOUT_S", https.ANSWER_TIMEOUT_S / 20)
    released = threading.Event()
    web.answers["/m"] = silent_until(released)
    started_s = time.monotonic()
    assert puller.run(ModelRequest("m", web.url("/m"))) == 1
    released.set()
    assert time.monotonic() - started_s < 4  # not the 20 s between the bytes of a body
    assert len(web.requests) == 1
    assert "no answer in time" in puller.failure["message"]


@pytest.mark.usefixtures("_hasty")
def test_an_unknown_host_is_reported_soon(puller: Puller) -> None:
    started_s = time.monotonic()
    assert puller.run(ModelRequest("m", "https://models.invalid/m.zip")) == 1
    assert time.monotonic() - started_s < 10
    assert puller.failure["reason"] == "ModelFetchFailed"
    assert "host models.invalid" in puller.failure["message"]


def test_an_untrusted_certificate_is_refused(
    web: Origin, puller: Puller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SSL_CERT_FILE")
    uri = web.serve("/m.tgz", ARCHIVES["tar.gz"])
    assert puller.run(ModelRequest("m", uri)) == 1
    assert "its TLS certificate is not trusted: self-signed" in puller.failure["message"]


def test_a_certificate_for_another_name_is_refused(
    web: Origin, puller: Puller, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The connection goes to an address that was judged; TLS still asks for the name.
    monkeypatch.setattr(address, "_lookup", lambda host, port: ["127.0.0.1"])
    assert puller.run(ModelRequest("m", f"https://models.example:{web.port}/m.tgz")) == 1
    assert "its TLS certificate is not trusted: Hostname mismatch" in puller.failure["message"]


def test_goes_on_where_it_broke_off(web: Origin, puller: Puller) -> None:
    content = ARCHIVES["tar"]

    def answer(handler: Handler) -> None:
        if len(web.requests) == 1:
            handler.cut_off(content, after=700)
        else:
            handler.content(content)

    web.answers["/m"] = answer
    assert puller.run(ModelRequest("m", web.url("/m"))) == 0
    assert web.requests[1][1]["Range"] == "bytes=700-"
    assert puller.files("m") == MODEL


def test_starts_again_when_the_file_changed_meanwhile(web: Origin, puller: Puller) -> None:
    def answer(handler: Handler) -> None:
        if len(web.requests) == 1:
            handler.cut_off(b"x" * 5000, after=1000)
        else:
            handler.content(ARCHIVES["tar"])

    web.answers["/m"] = answer
    assert puller.run(ModelRequest("m", web.url("/m"))) == 0
    assert puller.files("m") == MODEL


@pytest.mark.usefixtures("_hasty")
def test_a_download_that_always_breaks_off_fails(web: Origin, puller: Puller) -> None:
    web.answers["/m"] = lambda handler: handler.cut_off(ARCHIVES["tar"], after=700)
    assert puller.run(ModelRequest("m", web.url("/m"))) == 1
    size = len(ARCHIVES["tar"])
    assert f"the download ended after 700 of {size} bytes" in puller.failure["message"]
    assert puller.directories == set()


def test_too_large_is_refused_before_it_is_downloaded(web: Origin, puller: Puller) -> None:
    uri = web.serve("/m", ARCHIVES["tar"])
    assert puller.run(ModelRequest("m", uri), max_bytes=1000) == 1
    assert "larger than 1000 bytes" in puller.failure["message"]


def test_follows_a_redirect_on_the_same_host(web: Origin, puller: Puller) -> None:
    web.serve("/real", ARCHIVES["zip"])
    web.answers["/m"] = lambda handler: handler.status(302, Location="/real")
    assert puller.run(ModelRequest("m", web.url("/m"))) == 0


@pytest.mark.parametrize(
    "location",
    [
        "https://elsewhere.invalid/m.zip?token=canary",
        "http://localhost/m.zip",
        "https://169.254.169.254/latest/meta-data",
        "file:///etc/passwd",
    ],
)
def test_follows_no_redirect_to_anywhere_else(
    location: str, web: Origin, puller: Puller, tmp_path: Path
) -> None:
    web.answers["/m"] = lambda handler: handler.status(302, Location=location)
    secret = _secret(tmp_path, bearerToken="canary")
    assert puller.run(ModelRequest("m", web.url("/m"), secret_dir=secret)) == 1
    assert "it redirects to another host" in puller.failure["message"]
    assert "canary" not in puller.log.read_text()


@pytest.mark.parametrize("location", ["/secret/m.zip", "/models/%2e%2e/secret/m.zip"])
def test_a_redirect_leads_only_to_what_is_allowed(
    location: str, web: Origin, puller: Puller
) -> None:
    """Whoever may put a redirect below an allowed prefix must not reach the rest of the host."""
    web.serve("/secret/m.zip", ARCHIVES["zip"])
    web.answers["/models/m.zip"] = lambda handler: handler.status(302, Location=location)
    web.answers["/models/old.zip"] = lambda handler: handler.status(302, Location="/models/new.zip")
    web.serve("/models/new.zip", ARCHIVES["zip"])
    allowed = (web.url("/models/"),)
    assert puller.run(ModelRequest("m", web.url("/models/m.zip")), allowed_sources=allowed) == 1
    assert puller.failure["reason"] == "SourceNotAllowed"
    assert f"it redirects to {location}, which" in puller.failure["message"]
    assert location not in {path for path, _ in web.requests}
    assert puller.run(ModelRequest("m", web.url("/models/old.zip")), allowed_sources=allowed) == 0


def test_a_redirect_loop_ends(web: Origin, puller: Puller) -> None:
    web.answers["/m"] = lambda handler: handler.status(302, Location="/m")
    assert puller.run(ModelRequest("m", web.url("/m"))) == 1
    assert "it redirects more than 5 times" in puller.failure["message"]


def test_loopback_is_refused_unless_allowed(web: Origin, puller: Puller) -> None:
    uri = web.serve("/m.tgz", ARCHIVES["tar.gz"])
    assert puller.run(ModelRequest("m", uri), allow_private_hosts=False) == 1
    assert puller.failure["reason"] == "SourceNotAllowed"
    assert web.requests == []


def test_query_strings_are_sent_and_never_shown(
    web: Origin, puller: Puller, capfd: pytest.CaptureFixture[str]
) -> None:
    web.answers["/m"] = lambda handler: handler.status(403)
    assert puller.run(ModelRequest("m", web.url("/m?signature=canary"))) == 1
    assert web.requests[0][0] == "/m?signature=canary"
    assert "canary" not in puller.log.read_text() + "".join(capfd.readouterr())
