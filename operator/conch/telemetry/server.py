"""The two small HTTP servers: probes for the kubelet, metrics for Prometheus and our commands."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from conch.errors import SettingsError
from conch.telemetry.catalog import Metrics

Check = Callable[[], str | None]
"""Returns what is wrong, or None."""
Arrivals = Callable[[str, str], dict[str, Any] | None]
"""Of a namespace and a service: what arrived there lately, or None."""
Spending = Callable[[], dict[str, Any]]
"""What services have spent lately."""


async def serve(
    metrics: Metrics,
    *,
    host: str,
    probe_port: int,
    metrics_port: int,
    alive: Sequence[Check],
    ready: Sequence[Check],
    arrivals: Arrivals = lambda namespace, name: None,
    spending: Spending = dict,
) -> web.AppRunner:
    """Start both servers; the runner's ``cleanup()`` stops them.

    ``/healthz`` fails when any check of ``alive`` finds something, ``/readyz`` those of ``ready``.
    ``/debug/arrivals/NAMESPACE/NAME`` gives what ``arrivals`` knows, as JSON, ``/debug/spending``
    what ``spending`` does.
    Raises SettingsError when a port is taken.
    """

    def respond(checks: Sequence[Check]) -> web.Response:
        wrong = [problem for check in checks if (problem := check()) is not None]
        return web.Response(status=503 if wrong else 200, text="\n".join(wrong) or "ok")

    async def healthz(_: web.Request) -> web.Response:
        return respond(alive)

    async def readyz(_: web.Request) -> web.Response:
        return respond(ready)

    async def expose(_: web.Request) -> web.Response:
        # A thousand services have megabytes to tell: nothing else may wait for that.
        body = await asyncio.to_thread(metrics.exposition)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})

    async def tell_arrivals(request: web.Request) -> web.Response:
        found = arrivals(request.match_info["namespace"], request.match_info["name"])
        if found is None:
            return web.Response(status=404, text="nothing is known of it here")
        return web.json_response(found)

    async def tell_spending(_: web.Request) -> web.Response:
        return web.json_response(spending())

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz)])
    app.add_routes([web.get("/metrics", expose)])
    app.add_routes([web.get("/debug/arrivals/{namespace}/{name}", tell_arrivals)])
    app.add_routes([web.get("/debug/spending", tell_spending)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        for port in sorted({probe_port, metrics_port}):
            await web.TCPSite(runner, host, port).start()
    except OSError as error:
        await runner.cleanup()
        raise SettingsError(
            f"CONCH_PROBE_PORT, CONCH_METRICS_PORT: cannot listen on {host}: {error}"
        ) from error
    return runner
