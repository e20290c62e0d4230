"""What a Triton that is up says about models it could not load.

The container's last words are no use for this: Triton prints its option table after the error, and
the kubelet keeps 2 KiB (measured on 24.10). So servers run with ``--exit-on-error=false`` and are
asked.
"""

from __future__ import annotations

import aiohttp
import msgspec

from conch.api import names

_MAX_BYTES = 1 << 20
_NO_JSON = (ValueError, RecursionError)


class _Entry(msgspec.Struct):
    name: str
    version: str = ""
    state: str = ""
    reason: str = ""


async def load_problems(
    session: aiohttp.ClientSession, ip: str, timeout_s: float
) -> dict[str, str]:
    """Reasons by model name; empty when all is well, still loading, or the server is silent."""
    host = f"[{ip}]" if ":" in ip else ip
    url = f"http://{host}:{names.PORT_HTTP}/v2/repository/index"
    try:
        async with session.post(
            url, json={}, timeout=aiohttp.ClientTimeout(total=timeout_s), allow_redirects=False
        ) as response:
            if response.status != 200:
                return {}
            body = bytearray()
            async for chunk in response.content.iter_chunked(65536):
                body += chunk
                if len(body) > _MAX_BYTES:
                    return {}
        entries = msgspec.json.decode(body, type=list[_Entry])
    except (aiohttp.ClientError, TimeoutError, OSError, msgspec.MsgspecError, *_NO_JSON):
        return {}
    return {
        entry.name: " ".join(entry.reason.split())[:500]
        for entry in entries
        if entry.state == "UNAVAILABLE" and entry.reason and entry.reason != "unloaded"
    }
