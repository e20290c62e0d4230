"""One client's connection, and the one to its server once there is one: bytes both ways.

Memory is bounded: while a connection waits, its first bytes are kept (a few KiB, to see what it
speaks and whether it asks anything) and the rest stays with TCP, which stops the client by itself;
once passed on, a side that reads slowly stops the other. When, and to whom, is the holder's.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from enum import Enum, auto
from typing import TYPE_CHECKING, Final, cast

from conch.activator import http1, http2
from conch.activator.slices import HTTP

if TYPE_CHECKING:
    from conch.activator.holder import Held, Holder

HOLD_BYTES: Final = 16384
_READ_BYTES: Final = 65536
_WRITE_BYTES: Final = 65536
REFUSAL_LINGER_S: Final = 2.0
RETRY_AFTER_S: Final = 10
_RESET: Final = struct.pack("ii", 1, 0)

# One buffer for all connections: what is read is handed on before the event loop reads again.
_scratch = memoryview(bytearray(_READ_BYTES))


class Speech(Enum):
    """What a client speaks."""

    HTTP1 = auto()
    HTTP2 = auto()
    OPAQUE = auto()  # TLS, or anything else


def speech(first: bytes) -> Speech | None:
    """What a connection with these first bytes speaks; None: more are needed."""
    if http2.PREFACE.startswith(first[: len(http2.PREFACE)]):
        return Speech.HTTP2 if len(first) >= len(http2.PREFACE) else None
    method, space, _ = first[:12].partition(b" ")
    if (method and not method.isalpha()) or not method.isupper():
        return Speech.OPAQUE
    if space:
        return Speech.HTTP1
    return None if len(first) < 12 else Speech.OPAQUE


class _Side(asyncio.BufferedProtocol):
    """One of the two connections. Its end may have begun without our having noticed."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=_WRITE_BYTES)

    @property
    def closing(self) -> bool:
        """Whether its end has begun."""
        return self._transport is None or self._transport.is_closing()

    def send(self, data: bytes) -> None:
        """Bytes for the other end."""
        if data and self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)

    def pause(self) -> None:
        """Read no more for now."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.pause_reading()

    def resume(self) -> None:
        """Read again."""
        if self._transport is not None and not self._transport.is_closing():
            self._transport.resume_reading()

    def end(self) -> None:
        """Send nothing more, but read what still comes."""
        if self._transport is not None and not self._transport.is_closing():
            with contextlib.suppress(OSError):
                self._transport.write_eof()

    def close(self) -> None:
        """End it after what is on its way."""
        if self._transport is not None:
            self._transport.close()


class Client(_Side):
    """From a client's connection to its end."""

    def __init__(self, holder: Holder, held: Held, port_name: str) -> None:
        super().__init__()
        self.held = held
        self.port_name = port_name
        self.asked = False
        """Whether it wants anything: one that only connects wakes nobody."""
        self.spoken: Speech | None = None
        self.began_s = 0.0
        self.quiet_since_s: float | None = None
        """Since when nothing has flowed, the server having said the last word; None: it has not."""
        self.deadline: asyncio.TimerHandle | None = None
        self._holder = holder
        self._server: Server | None = None
        self._waiting = bytearray()  # for the server, while there is none
        self._requests: http2.Requests | None = None
        self._answers: http1.Answers | http2.Answers | None = None
        self._refused = False
        self._let_go = False

    # --- asyncio's side ---------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._holder.came(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        if self._server is not None or self._refused:
            return _scratch
        return _scratch[: max(1, HOLD_BYTES - len(self._waiting))]

    def buffer_updated(self, nbytes: int) -> None:
        data = bytes(_scratch[:nbytes])
        if self._refused:
            return
        if self._server is None:
            self._keep(data)
        else:
            self.quiet_since_s = None
            self._server.send(self._requests.feed(data) if self._requests else data)

    def eof_received(self) -> bool:
        if self._server is None or self._refused:
            # As common servers do: who closes before the answer has given up.
            return False
        if self.quiet_since_s is not None:
            return False  # it has its answer; not every server ends with its client
        self._server.end()
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        if self.deadline is not None:
            self.deadline.cancel()
        if self._server is not None:
            self._server.close()
        self._holder.gone(self)

    def pause_writing(self) -> None:
        if self._server is not None:
            self._server.pause()

    def resume_writing(self) -> None:
        if self._server is not None:
            self._server.resume()

    # --- while it waits ---------------------------------------------------------------------------

    def _keep(self, data: bytes) -> None:
        if self._requests is not None:
            self._waiting += self._requests.feed(data)
            self.send(self._taken_answers())
            asks = bool(self._requests.streams)
        else:
            self._waiting += data
            self.spoken = speech(bytes(self._waiting))
            if self.spoken is Speech.HTTP2:
                self._requests = http2.Requests()
                early, self._waiting = bytes(self._waiting), bytearray()
                self._keep(early)
                return
            asks = self.spoken is not None
        if len(self._waiting) >= HOLD_BYTES:
            self.pause()
        if asks and not self.asked:
            self.asked = True
            self._holder.asks(self)

    def _taken_answers(self) -> bytes:
        if self._requests is None:
            return b""
        taken = bytes(self._requests.answers)
        self._requests.answers.clear()
        return taken

    @property
    def descriptor(self) -> int:
        """The socket's file descriptor; -1 when closed."""
        if self._transport is None:
            return -1
        sock = cast("socket.socket | None", self._transport.get_extra_info("socket"))
        return -1 if sock is None else sock.fileno()

    # --- what the holder does ---------------------------------------------------------------------

    def pass_on(self, server: Server) -> None:
        """Join it to a server that is connected."""
        self._server = server
        if self.deadline is not None:
            self.deadline.cancel()
        if self._requests is not None:
            self._requests.holding = False
            self._answers = http2.Answers(self._requests.acknowledged)
        elif self.spoken is Speech.HTTP1:
            self._answers = http1.Answers()
        waiting, self._waiting = bytes(self._waiting), bytearray()
        server.send(waiting)
        self.resume()

    def let_go(self) -> None:
        """Tell it to go, if its protocol has words for that; a new connection leads elsewhere."""
        if isinstance(self._answers, http2.Answers) and not self._let_go:
            self._let_go = True
            self.send(self._answers.end())

    def refuse(self, message: str) -> None:
        """Say no in the client's own words, then close; a reset where there are no such words."""
        if self._refused or self._transport is None:
            return
        self._refused = True
        if self.deadline is not None:
            self.deadline.cancel()
        words = self._refusal(message)
        if not words:
            self.abort()
            return
        self._transport.write(words)
        # Closing with unread bytes resets the connection, and the words would be lost on the way.
        self.resume()
        self.end()
        asyncio.get_running_loop().call_later(REFUSAL_LINGER_S, self._transport.abort)

    def _refusal(self, message: str) -> bytes:
        if self._requests is not None:
            return http2.refusal(message, self._requests.streams)
        # Has it said nothing yet, it speaks what its port is for. For gRPC a connection that shows
        # SETTINGS and GOAWAY is one that worked: it comes back at once, a hundred times a second,
        # until the call's deadline. After a reset the call fails, and the channel backs off.
        if self.spoken is Speech.HTTP1 or (self.spoken is None and self.port_name == HTTP):
            return http1.refusal(message, RETRY_AFTER_S)
        return b""

    def dismiss(self) -> None:
        """End one that has asked nothing, in its own words where it has any."""
        if self._requests is not None:
            self.send(http2.GOAWAY)
        self.close()

    def abort(self) -> None:
        """Reset it."""
        if self._transport is None:
            return
        # asyncio's abort is a plain close: to the client a whole, if empty, answer.
        sock = cast("socket.socket | None", self._transport.get_extra_info("socket"))
        if sock is not None and sock.fileno() >= 0:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self._transport.abort()

    # --- from the server --------------------------------------------------------------------------

    def answer(self, data: bytes) -> None:
        """Bytes of the server."""
        self.send(self._answers.feed(data) if self._answers else data)
        self.quiet_since_s = asyncio.get_running_loop().time()


class Server(_Side):
    """The connection to a server on behalf of one client."""

    def __init__(self, client: Client) -> None:
        super().__init__()
        self._client = client

    def get_buffer(self, sizehint: int) -> memoryview:
        return _scratch

    def buffer_updated(self, nbytes: int) -> None:
        self._client.answer(bytes(_scratch[:nbytes]))

    def eof_received(self) -> bool:
        return False  # the server is done: both ends close after what is on its way

    def connection_lost(self, exc: Exception | None) -> None:
        # A reset stays a reset: the client must not take half an answer for a whole one.
        if exc is None:
            self._client.close()
        else:
            self._client.abort()

    def pause_writing(self) -> None:
        self._client.pause()

    def resume_writing(self) -> None:
        self._client.resume()
