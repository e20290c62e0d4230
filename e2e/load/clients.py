"""How one request is sent: HTTP with connections that are recycled, or gRPC on long-lived channels.

A Service balances per connection, and Triton never closes an HTTP connection, not even while its
pod drains: an HTTP client that holds on to a connection for ever is reset when its pod goes. Good
clients recycle connections; ``keep_s`` is for how long one is used, 0 for one request each.
"""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any, Protocol, Self

import aiohttp

TIMEOUT_S = 10.0
VALUES = [1.0, 2.0, 3.0, 4.0]


class Client(Protocol):
    """Sends inference requests until closed."""

    async def infer(self) -> str:
        """Send one; returns "" when it was answered well, else what went wrong."""

    async def close(self) -> None:
        """End all connections."""


class HttpClient:
    """HTTP requests over a pool of connections, each of them used for ``keep_s`` at most."""

    def __init__(self, url: str, model: str, keep_s: float) -> None:
        self._url = f"{url.rstrip('/')}/v2/models/{model}/infer"
        self._keep_s = keep_s
        self._session: aiohttp.ClientSession | None = None
        self._opened_s = 0.0
        self._busy: dict[aiohttp.ClientSession, int] = {}
        self._retired: set[aiohttp.ClientSession] = set()
        self._body = json.dumps(
            {"inputs": [{"name": "X", "shape": [1, 4], "datatype": "FP32", "data": VALUES}]}
        ).encode()

    async def infer(self) -> str:
        session = await self._take()
        try:
            async with session.post(self._url, data=self._body) as response:
                answer = await response.read()
                return "" if response.status == 200 else f"HTTP {response.status} {answer[:100]!r}"
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return f"{type(error).__name__}: {error}"
        finally:
            await self._give_back(session)

    async def _take(self) -> aiohttp.ClientSession:
        now_s = time.monotonic()
        if self._session is not None and self._keep_s and now_s - self._opened_s > self._keep_s:
            old, self._session = self._session, None
            if self._busy.get(old, 0):
                self._retired.add(old)
            else:
                await old.close()
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, force_close=self._keep_s == 0),
                timeout=aiohttp.ClientTimeout(total=TIMEOUT_S),
                headers={"Content-Type": "application/json"},
            )
            self._opened_s = now_s
        self._busy[self._session] = self._busy.get(self._session, 0) + 1
        return self._session

    async def _give_back(self, session: aiohttp.ClientSession) -> None:
        self._busy[session] -= 1
        if not self._busy[session]:
            del self._busy[session]
            if session in self._retired:
                self._retired.discard(session)
                await session.close()

    async def close(self) -> None:
        for session in {*self._retired, *([self._session] if self._session else [])}:
            await session.close()


class GrpcClient:
    """gRPC requests over a few long-lived channels, in turn, as a service mesh of clients would."""

    def __init__(self, target: str, model: str, channels: int) -> None:
        import tritonclient.grpc.aio as triton  # slow to import, and HTTP does not need it

        self._triton: Any = triton
        self._model = model
        self._clients = [
            triton.InferenceServerClient(
                target,
                # One connection per channel, or all would share one and see one pod.
                channel_args=[("grpc.use_local_subchannel_pool", 1)],
            )
            for _ in range(channels)
        ]
        self._next = 0

    @classmethod
    async def open(cls, target: str, model: str, channels: int) -> Self:
        """Channels, not connected yet."""
        return cls(target, model, channels)

    async def infer(self) -> str:
        import numpy as np
        from tritonclient.utils import InferenceServerException

        client = self._clients[self._next]
        self._next = (self._next + 1) % len(self._clients)
        values = self._triton.InferInput("X", [1, 4], "FP32")
        values.set_data_from_numpy(np.array([VALUES], dtype=np.float32))
        try:
            await client.infer(self._model, [values], client_timeout=TIMEOUT_S)
        except InferenceServerException as error:
            return f"gRPC {error.status()}: {error.message()}"[:200]
        except asyncio.CancelledError:
            raise
        return ""

    async def close(self) -> None:
        for client in self._clients:
            await client.close()
