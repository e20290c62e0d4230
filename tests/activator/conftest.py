"""A holder on loopback ports, and servers for it that are there when a test says so."""

from __future__ import annotations

import asyncio
import contextlib
import random
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from conch.activator.connection import Server
from conch.activator.holder import Holder
from conch.activator.slices import GRPC, HTTP, Entry
from conch.activator.telemetry import Telemetry
from conch.api import names
from conch.observe.types import Key

KEY = Key("team", "resnet")


def free_port() -> int:
    """One that, with the next, nobody listens at, nor a connection of this machine starts from."""
    for port in random.sample(range(20_000, 32_000, 2), 50):
        with socket.socket() as one, socket.socket() as other:
            try:
                one.bind(("127.0.0.1", port))
                other.bind(("127.0.0.1", port + 1))
            except OSError:
                continue
            return port
    raise RuntimeError("fifty ports are taken")


@dataclass
class Bed:
    """One service behind a holder; `servers` maps an address to real ports on loopback."""

    holder: Holder
    telemetry: Telemetry
    entry: Entry
    servers: dict[tuple[str, int], int] = field(default_factory=dict)
    loaded: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)

    @property
    def http(self) -> int:
        return self.entry.ports[0][0]

    @property
    def grpc(self) -> int:
        return self.entry.ports[1][0]

    async def change(self, **changes: Any) -> None:
        self.entry = replace(self.entry, **changes)
        await self.holder.follow({KEY: self.entry})

    async def add(self, address: str, *, http: int = 0, grpc: int = 0, ready: bool = True) -> None:
        """A server comes; its models are loaded unless told otherwise."""
        self.servers[address, names.PORT_HTTP] = http
        self.servers[address, names.PORT_GRPC] = grpc
        if ready:
            self.loaded.add(address)
        await self.change(servers=(*self.entry.servers, address))

    def count(self, result: str) -> float:
        labels = {"namespace": "team", "service": "resnet", "result": result}
        found = self.telemetry.registry.get_sample_value(
            "conch_activator_connections_total", labels
        )
        return found or 0.0

    @property
    def held(self) -> int:
        """How many wait, as the operator is told."""
        count: int = self.holder.report()["services"][str(KEY)]["held"]
        return count


Start = Callable[..., Any]


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts a holder that listens for one service without servers."""
    beds: list[tuple[Bed, asyncio.Task[None]]] = []

    async def begin(
        *, most: int = 100, hold_s: float = 30.0, ports: tuple[tuple[int, str], ...] = ()
    ) -> Bed:
        telemetry = Telemetry()

        async def ask(address: str, models: Sequence[str]) -> bool:
            bed.asked.append(address)
            return address in bed.loaded

        async def connect(factory: Callable[[], Server], address: str, port: int) -> Any:
            loop = asyncio.get_running_loop()
            return await loop.create_connection(factory, "127.0.0.1", bed.servers[address, port])

        holder = Holder(telemetry, ask, most=most, host="127.0.0.1", connect=connect)
        first = free_port()  # and the next: two of them might be the same
        chosen = ports or ((first, HTTP), (first + 1, GRPC))
        bed = Bed(holder, telemetry, Entry(chosen, ("resnet",), hold_s, True, ()))
        await holder.follow({KEY: bed.entry})
        beds.append((bed, asyncio.create_task(holder.sweep())))
        return bed

    yield begin
    for bed, sweep in beds:
        sweep.cancel()
        await asyncio.gather(sweep, return_exceptions=True)
        await bed.holder.close()


Dial = Callable[[int], Any]


@pytest.fixture
async def dial() -> AsyncIterator[Dial]:
    """Opens connections to loopback ports; all are ended with the test."""
    writers: list[asyncio.StreamWriter] = []

    async def connect(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writers.append(writer)
        return reader, writer

    yield connect
    for writer in writers:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def until(true: Callable[[], bool], limit_s: float = 5.0) -> None:
    """Wait for something that is about to become true."""
    async with asyncio.timeout(limit_s):
        while not true():  # noqa: ASYNC110 - what tests wait for has no event
            await asyncio.sleep(0.01)
