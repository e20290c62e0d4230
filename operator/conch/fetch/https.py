"""Downloading one file over https.

Connects only to addresses that were judged (``address``), follows redirects only on the same host
and only to what might have been asked for in the first place (``admission``), sends credentials
nowhere else, retries what is worth it and goes on where it broke off when the server can.
``http.client`` because it lets the connection be pinned to an address.
"""

from __future__ import annotations

import hashlib
import http.client
import random
import re
import ssl
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import SplitResult, urljoin, urlsplit

from conch import __version__
from conch.api.conditions import Reason
from conch.errors import FetchError
from conch.fetch import address, admission
from conch.fetch.credentials import Credentials
from conch.fetch.limits import CHUNK_BYTES, Limits
from conch.fetch.refusals import failed

ANSWER_TIMEOUT_S = 6.0  # to the first byte of an answer
READ_TIMEOUT_S = 20.0  # between the bytes of a body
RETRIES = 3
# No retry starts later than this after the last progress: a person waits for the reason.
RETRY_WINDOW_S = 5.0
_PAUSE_S = 0.2  # doubled before each retry
_MAX_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_WORTH_RETRYING = frozenset({408, 425, 429, 500, 502, 503, 504})


class _Transient(Exception):
    """Failed in a way that may go away; the text is safe to show."""


class _Partial:
    """What is downloaded so far, with its digest."""

    def __init__(self, target: Path) -> None:
        self._file = target.open("wb", buffering=CHUNK_BYTES)
        self.etag = ""
        self.position = 0
        self._sha256 = hashlib.sha256()

    def restart(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        self.position = 0
        self._sha256 = hashlib.sha256()

    def add(self, chunk: bytes) -> None:
        self._file.write(chunk)
        self._sha256.update(chunk)
        self.position += len(chunk)

    def close(self) -> str:
        self._file.close()
        return f"sha256:{self._sha256.hexdigest()}"


def download(
    uri: str,
    target: Path,
    credentials: Credentials,
    limits: Limits,
    *,
    allowed: Sequence[str],
    allow_private: bool,
) -> str:
    """Downloads ``uri`` into the file ``target``; returns the content's digest.

    ``allowed`` are the prefixes that a redirect may lead to.

    Raises FetchError: SourceNotAllowed, ModelNotFound or ModelFetchFailed.
    """
    headers = credentials.authorization()
    partial = _Partial(target)
    furthest, attempts, since_s = 0, 0, time.monotonic()
    try:
        while True:
            try:
                _attempt(uri, partial, headers, limits, allowed, allow_private)
                return partial.close()
            except _Transient as error:
                if partial.position > furthest:
                    furthest, attempts, since_s = partial.position, 0, time.monotonic()
                attempts += 1
                if attempts > RETRIES or time.monotonic() - since_s > RETRY_WINDOW_S:
                    raise FetchError(
                        Reason.FETCH_FAILED.value, f"{error}; tried {attempts} times"
                    ) from None
                limits.pause(_PAUSE_S * 2**attempts * random.uniform(0.5, 1.0))
    finally:
        partial.close()


def _attempt(
    uri: str,
    partial: _Partial,
    headers: dict[str, str],
    limits: Limits,
    allowed: Sequence[str],
    allow_private: bool,
) -> None:
    """One try, redirects included, going on from what ``partial`` has."""
    start = urlsplit(uri)
    parts = start
    for _ in range(_MAX_REDIRECTS + 1):
        limits.check()
        connection = _connect(parts, allow_private)
        try:
            location = _exchange(connection, parts, partial, headers, limits)
        except ssl.SSLCertVerificationError as error:
            raise failed(f"its TLS certificate is not trusted: {error.verify_message}") from None
        except (OSError, http.client.HTTPException) as error:
            raise _Transient(f"the connection failed: {_kind(error)}") from None
        finally:
            connection.close()
        if location is None:
            return
        try:
            parts = urlsplit(urljoin(parts.geturl(), location))
        except ValueError:
            raise failed("it redirects to what is no address") from None
        if (parts.scheme, parts.netloc) != (start.scheme, start.netloc):
            raise failed(
                f"it redirects to another host, {parts.hostname}; use the address of the file there"
            )
        refusal = admission.why_refused(parts.geturl(), allowed)
        if refusal is not None:
            raise FetchError(
                Reason.SOURCE_NOT_ALLOWED.value, f"it redirects to {parts.path}, which {refusal}"
            )
    raise failed(f"it redirects more than {_MAX_REDIRECTS} times")


class _PinnedConnection(http.client.HTTPSConnection):
    """Connects to given addresses; TLS and the Host header still use the name."""

    def __init__(self, host: str, port: int, addresses: list[str]) -> None:
        self._tls = ssl.create_default_context()
        super().__init__(host, port, timeout=address.CONNECT_TIMEOUT_S, context=self._tls)
        self._addresses = addresses

    def connect(self) -> None:
        raw = address.first_that_answers(self._addresses, self.port)
        raw.settimeout(ANSWER_TIMEOUT_S)
        self.sock = self._tls.wrap_socket(raw, server_hostname=self.host)


def _connect(parts: SplitResult, allow_private: bool) -> http.client.HTTPConnection:
    host, port = parts.hostname or "", parts.port or 443
    try:
        addresses = address.resolve(host, port, allow_private)
    except address.Unresolved as error:
        raise _Transient(str(error)) from None
    return _PinnedConnection(host, port, addresses)


def _exchange(
    connection: http.client.HTTPConnection,
    parts: SplitResult,
    partial: _Partial,
    headers: dict[str, str],
    limits: Limits,
) -> str | None:
    """Sends the request, stores the body; the new location when the answer is a redirect."""
    target = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path or "/"
    resuming = {}
    if partial.position and partial.etag:
        resuming = {"Range": f"bytes={partial.position}-", "If-Range": partial.etag}
    standard = {"User-Agent": f"conch-fetch/{__version__}", "Accept-Encoding": "identity"}
    connection.request("GET", target, headers={**standard, **headers, **resuming})
    stream = connection.sock  # getresponse() gives it away when the server closes afterwards
    response = connection.getresponse()
    stream.settimeout(READ_TIMEOUT_S)
    if response.status in _REDIRECTS:
        return response.getheader("Location", "")
    if response.status not in (200, 206):
        raise _refused(response.status, bool(headers))
    _store(response, partial, limits)
    return None


def _store(response: http.client.HTTPResponse, partial: _Partial, limits: Limits) -> None:
    if response.status == 200 or _first_byte(response) != partial.position:
        if response.status == 206:
            partial.etag = ""  # it does not understand ranges: from the start, the next time
            raise _Transient("the server sent another part of the file than was asked for")
        partial.restart()
    etag = response.getheader("ETag", "")
    partial.etag = "" if etag.startswith("W/") else etag
    length = response.length  # None where the server does not say, or says nonsense
    total = None if length is None else partial.position + length
    limits.bytes_so_far(partial.position, total)
    while chunk := response.read1(CHUNK_BYTES):
        limits.bytes_so_far(partial.position + len(chunk), total)
        partial.add(chunk)
    if total is not None and partial.position != total:
        raise _Transient(f"the download ended after {partial.position} of {total} bytes")


def _first_byte(response: http.client.HTTPResponse) -> int:
    match = re.match(r"bytes ([0-9]{1,18})-", response.getheader("Content-Range", ""))
    return int(match.group(1)) if match else -1


def _refused(status: int, authorized: bool) -> FetchError | _Transient:
    if status in _WORTH_RETRYING:
        return _Transient(f"the server answers {status}")
    if status in (404, 410):
        return FetchError(
            Reason.MODEL_NOT_FOUND.value, f"nothing is stored there (HTTP {status}); check the URI"
        )
    if status in (401, 403):
        what = "refuses the credentials in source.secretRef" if authorized else "asks who we are"
        return failed(f"the server {what} (HTTP {status})")
    return failed(f"the server answers HTTP {status}")


def _kind(error: Exception) -> str:
    """What happened, without anything that was sent or received."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ConnectionRefusedError):
        return "connection refused"
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or 'handshake failed'}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__
