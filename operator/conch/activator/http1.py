"""HTTP/1 as far as a holder needs it: a refusal in words, and a polite end.

A connection that was held must end after its first answer, so that the next request goes straight
to a server. Closing an idle connection races with the next request on it, and that request would be
lost: so the answer itself says ``Connection: close``. Pure; everything else passes as it is.
"""

from __future__ import annotations

import json
from typing import Final

_END: Final = b"\r\n\r\n"
_LONGEST_HEAD: Final = 65536
_DROPPED: Final = (b"connection:", b"keep-alive:")


def refusal(message: str, retry_after_s: int) -> bytes:
    """A whole 503 answer."""
    body = json.dumps({"error": message}).encode()
    head = (
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\nRetry-After: {retry_after_s}\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + body


class Answers:
    """From server to client: the first final answer says that it is the connection's last."""

    def __init__(self) -> None:
        self._head = bytearray()
        self.done = False
        """Nothing is looked at any more."""

    def feed(self, data: bytes) -> bytes:
        """What to pass on now."""
        if self.done:
            return data
        self._head += data
        out = bytearray()
        while not self.done:
            start = bytes(self._head[:7])
            if not b"HTTP/1.".startswith(start) or len(self._head) > _LONGEST_HEAD:
                self.done = True
                break
            end = self._head.find(_END)
            if end < 0:
                return bytes(out)
            head, rest = bytes(self._head[: end + 4]), self._head[end + 4 :]
            code = head[9:12]
            if code == b"101":  # what follows is another protocol
                self.done = True
                break
            self._head = rest
            if code.startswith(b"1"):  # 100 Continue: the answer is still to come
                out += head
            else:
                out += _last(head)
                self.done = True
        out += self._head
        self._head = bytearray()
        return bytes(out)


def _last(head: bytes) -> bytes:
    status, *fields = head[:-4].split(b"\r\n")
    kept = [field for field in fields if not field.lower().startswith(_DROPPED)]
    return b"\r\n".join([status, b"Connection: close", *kept]) + _END
