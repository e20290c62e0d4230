"""HTTP/2 as far as a holder needs it: being alive while it waits, and a polite end.

A gRPC client takes a connection for dead that shows no SETTINGS frame for 20 s, and its requests
fail; so the holder sends one, acknowledges the client's, answers pings, and later takes out of both
streams the acknowledgements that its counterpart does not expect. A connection ends by GOAWAY: the
client opens a new one for its next request and finishes what it has begun on this one. No request
is lost in between, which closing could not promise. Pure; RFC 9113. Header blocks are never read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_HEAD: Final = 9
_HEADERS, _SETTINGS, _PING, _GOAWAY, _CONTINUATION = 0x1, 0x4, 0x6, 0x7, 0x9
_ACK: Final = 0x1
_END_HEADERS: Final = 0x4
_END_STREAM_AND_HEADERS: Final = 0x5
_ANY_STREAM: Final = 2**31 - 1
_UNAVAILABLE: Final = "14"
_LONGEST_PING: Final = 8


def frame(kind: int, flags: int = 0, stream: int = 0, payload: bytes = b"") -> bytes:
    """One frame."""
    head = len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big")
    return head + payload


SETTINGS: Final = frame(_SETTINGS)
SETTINGS_ACK: Final = frame(_SETTINGS, _ACK)
# For any stream: whatever the client has begun when it reads this is finished here.
GOAWAY: Final = frame(_GOAWAY, payload=_ANY_STREAM.to_bytes(4, "big") + bytes(4))


def refusal(message: str, streams: Iterable[int]) -> bytes:
    """The gRPC status UNAVAILABLE for each of the streams, and GOAWAY."""
    block = b"\x88" + _field(31, "application/grpc")  # :status 200, content-type
    block += _field(0, _UNAVAILABLE, "grpc-status") + _field(0, message[:120], "grpc-message")
    answers = [frame(_HEADERS, _END_STREAM_AND_HEADERS, stream, block) for stream in streams]
    return b"".join(answers) + GOAWAY


def _field(index: int, value: str, name: str = "") -> bytes:
    """A literal header field without indexing (RFC 7541, 6.2.2); texts below 127 bytes."""
    key = bytes((0x0F, index - 15)) if index else b"\x00" + bytes((len(name),)) + name.encode()
    text = value.encode("ascii", "replace")
    return key + bytes((len(text),)) + text


class _Frames:
    """Cuts a stream into frames without keeping their payloads (but for those that are asked for).

    ``_on_frame`` gets each header as it begins and says whether the frame passes.
    """

    def __init__(self, skip: int = 0) -> None:
        self._prefix = skip  # bytes before the first frame: the client's preface
        self._head = bytearray()
        self._left = 0  # of the current frame's payload
        self._passes = True
        self._kept: bytearray | None = None
        self._block_goes_on = False  # a header block must not be interrupted

    @property
    def at_boundary(self) -> bool:
        """Whether a frame of ours may be put in here."""
        return not (self._head or self._left or self._prefix or self._block_goes_on)

    def _on_frame(self, kind: int, flags: int, stream: int, length: int) -> bool:
        raise NotImplementedError

    def _on_payload(self, payload: bytes) -> None:
        """The payload of a frame whose ``_on_frame`` called ``_keep``."""

    def _keep(self) -> None:
        self._kept = bytearray()

    def _cut(self, data: bytes) -> Iterator[bytes]:
        """What of ``data`` passes, in pieces; a boundary may lie after each."""
        at = min(self._prefix, len(data))
        self._prefix -= at
        if at:
            yield data[:at]
        while at < len(data):
            if self._left == 0:
                missing = _HEAD - len(self._head)
                self._head += data[at : at + missing]
                at += min(missing, len(data) - at)
                if len(self._head) < _HEAD:
                    return
                head, self._head = bytes(self._head), bytearray()
                self._left = int.from_bytes(head[:3], "big")
                stream = int.from_bytes(head[5:9], "big") & _ANY_STREAM
                if head[3] in (_HEADERS, _CONTINUATION):
                    self._block_goes_on = not head[4] & _END_HEADERS
                self._passes = self._on_frame(head[3], head[4], stream, self._left)
                if self._passes:
                    yield head
            part = data[at : at + self._left]
            at += len(part)
            self._left -= len(part)
            if self._kept is not None:
                self._kept += part
                if self._left == 0:
                    kept, self._kept = bytes(self._kept), None
                    self._on_payload(kept)
            if part and self._passes:
                yield part


class Requests(_Frames):
    """From client to server. ``answers`` is what the client must be sent meanwhile."""

    def __init__(self) -> None:
        super().__init__(skip=len(PREFACE))
        self.holding = True
        self.answers = bytearray(SETTINGS)
        self.streams: list[int] = []
        """Requests that were begun while holding."""
        self.acknowledged = 0
        """The client's SETTINGS that were acknowledged here: the server will do it again."""
        self._owed = 1  # the client's acknowledgement of our SETTINGS

    def feed(self, data: bytes) -> bytes:
        """What the server is to get."""
        if not (self.holding or self._owed or self._head):
            return data  # in the middle of a frame or not: all of it passes
        return b"".join(self._cut(data))

    def _on_frame(self, kind: int, flags: int, stream: int, length: int) -> bool:
        if kind == _SETTINGS and flags & _ACK and self._owed:
            self._owed -= 1
            return False
        if not self.holding:
            return True
        if kind == _SETTINGS and not flags & _ACK:
            self.answers += SETTINGS_ACK
            self.acknowledged += 1
        elif kind == _PING and not flags & _ACK and length == _LONGEST_PING:
            self._keep()
            return False
        elif kind == _HEADERS:
            self.streams.append(stream)
        return True

    def _on_payload(self, payload: bytes) -> None:
        self.answers += frame(_PING, _ACK, payload=payload)


class Answers(_Frames):
    """From server to client, without the acknowledgements that the client already has."""

    def __init__(self, acknowledged: int) -> None:
        super().__init__()
        self._spare = acknowledged
        self._ending = False
        self.ended = False
        """The client was told to go."""

    def feed(self, data: bytes) -> bytes:
        """What the client is to get."""
        if self.ended and not (self._spare or self._head):
            return data
        out = bytearray()
        for piece in self._cut(data):
            out += piece
            out += self._goaway()
        return bytes(out) + self._goaway()

    def end(self) -> bytes:
        """Tell the client to go, at the next boundary: what to send now, if that is here."""
        self._ending = True
        return self._goaway()

    def _goaway(self) -> bytes:
        if not self._ending or self.ended or not self.at_boundary:
            return b""
        self.ended = True
        return GOAWAY

    def _on_frame(self, kind: int, flags: int, stream: int, length: int) -> bool:
        if kind == _SETTINGS and flags & _ACK and self._spare:
            self._spare -= 1
            return False
        return True
