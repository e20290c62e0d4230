"""The activator's own port: probes, metrics, and what the operator asks.

``GET /held?seen=N`` answers as soon as the report is not version N of this process any more, or
after a few seconds: the operator hears of a waiting request within milliseconds, and of an
activator that has died as soon as the connection breaks.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Final

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from conch.activator.holder import Holder
from conch.activator.telemetry import Telemetry
from conch.errors import SettingsError

PATIENCE_S: Final = 5.0


async def serve(
    holder: Holder,
    telemetry: Telemetry,
    *,
    host: str,
    port: int,
    unready: Callable[[], str | None],
) -> web.AppRunner:
    """Start the server; the runner's ``cleanup()`` stops it. Raises SettingsError."""
    process = secrets.token_hex(8)  # a version means nothing to the process after this one

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def readyz(_: web.Request) -> web.Response:
        problem = unready()
        return web.Response(status=503 if problem else 200, text=problem or "ok")

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(
            body=telemetry.exposition(), headers={"Content-Type": CONTENT_TYPE_LATEST}
        )

    async def held(request: web.Request) -> web.Response:
        seen, _, number = request.query.get("seen", "").partition(".")
        if seen == process and number.isdecimal():
            await holder.news(int(number), PATIENCE_S)
        report = holder.report()
        return web.json_response({**report, "version": f"{process}.{report['version']}"})

    app = web.Application()
    app.add_routes(
        [
            web.get("/healthz", healthz),
            web.get("/readyz", readyz),
            web.get("/metrics", metrics),
            web.get("/held", held),
        ]
    )
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
    except OSError as error:
        await runner.cleanup()
        raise SettingsError(f"cannot listen on {host}:{port}: {error}") from error
    return runner
