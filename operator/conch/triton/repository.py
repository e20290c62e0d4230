"""What a Triton that is up says about models it could not load.

The container's last words are no use for this: Triton prints its option table after the error, and
the kubelet keeps 2 KiB (measured on 24.10). So servers run with ``--exit-on-error=false`` and are
asked.
"""

from __future__ import annotations

import msgspec

from conch.api import names
from conch.errors import TritonError
from conch.triton import http


class _Entry(msgspec.Struct):
    name: str
    version: str = ""
    state: str = ""
    reason: str = ""


async def load_problems(ip: str, timeout_s: float) -> dict[str, str]:
    """Reasons by model name; empty when all is well, still loading, or the server is silent."""
    try:
        body = await http.post(ip, names.PORT_HTTP, "/v2/repository/index", b"{}", timeout_s)
        entries = msgspec.json.decode(body, type=list[_Entry])
    except (TritonError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}
    return {
        entry.name: " ".join(entry.reason.split())[:500]
        for entry in entries
        if entry.state == "UNAVAILABLE" and entry.reason and entry.reason != "unloaded"
    }
