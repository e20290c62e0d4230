"""Servers on loopback that play a web server and an S3 endpoint, and misbehave on demand."""

from __future__ import annotations

import hashlib
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

# Self-signed for localhost and 127.0.0.1, made for these tests; guards nothing.
CERTIFICATE = Path(__file__).parent / "data" / "localhost-test-only.pem"

Answer = Callable[["Handler"], None]


@dataclass
class Origin:
    """A server's scripted answers, by path, and what it was asked."""

    answers: dict[str, Answer] = field(default_factory=dict)
    requests: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    port: int = 0

    def url(self, path: str) -> str:
        return f"https://localhost:{self.port}{path}"

    def serve(self, path: str, content: bytes, **headers: str) -> str:
        """Serves ``content`` at ``path``, understanding ranges; returns the URL."""
        self.answers[path] = lambda handler: handler.content(content, headers)
        return self.url(path)


class Handler(BaseHTTPRequestHandler):
    """Answers from the origin's script."""

    protocol_version = "HTTP/1.1"
    origin: Origin

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        self.origin.requests.append((self.path, dict(self.headers)))
        answer = self.origin.answers.get(path)
        if answer is None:
            self.status(404)
        else:
            answer(self)

    def status(self, code: int, **headers: str) -> None:
        self.send_response(code)
        for name, value in {"Content-Length": "0", **headers}.items():
            self.send_header(name, value)
        self.end_headers()

    def content(self, content: bytes, headers: dict[str, str] | None = None) -> None:
        start = 0
        requested = self.headers.get("Range", "")
        etag = f'"{hashlib.md5(content).hexdigest()}"'
        if requested.startswith("bytes=") and self.headers.get("If-Range", etag) == etag:
            first, _, last = requested.removeprefix("bytes=").partition("-")
            start = int(first)
            end = int(last) + 1 if last else len(content)
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(content)}")
            body = content[start:end]
        else:
            self.send_response(200)
            body = content
        self.send_header("ETag", etag)
        self.send_header("Last-Modified", "Sun, 22 Nov 2026 10:00:00 GMT")
        self.send_header("Content-Length", str(len(body)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def cut_off(self, content: bytes, after: int) -> None:
        """Promises all of ``content``, sends a part, and hangs up."""
        self.send_response(200)
        self.send_header("ETag", f'"{hashlib.md5(content).hexdigest()}"')
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[:after])
        self.wfile.flush()
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass  # the tests look at what our side prints


def silent_until(released: threading.Event) -> Answer:
    """An answer that takes until ``released``; the connection stays open meanwhile."""

    def answer(handler: Handler) -> None:
        released.wait(20)
        handler.close_connection = True

    return answer


def s3_answers(origin: Origin, bucket: str, objects: dict[str, bytes], page: int = 2) -> None:
    """Makes ``origin`` a path-style S3 endpoint with one bucket."""

    def listing(handler: Handler) -> None:
        query = parse_qs(urlsplit(handler.path).query)
        prefix = query.get("prefix", [""])[0]
        start = int(query.get("continuation-token", ["0"])[0])
        keys = sorted(key for key in objects if key.startswith(prefix))
        shown = keys[start : start + page]
        more = start + page < len(keys)
        token = f"<NextContinuationToken>{start + page}</NextContinuationToken>" if more else ""
        contents = "".join(
            f"<Contents><Key>{escape(key)}</Key><Size>{len(objects[key])}</Size>"
            "<LastModified>2026-11-22T10:00:00.000Z</LastModified>"
            '<ETag>"e"</ETag></Contents>'
            for key in shown
        )
        body = (
            '<?xml version="1.0" encoding="UTF-8"?>'
            '<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
            f"<IsTruncated>{str(more).lower()}</IsTruncated>{token}"
            f"<Name>{bucket}</Name><Prefix>{escape(prefix)}</Prefix>"
            f"<KeyCount>{len(shown)}</KeyCount>{contents}</ListBucketResult>"
        ).encode()
        handler.send_response(200)
        handler.send_header("Content-Type", "application/xml")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    origin.answers[f"/{bucket}"] = listing
    origin.answers[f"/{bucket}/"] = listing
    for key, content in objects.items():
        origin.answers[f"/{bucket}/{key}"] = partial(Handler.content, content=content)


class _UnquotedHandler(Handler):
    """Finds answers by the decoded path, as S3 keys are."""

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.origin.requests.append((self.path, dict(self.headers)))
        answer = self.origin.answers.get(path)
        if answer is None:
            self.status(404)
        else:
            answer(self)


@contextmanager
def running(*, tls: bool, host: str = "127.0.0.1", port: int = 0) -> Iterator[Origin]:
    """A server, on a free port of loopback unless told otherwise, until the block ends."""
    origin = Origin()
    base = Handler if tls else _UnquotedHandler
    handler: Any = type("Scripted", (base,), {"origin": origin})
    server = ThreadingHTTPServer((host, port), handler)
    server.daemon_threads = True
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTIFICATE)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    origin.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield origin
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
