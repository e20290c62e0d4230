import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from e2e.testbed import forwarder


async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"got " + await reader.read())
    await writer.drain()
    writer.close()


@asynccontextmanager
async def forwarding(port: int) -> AsyncIterator[int]:
    listener = socket.create_server(("127.0.0.1", 0))
    task = asyncio.create_task(forwarder.serve(listener, "127.0.0.1", port))
    yield listener.getsockname()[1]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def ask(port: int, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    writer.write_eof()
    try:
        return await reader.read()
    finally:
        writer.close()
        await writer.wait_closed()


async def test_bytes_and_the_end_of_a_stream_pass_both_ways() -> None:
    far = await asyncio.start_server(answer, "127.0.0.1", 0)
    data = b"x" * 300_000
    async with far, forwarding(far.sockets[0].getsockname()[1]) as port:
        answers = await asyncio.gather(*(ask(port, data) for _ in range(5)))
    assert set(answers) == {b"got " + data}


async def test_a_closed_far_end_closes_the_connection() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        closed_port = taken.getsockname()[1]
    async with forwarding(closed_port) as port:
        assert await ask(port, b"") == b""
