"""Requests as clients send them, each with its fate: new connections, kept ones, gRPC channels.

Nothing here tries twice: a request that fails is lost.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp

from e2e.load.clients import VALUES

# Longer than any start: whoever waits for a first replica must be patient.
PATIENCE_S: Final = 120.0
KINDS: Final = ("http", "keep-alive", "grpc")


@dataclass(slots=True)
class Fate:
    """One request."""

    kind: str
    what: str
    sent_s: float
    done_s: float = 0.0
    problem: str = ""

    @property
    def took_s(self) -> float:
        """How long it took."""
        return self.done_s - self.sent_s


@dataclass
class Senders:
    """One client of each kind; `fates` are all requests there were. Times are the wall clock's."""

    address: str
    model: str
    fates: list[Fate] = field(default_factory=list)

    async def __aenter__(self) -> Senders:
        timeout = aiohttp.ClientTimeout(total=PATIENCE_S)
        headers = {"Content-Type": "application/json"}
        self._once = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, force_close=True),
            timeout=timeout,
            headers=headers,
        )
        self._kept = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0), timeout=timeout, headers=headers
        )
        import tritonclient.grpc.aio as triton

        self._triton: Any = triton
        self._channels = [
            triton.InferenceServerClient(
                f"{self.address}:8001",
                # One connection each, or all would share one.
                channel_args=[("grpc.use_local_subchannel_pool", 1)],
            )
            for _ in range(4)
        ]
        self._turn = 0
        self._body = json.dumps(
            {"inputs": [{"name": "X", "shape": [1, 4], "datatype": "FP32", "data": VALUES}]}
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._once.close()
        await self._kept.close()
        for channel in self._channels:
            await channel.close()

    async def send(self, kind: str, what: str) -> Fate:
        """One request of that kind; never raises."""
        fate = Fate(kind, what, time.time())
        self.fates.append(fate)
        try:
            if kind == "grpc":
                await self._grpc()
            else:
                await self._http(self._once if kind == "http" else self._kept)
        except asyncio.CancelledError:
            fate.problem = "never answered"
            raise
        except Exception as error:  # whatever it is: the request is lost
            fate.problem = f"{type(error).__name__}: {error}"[:200]
        finally:
            fate.done_s = time.time()
        return fate

    async def _http(self, session: aiohttp.ClientSession) -> None:
        url = f"http://{self.address}:8000/v2/models/{self.model}/infer"
        async with session.post(url, data=self._body) as answer:
            text = await answer.text()
            if answer.status != 200 or '"outputs"' not in text:
                raise RuntimeError(f"HTTP {answer.status}: {text[:100]}")

    async def _grpc(self) -> None:
        import numpy as np

        self._turn = (self._turn + 1) % len(self._channels)
        values = self._triton.InferInput("X", [1, 4], "FP32")
        values.set_data_from_numpy(np.array([VALUES], dtype=np.float32))
        await self._channels[self._turn].infer(self.model, [values], client_timeout=PATIENCE_S)
