"""One way to ask a web service for JSON: bounded in size, time and tries.

Nothing that is sent or answered is logged, and no error holds more than the host: tokens travel in
headers, and an address may hold a location that is nobody's business.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import aiohttp
import msgspec

from conch.errors import GridError

_MAX_BODY_BYTES: Final = 1024 * 1024
_TRIES: Final = 3
_LONGEST_WAIT_S: Final = 30.0
_WORTH_ANOTHER_TRY: Final = frozenset({408, 425, 429, 500, 502, 503, 504})


class Refused(GridError):
    """The service does not accept our credentials (401, 403)."""


@dataclass(slots=True)
class Service:
    """A web service under one base URL."""

    url: str
    timeout_s: float = 10.0
    first_wait_s: float = 1.0
    rng: random.Random = field(default_factory=random.Random)
    _session: aiohttp.ClientSession | None = None

    async def get(
        self, path: str, params: Mapping[str, str], headers: Mapping[str, str] | None = None
    ) -> Any:
        """The decoded answer, None for no content (204).

        Raises GridError, and Refused where another token may help.
        """
        waited_s = self.first_wait_s
        for left in range(_TRIES - 1, -1, -1):
            again_s: float | None
            try:
                async with self._open().get(
                    f"{self.url.rstrip('/')}{path}",
                    params=params,
                    headers=headers,
                    allow_redirects=False,  # a token must not follow one to another host
                ) as response:
                    if response.status == 200:
                        return _decoded(await self._read(response), self.host)
                    if response.status == 204:
                        return None
                    problem = GridError(f"{self.host} answered HTTP {response.status}")
                    if response.status in (401, 403):
                        raise Refused(str(problem))
                    if response.status not in _WORTH_ANOTHER_TRY:
                        raise problem
                    again_s = _retry_after_s(response)
            except TimeoutError:
                again_s, problem = None, GridError(f"{self.host} did not answer in time")
            except (aiohttp.ClientError, OSError) as error:
                again_s, problem = None, GridError(f"{self.host}: {type(error).__name__}")
            if not left:
                raise problem
            await asyncio.sleep(
                again_s if again_s is not None else waited_s * self.rng.uniform(0.5, 1.0)
            )
            waited_s = min(_LONGEST_WAIT_S, 2 * waited_s)
        raise AssertionError("unreachable")

    async def aclose(self) -> None:
        """End connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    @property
    def host(self) -> str:
        """For messages."""
        return urlsplit(self.url).hostname or "the source"

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=self.timeout_s),
                connector=aiohttp.TCPConnector(limit=4),
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        body = bytearray()
        async for chunk in response.content.iter_chunked(65536):
            body += chunk
            if len(body) > _MAX_BODY_BYTES:
                raise GridError(f"{self.host} sent more than {_MAX_BODY_BYTES >> 20} MiB")
        return bytes(body)


def _decoded(body: bytes, host: str) -> Any:
    try:
        return msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise GridError(f"{host} answered no JSON") from error


def _retry_after_s(response: aiohttp.ClientResponse) -> float | None:
    """Whole seconds only, and not for ever: the other form of it is a date."""
    given = response.headers.get("Retry-After", "")
    return min(_LONGEST_WAIT_S, float(given)) if given.isdecimal() else None


def secret(path: str) -> str:
    """What a mounted Secret holds now: it may have been renewed. Raises GridError without it."""
    try:
        text = Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise GridError(f"the token file {path} cannot be read") from error
    if not text or not text.isprintable():
        raise GridError(f"the token file {path} holds no token")
    return text
