"""Whether a server has its models: asked of the server itself, sooner than Kubernetes knows it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final
from urllib.parse import quote

import aiohttp

from conch.api import names

TIMEOUT_S: Final = 1.0


def open_session() -> aiohttp.ClientSession:
    """The session for all servers; the caller closes it.

    No connection is kept: an idle one holds up a Triton that wants to end.
    """
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=64, force_close=True),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
    )


async def has_models(session: aiohttp.ClientSession, address: str, models: Sequence[str]) -> bool:
    """Whether every model is ready on the server. Never raises: no answer is a no."""
    host = f"[{address}]" if ":" in address else address
    base = f"http://{host}:{names.PORT_HTTP}/v2"
    paths = [f"models/{quote(model, safe='')}/ready" for model in models] or ["health/ready"]
    try:
        answers = await asyncio.gather(*(_ok(session, f"{base}/{path}") for path in paths))
    except (aiohttp.ClientError, TimeoutError, OSError):
        return False
    return all(answers)


async def _ok(session: aiohttp.ClientSession, url: str) -> bool:
    async with session.get(url, allow_redirects=False) as response:
        return response.status == 200
