"""Who waits for what, for how long, and who is passed on to whom.

It follows a table of services (``slices``): listens for each on its own ports, holds what comes
until a server has its models, and joins the two. Bounded in connections, in all and per service, so
that a flood of one leaves room for the others; each has a deadline. It asks nobody for anything:
``report`` says who waits, and the operator reads it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import select
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from conch.activator.connection import REFUSAL_LINGER_S, Client, Server, Speech
from conch.activator.slices import GRPC, Entry, target_port
from conch.activator.telemetry import Telemetry
from conch.observe.types import Key

logger = logging.getLogger(__name__)

Ask = Callable[[str, Sequence[str]], Awaitable[bool]]
"""(address, models) → whether the server there has them all."""
Connect = Callable[[Callable[[], Server], str, int], Awaitable[Any]]

_LOOK_S: Final = 0.1  # between two looks at servers that are still loading
_TRUST_S: Final = 1.0  # for how long a server that was seen with its models is not asked again
_CONNECT_S: Final = 2.0
_RETRY_S: Final = 5.0  # between two tries to listen on a port that was taken
_TURN_S: Final = 0.5  # of the sweep for those who have left, and those who may leave
_LEAVE_S: Final = 1.0  # after the slice is empty, until every node's rules have followed
_SHARE: Final = 4  # one service gets at most this part of all connections
_SILENT_S: Final = 600.0  # a connection that asks nothing for as long is closed
_RECEIVE_BYTES: Final = 65536
_BACKLOG: Final = 512
# A connection that no protocol's words can end is closed when it has been quiet for this long with
# the server's word as the last. Triton itself ends gRPC connections after some seconds.
_QUIET_S: Final = 5.0
_QUIET_KNOWN_S: Final = 60.0
_GONE_EVENTS: Final = getattr(select, "POLLRDHUP", 0) | select.POLLHUP | select.POLLERR


@dataclass(eq=False)
class Held:
    """One service: what it is, and its connections."""

    key: Key
    entry: Entry
    listeners: dict[int, asyncio.Server] = field(default_factory=dict)
    waiting: dict[Client, None] = field(default_factory=dict)  # in the order they came
    passed: set[Client] = field(default_factory=set)
    ready_s: dict[str, float] = field(default_factory=dict)  # server → when seen with its models
    left_path_s: float | None = None
    work: asyncio.Task[None] | None = None
    turns: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def asking(self) -> int:
        """Connections that wait and want something."""
        return sum(client.asked for client in self.waiting)


class Holder:
    """Everything the activator does with connections."""

    def __init__(
        self,
        telemetry: Telemetry,
        ask: Ask,
        *,
        most: int,
        host: str = "",
        connect: Connect | None = None,
    ) -> None:
        self._telemetry = telemetry
        self._ask = ask
        self._most = most
        self._host = host
        self._connect = connect
        self._services: dict[Key, Held] = {}
        self._connections: set[Client] = set()
        self._stopping = False
        self._closed = False
        self.version = 0
        """Grows with every change of ``report``."""
        self._news = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._binding = asyncio.Lock()

    # --- what it follows --------------------------------------------------------------------------

    async def follow(self, table: Mapping[Key, Entry]) -> None:
        """Listen for these services, and for no others; called again with every change."""
        now_s = asyncio.get_running_loop().time()
        for key in [key for key in self._services if key not in table]:
            self._drop(self._services.pop(key))
        for key, entry in table.items():
            held = self._services.get(key)
            if held is None:
                held = self._services[key] = Held(key, entry)
                held.left_path_s = None if entry.in_path else now_s
            if held.entry.in_path != entry.in_path:
                held.left_path_s = None if entry.in_path else now_s
                logger.info("%s: %s the path", key, "in" if entry.in_path else "out of")
            held.entry = entry
            held.changed.set()
        await self._listen()

    async def _listen(self) -> None:
        """Bring the listeners in line; all that close come first: ports change hands."""
        async with self._binding:
            services = list(self._services.values())
            for held in services:
                wanted = {} if self._stopping else dict(held.entry.ports)
                for port in [port for port in held.listeners if port not in wanted]:
                    held.listeners.pop(port).close()
                    self._tell()
            for held in services:
                for port, name in () if self._stopping else held.entry.ports:
                    current = self._services.get(held.key) is held
                    if current and port not in held.listeners:
                        await self._open(held, port, name)

    async def _open(self, held: Held, port: int, name: str) -> None:
        try:
            held.listeners[port] = await self._server(held, port, name)
        except OSError as error:  # tried again by the sweep
            logger.error("%s: cannot listen on %d: %s", held.key, port, error)
        self._tell()

    async def _server(self, held: Held, port: int, name: str) -> asyncio.Server:
        family = socket.AF_INET6 if socket.has_dualstack_ipv6() and not self._host else 0
        sock = socket.create_server(
            (self._host, port),
            family=family or socket.AF_INET,
            backlog=_BACKLOG,
            dualstack_ipv6=bool(family),
        )
        # What waits in the kernel counts, too. Connections inherit it.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _RECEIVE_BYTES)
        loop = asyncio.get_running_loop()
        return await loop.create_server(
            lambda: Client(self, held, name), sock=sock, backlog=_BACKLOG
        )

    def _drop(self, held: Held) -> None:
        """The service is gone, or goes to zero no more: what waits for it waits for nothing."""
        for listener in held.listeners.values():
            listener.close()
        held.listeners.clear()
        if held.work is not None:
            held.work.cancel()
        for client in list(held.waiting):
            del held.waiting[client]
            client.refuse(f"{held.key} is not served here any more")
        for client in held.passed:
            client.let_go()
        self._telemetry.forget(held.key)
        self._tell()

    # --- what connections tell --------------------------------------------------------------------

    def came(self, client: Client) -> None:
        """A connection was accepted."""
        held = client.held
        if self._closed:
            client.abort()  # it came through a listener that has closed meanwhile
            return
        self._connections.add(client)
        self._empty.clear()
        of_service = len(held.waiting) + len(held.passed)
        client.began_s = asyncio.get_running_loop().time()
        held.waiting[client] = None
        if len(self._connections) > self._most or of_service >= max(1, self._most // _SHARE):
            self._telemetry.ended(held.key, "full")
            del held.waiting[client]
            if len(self._connections) > self._most + self._most // _SHARE:
                client.abort()  # saying so costs a connection for a moment, too
            else:
                client.refuse(f"too many requests wait for {held.key}")
            return
        client.deadline = asyncio.get_running_loop().call_later(_SILENT_S, client.dismiss)
        if held.work is None or held.work.done():
            held.work = asyncio.get_running_loop().create_task(self._serve(held))
        held.changed.set()

    def asks(self, client: Client) -> None:
        """It is known what a waiting connection speaks, and that it wants something."""
        if client.deadline is not None:
            client.deadline.cancel()
        client.deadline = asyncio.get_running_loop().call_later(
            client.held.entry.hold_s, self._expire, client
        )
        if client.held.asking == 1:
            level = logging.DEBUG if client.held.entry.servers else logging.INFO
            logger.log(level, "%s: a request waits", client.held.key)
            self._tell()
        client.held.changed.set()

    def gone(self, client: Client) -> None:
        """A connection has ended."""
        held = client.held
        self._connections.discard(client)
        if not self._connections:
            self._empty.set()
        held.passed.discard(client)
        if client in held.waiting:
            del held.waiting[client]
            if client.asked:
                self._telemetry.ended(held.key, "left")
                if not held.asking:
                    self._tell()

    def _expire(self, client: Client) -> None:
        if client in client.held.waiting:
            waited_s = asyncio.get_running_loop().time() - client.began_s
            message = f"no replica of {client.held.key} became ready within {waited_s:.0f} s"
            logger.warning("%s", message)
            self._end(client, "expired", message)

    def _end(self, client: Client, how: str, message: str) -> None:
        """Refuse one that waits."""
        del client.held.waiting[client]
        if client.asked:
            self._telemetry.ended(client.held.key, how)
            if not client.held.asking:
                self._tell()
        client.refuse(message)

    # --- passing on -------------------------------------------------------------------------------

    async def _serve(self, held: Held) -> None:
        """While anything waits: look for servers, and pass on what waits when there are any."""
        while held.waiting:
            try:
                await self._turn(held)
            except Exception:  # a defect over one connection must not leave the others waiting
                logger.exception("%s: passing on failed", held.key)
                await asyncio.sleep(_TURN_S)

    async def _turn(self, held: Held) -> None:
        held.changed.clear()
        ready = await self._ready(held)
        if ready and held.asking:
            await self._pass_all(held, ready)
        elif held.asking and held.entry.servers:
            await asyncio.sleep(_LOOK_S)
        else:
            await held.changed.wait()

    async def _ready(self, held: Held) -> list[str]:
        """Servers that have their models, asked of each unless it was just now."""
        if not held.asking:
            return []
        now_s = asyncio.get_running_loop().time()
        servers = held.entry.servers
        old = [s for s in servers if now_s - held.ready_s.get(s, float("-inf")) > _TRUST_S]
        answers = await asyncio.gather(*(self._ask(s, held.entry.models) for s in old))
        for server, good in zip(old, answers, strict=True):
            if good:
                held.ready_s[server] = asyncio.get_running_loop().time()
            else:
                held.ready_s.pop(server, None)
        held.ready_s = {s: at_s for s, at_s in held.ready_s.items() if s in held.entry.servers}
        return list(held.ready_s)

    async def _pass_all(self, held: Held, ready: Sequence[str]) -> None:
        clients = [client for client in held.waiting if client.asked]
        passing = []
        for client in clients:
            held.turns += 1
            passing.append(self._pass(client, ready[held.turns % len(ready)]))
        await asyncio.gather(*passing)

    async def _pass(self, client: Client, address: str) -> None:
        """Join one to a server; nothing was sent yet, so what fails is tried again."""
        held, loop = client.held, asyncio.get_running_loop()
        connect = self._connect or loop.create_connection
        server = Server(client)
        try:
            async with asyncio.timeout(_CONNECT_S):
                await connect(lambda: server, address, target_port(client.port_name))
        except (OSError, TimeoutError) as error:
            logger.info("%s: %s cannot be reached: %s", held.key, address, error)
            held.ready_s.pop(address, None)
            return
        if client not in held.waiting or client.closing:
            server.close()
            return
        del held.waiting[client]
        held.passed.add(client)
        self._telemetry.passed(held.key, loop.time() - client.began_s)
        client.pass_on(server)
        if not held.asking:
            self._tell()

    # --- letting go -------------------------------------------------------------------------------

    async def sweep(self) -> None:
        """Find those who have left unseen, and let go of those who may go. Until cancelled."""
        loop = asyncio.get_running_loop()
        retried_s = loop.time()
        while True:
            await asyncio.sleep(_TURN_S)
            now_s = loop.time()
            if now_s - retried_s >= _RETRY_S:
                retried_s = now_s
                await self._listen()
            for held in self._services.values():
                self._telemetry.held(held.key, held.asking, len(held.passed))
                for client in _left(held):
                    client.abort()
                out = held.left_path_s is not None and now_s - held.left_path_s >= _LEAVE_S
                if out or self._stopping:
                    self._release(held, now_s)

    def _release(self, held: Held, now_s: float) -> None:
        for client in list(held.passed):
            client.let_go()
            if client.spoken is Speech.HTTP2 or client.quiet_since_s is None:
                continue
            known = client.spoken is Speech.HTTP1 or client.port_name == GRPC
            if now_s - client.quiet_since_s >= (_QUIET_KNOWN_S if known else _QUIET_S):
                client.close()

    # --- what it tells ----------------------------------------------------------------------------

    def report(self) -> dict[str, Any]:
        """What it listens for, and how many wait."""
        return {
            "version": self.version,
            "services": {
                str(held.key): {"ports": sorted(held.listeners), "held": held.asking}
                for held in self._services.values()
                if len(held.listeners) == len(held.entry.ports) or held.asking
            },
        }

    async def news(self, seen: int, patience_s: float) -> None:
        """Wait until ``version`` is not ``seen``, but not for longer than that."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                while self.version == seen:
                    await self._news.wait()

    def _tell(self) -> None:
        self.version += 1
        self._news.set()
        self._news = asyncio.Event()

    # --- the end ----------------------------------------------------------------------------------

    async def drain(self, patience_s: float) -> None:
        """Accept nothing more; what waits is passed on as before, and then all is let go."""
        self._stopping = True
        await self._listen()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await self._empty.wait()

    async def close(self) -> None:
        """End everything, after what is on its way."""
        self._stopping = self._closed = True
        for key in list(self._services):
            self._drop(self._services.pop(key))
        for client in self._connections:
            client.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(REFUSAL_LINGER_S):
                await self._empty.wait()
        for client in self._connections:
            client.abort()


def _left(held: Held) -> list[Client]:
    """Those who wait and have hung up. While nothing is read, only the kernel knows."""
    poll = select.poll()
    by_descriptor = {}
    for client in held.waiting:
        if (number := client.descriptor) >= 0:
            by_descriptor[number] = client
            poll.register(number, _GONE_EVENTS)
    return [by_descriptor[number] for number, _ in poll.poll(0)]
