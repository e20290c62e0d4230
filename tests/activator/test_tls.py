"""TLS from end to end: the handshake waits, and nobody in between sees inside."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import aiohttp
from aiohttp import web

from tests.activator.conftest import Start, until

CERTIFICATE = Path(__file__).parents[1] / "fetch" / "data" / "localhost-test-only.pem"


async def test_https_waits_and_is_answered(start: Start) -> None:
    async def infer(request: web.Request) -> web.Response:
        return web.Response(text=f"got {await request.text()}")

    bed = await start()
    app = web.Application()
    app.router.add_post("/infer", infer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    inside = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    inside.load_cert_chain(CERTIFICATE)
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=inside)
    await site.start()
    outside = ssl.create_default_context(cafile=str(CERTIFICATE))
    outside.check_hostname = False
    connector = aiohttp.TCPConnector(ssl=outside)
    try:
        async with aiohttp.ClientSession(connector=connector) as session:
            url = f"https://127.0.0.1:{bed.http}/infer"

            async def ask() -> str:
                async with session.post(url, data=b"hello") as answer:
                    return await answer.text()

            asking = asyncio.create_task(ask())
            await until(lambda: bed.held == 1)
            assert not asking.done()
            _, port = runner.addresses[0][:2]
            await bed.add("10.0.0.1", http=port)
            async with asyncio.timeout(10):
                assert await asking == "got hello"
    finally:
        await runner.cleanup()
