"""The only way out for a client that resolves names and follows redirects by itself.

A proxy on loopback that connects to addresses that were judged, and to nothing else: neither where
a redirect points nor what the name means a moment later. It decides by host and port alone; what
is said over the connection (encrypted, mostly) is none of its business.
"""

from __future__ import annotations

import socket
import socketserver
import threading
from collections.abc import Callable
from types import TracebackType
from typing import Final, Self
from urllib.parse import SplitResult, urlsplit

_LONGEST_HEAD: Final = 64 * 1024
_CHUNK: Final = 256 * 1024
_HOP: Final = (b"connection:", b"proxy-connection:", b"proxy-authorization:")


class Guard:
    """Runs while entered. ``refused`` names the host that was asked for in vain, if any."""

    def __init__(self, endpoint: SplitResult, connect: Callable[[], socket.socket]) -> None:
        """``connect`` opens a connection to the endpoint, or raises OSError."""
        self.refused = ""
        self.problem: OSError | None = None
        self._allowed = _place(endpoint)
        self._connect = connect
        self._server = _Server(("127.0.0.1", 0), self._serve)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> Self:
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        ).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _serve(self, client: socket.socket) -> None:
        """One connection of the client: one tunnel, or one plain request."""
        head, rest = _head(client)
        first, _, fields = head.partition(b"\r\n")
        method, target, *_ = [*first.decode("latin-1").split(" "), "", ""]
        tunnel = method == "CONNECT"
        parts = urlsplit(f"//{target}" if tunnel else target)
        if _place(parts) != self._allowed:
            self.refused = parts.hostname or "nowhere"
            client.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            return
        try:
            server = self._connect()
        except OSError as error:
            self.problem = error
            client.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
            return
        with server:
            server.settimeout(None)
            if tunnel:
                client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
                server.sendall(rest)
            else:
                query = f"?{parts.query}" if parts.query else ""
                line = f"{method} {parts.path or '/'}{query} HTTP/1.1\r\n".encode("latin-1")
                # One request a connection: the next one may be to another host.
                server.sendall(line + _end_to_end(fields) + b"Connection: close\r\n\r\n" + rest)
            _both_ways(client, server)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: tuple[str, int], serve: Callable[[socket.socket], None]) -> None:
        super().__init__(address, socketserver.BaseRequestHandler)
        self._serve = serve

    def finish_request(self, request: object, client_address: object) -> None:
        assert isinstance(request, socket.socket)
        self._serve(request)

    def handle_error(self, request: object, client_address: object) -> None:
        """A connection that broke: its other end knows, and nobody else needs to."""


def _place(parts: SplitResult) -> tuple[str, int]:
    """Host and port. CONNECT always names the port."""
    return (parts.hostname or "").lower(), parts.port or (443 if parts.scheme == "https" else 80)


def _head(client: socket.socket) -> tuple[bytes, bytes]:
    """A request's head without the empty line, and what came after it."""
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = client.recv(_CHUNK)
        if not chunk or len(data) > _LONGEST_HEAD:
            raise ConnectionError("no request")
        data += chunk
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, rest


def _end_to_end(fields: bytes) -> bytes:
    lines = [line for line in fields.split(b"\r\n") if not line.lower().startswith(_HOP)]
    return b"".join(line + b"\r\n" for line in lines)


def _both_ways(client: socket.socket, server: socket.socket) -> None:
    """Carry bytes until the server has ended its side."""
    up = threading.Thread(target=_carry, args=(client, server), daemon=True)
    up.start()
    _carry(server, client)


def _carry(source: socket.socket, target: socket.socket) -> None:
    try:
        while chunk := source.recv(_CHUNK):
            target.sendall(chunk)
        target.shutdown(socket.SHUT_WR)
    except OSError:
        # Either end is gone. The other must not wait for ever.
        for end in (source, target):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
