"""What the tests' own servers leave behind: nothing."""

from __future__ import annotations

import asyncio
import gc
import socket

import pytest
from aiohttp import web


@pytest.mark.parametrize("turns", range(6))
async def test_a_connection_made_while_its_server_ends_is_closed(turns: int) -> None:
    runner = web.ServerRunner(web.Server(web.Response))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    with socket.create_connection(runner.addresses[0]):
        for _ in range(turns):
            await asyncio.sleep(0)
    await runner.cleanup()
    gc.collect()  # an open one is a warning, and that an error
