"""Downloading a directory from S3, or from anything that speaks S3.

Endpoint, region and keys come from the model's Secret; without one the bucket must be public. An
address other than Amazon's is used only when the Secret names it. The client library resolves host
names and follows redirects itself, so it gets out through a ``guard`` only.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from conch.api.conditions import Reason
from conch.errors import FetchError
from conch.fetch import address
from conch.fetch.archive import safe_path
from conch.fetch.credentials import Credentials
from conch.fetch.guard import Guard
from conch.fetch.limits import CHUNK_BYTES, Limits
from conch.fetch.refusals import failed

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,61}[A-Za-z0-9]")
_REGION = re.compile(r"[a-z0-9-]{1,32}")
_CLIENT: dict[str, Any] = {"connect_timeout": "3s", "read_timeout": "7s", "timeout": "1day"}
_RETRY: Any = {
    "max_retries": 3,
    "retry_timeout": timedelta(seconds=5),
    "backoff": {
        "init_backoff": timedelta(milliseconds=200),
        "max_backoff": timedelta(seconds=1),
        "base": 2,
    },
}


def download(
    uri: str, target: Path, credentials: Credentials, limits: Limits, *, allow_private: bool
) -> None:
    """Downloads every object below ``uri`` into the new directory ``target``.

    Raises FetchError: SourceNotAllowed, ModelNotFound or ModelFetchFailed.
    """
    parts = urlsplit(uri)
    bucket, prefix = parts.netloc, parts.path.strip("/")
    if not _BUCKET.fullmatch(bucket):
        raise failed(f"{bucket} is not a valid bucket name")
    endpoint, region = _endpoint(credentials)
    addresses = _judged(endpoint, allow_private)
    import obstore  # a third of a second: only where it is needed

    with (
        Guard(urlsplit(endpoint), lambda: address.first_that_answers(*addresses)) as guard,
        _explained(credentials.given, guard),
    ):
        store = _store(bucket, endpoint, region, credentials, guard.url)
        objects = _listed(obstore, store, prefix, limits)
        target.mkdir()
        total = sum(size for _, size in objects.values())
        limits.bytes_so_far(0, total)
        done = 0
        for relative, (key, _) in objects.items():
            place = target / relative
            place.parent.mkdir(parents=True, exist_ok=True)
            with place.open("xb") as writer:
                for chunk in obstore.get(store, key).stream(min_chunk_size=CHUNK_BYTES):
                    done += len(chunk)
                    limits.bytes_so_far(done, total)
                    writer.write(chunk)


def _endpoint(credentials: Credentials) -> tuple[str, str]:
    """Where the bucket is, and its region."""
    region = credentials.field("region") or "us-east-1"
    if not _REGION.fullmatch(region):
        raise failed("region in the Secret is not the name of a region")
    endpoint = credentials.field("endpoint").rstrip("/")
    if not endpoint:
        return f"https://s3.{region}.amazonaws.com", region
    try:
        parts = urlsplit(endpoint)
        plain = not (parts.path or parts.query or parts.fragment or "@" in parts.netloc)
        valid = parts.scheme in ("http", "https") and parts.hostname and plain and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise failed("endpoint in the Secret must read http://host:port or https://host:port")
    return endpoint, region


def _judged(endpoint: str, allow_private: bool) -> tuple[list[str], int]:
    """The endpoint's addresses, all of them allowed, and its port."""
    parts = urlsplit(endpoint)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        return address.resolve(parts.hostname or "", port, allow_private), port
    except address.Unresolved as error:
        raise failed(str(error)) from None


def _store(bucket: str, endpoint: str, region: str, credentials: Credentials, proxy: str) -> Any:
    from obstore.store import S3Store

    config: dict[str, Any] = {"endpoint": endpoint, "region": region}
    if credentials.given:
        names = {
            "access_key_id": "accessKeyId",
            "secret_access_key": "secretAccessKey",
            "session_token": "sessionToken",
        }
        keys = {ours: credentials.field(theirs) for ours, theirs in names.items()}
        config |= {name: value for name, value in keys.items() if value}
    if not {"access_key_id", "secret_access_key"} <= set(config):
        config["skip_signature"] = True
    client: Any = {
        **_CLIENT,
        "allow_http": endpoint.startswith("http://"),
        "proxy_url": proxy,
    }
    return S3Store(bucket, **config, client_options=client, retry_config=_RETRY)


def _listed(obstore: Any, store: Any, prefix: str, limits: Limits) -> dict[str, tuple[str, int]]:
    """Key and size of every object below ``prefix``, by path relative to it."""
    objects: dict[str, tuple[str, int]] = {}
    total = 0
    for batch in obstore.list(store, prefix=prefix or None):
        for entry in batch:
            relative = entry["path"][len(prefix) :].strip("/")
            if not relative:
                continue  # the prefix itself: a console's idea of a directory
            limits.another_file()
            total += entry["size"]
            limits.bytes_so_far(0, total)
            objects[str(safe_path(relative))] = (entry["path"], entry["size"])
    folders = {str(parent) for relative in objects for parent in Path(relative).parents}
    files = {
        relative: found
        for relative, found in objects.items()
        if found[1] or relative not in folders  # the same idea, further down
    }
    if not files:
        raise FetchError(Reason.MODEL_NOT_FOUND.value, "nothing is stored below it; check the URI")
    return files


@contextmanager
def _explained(authorized: bool, guard: Guard) -> Iterator[None]:
    """Turns the library's errors into ours. Their text holds URLs and answers: it is not shown."""
    from obstore import exceptions

    try:
        yield
    except exceptions.BaseError as error:
        if guard.refused:
            raise failed(f"the endpoint redirects to another host, {guard.refused}") from None
        if isinstance(guard.problem, TimeoutError):
            raise failed("the endpoint does not answer in time") from None
        if guard.problem is not None:
            raise failed("the endpoint refuses connections") from None
        raise _told(error, authorized) from None


def _told(error: Exception, authorized: bool) -> FetchError:
    from obstore import exceptions

    if isinstance(error, exceptions.NotFoundError):
        return _no_bucket()
    if isinstance(error, (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError)):
        return _denied(authorized)
    return _by_text(str(error), authorized)


def _by_text(text: str, authorized: bool) -> FetchError:
    """What happened, by marks in the library's text: listing has no classes of errors."""
    code = re.search(r"<Code>(\w{1,64})</Code>", text)
    status = re.search(r"\b([45]\d\d) [A-Z]", text)
    if status and status.group(1) in ("401", "403"):
        return _denied(authorized, code.group(1) if code else "")
    if status and status.group(1) == "404":
        return _no_bucket()
    if (answer := code or status) is not None:
        return failed(f"the object store answers {answer.group(1)}")
    for mark, meaning in (
        ("dns error", "the endpoint's host does not exist"),
        ("onnection refused", "the endpoint refuses connections"),
        ("TimedOut", "the endpoint does not answer in time"),
        ("InvalidCertificate", "the endpoint's TLS certificate is not trusted"),
    ):
        if mark in text:
            return failed(meaning)
    return failed("the object store cannot be reached or gives no usable answer")


def _no_bucket() -> FetchError:
    return FetchError(
        Reason.MODEL_NOT_FOUND.value, "the bucket or an object in it does not exist; check the URI"
    )


def _denied(authorized: bool, code: str = "") -> FetchError:
    what = "refuses the credentials in source.secretRef" if authorized else "is not public"
    return failed(f"the bucket {what}" + (f" ({code})" if code else ""))
