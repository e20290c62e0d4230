"""The operator's ear: real activators' control ports, coming, dying and coming back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from aiohttp import web

from conch.activator import control
from conch.activator.holder import Holder
from conch.activator.slices import Entry
from conch.activator.slices import Key as ServiceKey
from conch.activator.telemetry import Telemetry
from conch.kube import views
from conch.observe.activation import Activation, ActivationBook
from conch.observe.types import Key
from conch.reconcile.activators import ActivatorLoop
from tests.activator.conftest import free_port, until

KEY = Key("team", "resnet")


async def _never(address: str, models: Sequence[str]) -> bool:
    return False


@dataclass
class Ear:
    """The loop under test, and whom it has woken."""

    port: int
    book: ActivationBook
    woken: list[Key] = field(default_factory=list)
    loop: ActivatorLoop = field(init=False)

    def __post_init__(self) -> None:
        self.loop = ActivatorLoop(self.book, self.woken.append, port=self.port)

    @property
    def heard(self) -> Activation:
        found = self.book.of(KEY)
        assert found is not None
        return found


def pod(uid: str = "a", address: str = "127.0.0.1", *, leaving: bool = False) -> views.Pod:
    stamp = "2026-01-01T00:00:00Z" if leaving else None
    return views.Pod(
        metadata=views.Metadata(uid=uid, deletion_timestamp=stamp),
        status=views.PodStatus(pod_ip=address, phase="Running"),
    )


@pytest.fixture
async def ear() -> AsyncIterator[Ear]:
    start = free_port()
    made = Ear(free_port(), ActivationBook(range(start, start + 2)))
    made.book.looked = True
    running = asyncio.create_task(made.loop.run())
    yield made
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


@asynccontextmanager
async def activator(ear: Ear) -> AsyncIterator[Holder]:
    """A whole activator but for its watch: it listens for the service."""
    telemetry = Telemetry()
    holder = Holder(telemetry, _never, most=10, host="127.0.0.1")
    port = ear.heard.port
    entry = Entry(((port, "http"), (port + 1, "grpc")), ("m",), 60.0, True, ())
    await holder.follow({ServiceKey("team", "resnet"): entry})
    runner = await control.serve(
        holder, telemetry, host="127.0.0.1", port=ear.port, unready=lambda: None
    )
    try:
        yield holder
    finally:
        await holder.close()
        await runner.cleanup()


async def test_a_waiting_request_is_heard_of_at_once(ear: Ear) -> None:
    async with activator(ear) as holder:
        ear.loop.set_pod(pod())
        await until(lambda: ear.heard.addresses == ("127.0.0.1",))
        assert ear.woken == [KEY]
        _, writer = await asyncio.open_connection("127.0.0.1", ear.heard.port)
        writer.write(b"POST / HTTP/1.1\r\n\r\n")
        await until(lambda: ear.heard.held == 1, limit_s=1.0)
        assert ear.woken == [KEY, KEY]
        writer.close()
        await until(lambda: ear.heard.held == 0)
        assert holder.report()["services"]["team/resnet"]["held"] == 0


@pytest.mark.slow
async def test_one_that_dies_is_no_address_and_comes_back(ear: Ear) -> None:
    ear.loop.set_pod(pod())
    async with activator(ear):
        await until(lambda: bool(ear.heard.addresses))
    await until(lambda: not ear.heard.addresses, limit_s=3.0)
    assert ear.heard.known  # that it does not listen
    woken = len(ear.woken)
    async with activator(ear):
        await until(lambda: bool(ear.heard.addresses))
        assert len(ear.woken) > woken


async def test_one_that_leaves_is_no_address(ear: Ear) -> None:
    async with activator(ear):
        ear.loop.set_pod(pod())
        await until(lambda: bool(ear.heard.addresses))
        woken = len(ear.woken)
        ear.loop.set_pod(pod(leaving=True))
        assert ear.heard.addresses == ()
        assert len(ear.woken) > woken
        ear.loop.remove_pod("a")
        assert ear.heard.family == ""


@pytest.mark.parametrize(
    "body", ["", "[]", '{"version": 1}', '{"version": "1", "services": {"a/b": {"ports": "x"}}}']
)
async def test_nonsense_is_no_answer(ear: Ear, body: str) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(text=body)

    app = web.Application()
    app.add_routes([web.get("/held", answer)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", ear.port).start()
    try:
        ear.loop.set_pod(pod())
        assert not ear.heard.known
        await until(lambda: ear.heard.known)
        assert ear.heard.addresses == ()
    finally:
        await runner.cleanup()


async def test_after_a_start_there_is_time_to_find_them(
    ear: Ear, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("conch.reconcile.activators._SETTLE_S", 0.05)
    book = ActivationBook()
    running = asyncio.create_task(ActivatorLoop(book, lambda key: None).run())
    await asyncio.sleep(0)
    assert not book.looked
    await until(lambda: book.looked)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
