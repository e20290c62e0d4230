"""Frames: what is answered while holding, what is left out, where the end is told."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from conch.activator import http2
from conch.activator.http2 import GOAWAY, PREFACE, SETTINGS, SETTINGS_ACK, frame
from tests.activator.test_http1 import pieces

CUTS = st.lists(st.integers(0, 1000), max_size=8)
HEADERS = frame(0x1, 0x4, 1, b"block")
DATA = frame(0x0, 0x1, 1, b"x" * 40)
PING = frame(0x6, 0, 0, b"12345678")


@given(CUTS)
def test_held_requests_are_answered_and_kept(cuts: list[int]) -> None:
    requests = http2.Requests()
    sent = PREFACE + SETTINGS + SETTINGS_ACK + PING + HEADERS + DATA
    kept = b"".join(requests.feed(piece) for piece in pieces(sent, cuts))
    # The acknowledgement is of our own SETTINGS, the ping was answered: the server sees neither.
    assert kept == PREFACE + SETTINGS + HEADERS + DATA
    assert bytes(requests.answers) == SETTINGS + SETTINGS_ACK + frame(0x6, 0x1, 0, b"12345678")
    assert requests.streams == [1]
    assert requests.acknowledged == 1


@given(CUTS)
def test_after_holding_everything_passes_but_one_acknowledgement(cuts: list[int]) -> None:
    requests = http2.Requests()
    requests.feed(PREFACE + SETTINGS + HEADERS)
    requests.holding = False
    requests.answers.clear()
    later = SETTINGS_ACK + SETTINGS_ACK + PING + SETTINGS + DATA
    out = b"".join(requests.feed(piece) for piece in pieces(later, cuts))
    assert out == SETTINGS_ACK + PING + SETTINGS + DATA
    assert not requests.answers


def test_a_client_that_only_connects_asks_nothing() -> None:
    requests = http2.Requests()
    requests.feed(PREFACE + SETTINGS + frame(0x8, 0, 0, b"\x00\x0f\x00\x01"))
    assert requests.streams == []


@given(CUTS, CUTS)
def test_the_end_is_told_between_frames(cuts: list[int], more: list[int]) -> None:
    answers = http2.Answers(acknowledged=1)
    start, rest = SETTINGS + SETTINGS_ACK, HEADERS + DATA + HEADERS
    out = b"".join(answers.feed(piece) for piece in pieces(start, cuts))
    assert out == SETTINGS
    cut = pieces(rest, more)
    out = answers.feed(cut[0]) + answers.end() + b"".join(map(answers.feed, cut[1:]))
    places = [b"", HEADERS, HEADERS + DATA, HEADERS + DATA + HEADERS]
    assert out in [place + GOAWAY + rest[len(place) :] for place in places]
    assert answers.ended
    assert answers.end() == b""
    assert answers.feed(DATA) == DATA


def test_a_header_block_is_not_interrupted() -> None:
    answers = http2.Answers(acknowledged=0)
    first, last = frame(0x1, 0, 1, b"some"), frame(0x9, 0x4, 1, b"more")
    assert answers.feed(first) + answers.end() == first
    assert answers.feed(last) == last + GOAWAY


def test_the_end_is_told_at_once_when_nothing_is_on_its_way() -> None:
    answers = http2.Answers(acknowledged=0)
    assert answers.feed(SETTINGS) == SETTINGS
    assert answers.end() == GOAWAY


def test_a_refusal_answers_every_stream() -> None:
    words = http2.refusal("no replica", [1, 3])
    assert words.endswith(GOAWAY)
    assert words.count(b"grpc-status\x0214") == 2
    assert words.count(b"grpc-message\x0ano replica") == 2
