"""What a client speaks, by its first bytes."""

from __future__ import annotations

import pytest

from conch.activator.connection import Speech, speech
from conch.activator.http2 import PREFACE


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        (b"", None),
        (b"P", None),  # POST, PUT or the preface of HTTP/2
        (b"PRI * HT", None),
        (PREFACE, Speech.HTTP2),
        (PREFACE + b"\x00", Speech.HTTP2),
        (b"PRI * HTTP/1.1\r\nHost: a\r\n\r\n", Speech.HTTP1),
        (b"POST", None),
        (b"POST /v2", Speech.HTTP1),
        (b"GET / HTTP/1.1", Speech.HTTP1),
        (b"OPTIONS * HTTP/1.1", Speech.HTTP1),
        (b"\x16\x03\x01", Speech.OPAQUE),
        (b"get / HTTP/1.1", Speech.OPAQUE),
        (b"ABCDEFGHIJKLMNOP", Speech.OPAQUE),
        (b" ", Speech.OPAQUE),
    ],
)
def test_speech(first: bytes, expected: Speech | None) -> None:
    assert speech(first) is expected
