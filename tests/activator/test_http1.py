"""The answer that says it is the last, however it is cut into pieces."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conch.activator import http1

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: keep-alive\r\nX: y\r\n\r\nhello"
LAST = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 5\r\nX: y\r\n\r\nhello"


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[a:b] for a, b in itertools.pairwise(edges)]


@given(st.lists(st.integers(0, 1000), max_size=6))
def test_the_first_answer_ends_the_connection(cuts: list[int]) -> None:
    answers = http1.Answers()
    assert b"".join(answers.feed(piece) for piece in pieces(ANSWER, cuts)) == LAST
    assert answers.feed(ANSWER) == ANSWER  # whoever goes on all the same gets what is sent


@given(st.lists(st.integers(0, 1000), max_size=6))
def test_an_interim_answer_is_not_the_last(cuts: list[int]) -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\n"
    answers = http1.Answers()
    out = b"".join(answers.feed(piece) for piece in pieces(interim + ANSWER, cuts))
    assert out == interim + LAST


@pytest.mark.parametrize(
    "odd",
    [
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n\x00\x00",
        b"SSH-2.0-something\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70000,
    ],
)
def test_what_is_not_understood_passes_unchanged(odd: bytes) -> None:
    answers = http1.Answers()
    assert b"".join(answers.feed(odd[i : i + 7]) for i in range(0, len(odd), 7)) == odd


def test_a_refusal_is_a_whole_answer() -> None:
    head, _, body = http1.refusal("no replica", 10).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    assert b"Retry-After: 10" in head
    assert f"Content-Length: {len(body)}".encode() in head
    assert body == b'{"error": "no replica"}'
