"""HTTP of the fleet: Triton's endpoints on every local address, and the control port.

Decides only what is sent; a pod is the address that the client dialled.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from e2e.fleet import exposition
from e2e.fleet.counters import Counters
from e2e.fleet.pods import Pod, Pods

LIE = 10.0
TEXT = "text/plain"
JSON = "application/json"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Triton:
    """The handlers of one fleet."""

    def __init__(self, pods: Pods) -> None:
        self._pods = pods

    def http(self) -> web.Application:
        """Port 8000."""
        app = web.Application()
        app.router.add_get("/v2/health/{kind:live|ready}", self.health)
        app.router.add_get("/v2/models/stats", self.stats)
        app.router.add_get("/v2/models/{model}/ready", self.ready)
        app.router.add_get("/v2/models/{model}/stats", self.stats)
        app.router.add_post("/v2/models/{model}/infer", self.infer)
        app.router.add_post("/v2/repository/index", self.index)
        return app

    def metrics(self) -> web.Application:
        """Port 8002."""
        app = web.Application()
        app.router.add_get("/metrics", self.exposition)
        return app

    async def health(self, request: web.Request) -> web.StreamResponse:
        return await _spoiled(self._pod(request), "health", request, b"", TEXT)

    async def ready(self, request: web.Request) -> web.StreamResponse:
        pod = self._pod(request)
        if request.match_info["model"] not in pod.load.models:
            return _error(400, "Model version not ready")
        return await _spoiled(pod, "health", request, b"", TEXT)

    async def index(self, request: web.Request) -> web.StreamResponse:
        models = self._pod(request).load.models
        return web.json_response([{"name": m, "version": "1", "state": "READY"} for m in models])

    async def stats(self, request: web.Request) -> web.StreamResponse:
        pod, counters = self._pod(request), self._shown(request, "stats")
        model = request.match_info.get("model")
        if model is not None:
            if model not in counters:
                return _error(400, f"requested model '{model}' is not available")
            counters = {model: counters[model]}
        if _fault(pod, "stats") == "missing":
            counters = {}
        return await _spoiled(pod, "stats", request, exposition.statistics(counters), JSON)

    async def exposition(self, request: web.Request) -> web.StreamResponse:
        pod = self._pod(request)
        fault = _fault(pod, "metrics")
        counters = {} if fault == "missing" else self._shown(request, "metrics")
        text = exposition.metrics(counters, nan=fault == "nan")
        return await _spoiled(pod, "metrics", request, text.encode(), TEXT)

    async def infer(self, request: web.Request) -> web.StreamResponse:
        pod = self._pod(request)
        model = request.match_info["model"]
        if model not in pod.load.models:
            return _error(404, f"Request for unknown model: '{model}' is not found")
        try:
            tensor = (await request.json())["inputs"][0]
            doubled = [2 * number for number in tensor["data"]]
            output = {**tensor, "name": "Y", "data": doubled}
        except (ValueError, LookupError, TypeError):
            return _error(500, "Unable to parse 'inputs'")
        service_ms = pod.load.service_ms(1)
        await asyncio.sleep(service_ms / 1e3)
        counters = self._pods.counters(_address(request))[model]
        counters.serve(1, 1, 0.0, service_ms * 1e3, self._pods.wall_ms())
        answer = {"model_name": model, "model_version": "1", "outputs": [output]}
        return await _spoiled(pod, "infer", request, json.dumps(answer).encode(), JSON)

    def _pod(self, request: web.Request) -> Pod:
        return self._pods[_address(request)]

    def _shown(self, request: web.Request, endpoint: str) -> dict[str, Counters]:
        counters = self._pods.counters(_address(request))
        if _fault(self._pod(request), endpoint) == "lies":
            return {model: c.times(LIE) for model, c in counters.items()}
        return counters


def control(pods: Pods) -> web.Application:
    """The control port: GET /pods, PATCH /pods {address or "*": fields}, DELETE /pods/{address}."""

    async def show(_: web.Request) -> web.StreamResponse:
        return web.json_response(pods.report())

    async def change(request: web.Request) -> web.StreamResponse:
        try:
            pods.change(await request.json())
        except (ValueError, AttributeError) as error:
            return _error(400, str(error))
        return web.Response(status=204)

    async def forget(request: web.Request) -> web.StreamResponse:
        pods.forget(request.match_info["address"])
        return web.Response(status=204)

    app = web.Application(client_max_size=64 << 20)
    app.router.add_get("/pods", show)
    app.router.add_patch("/pods", change)
    app.router.add_delete("/pods/{address}", forget)
    return app


def _address(request: web.Request) -> str:
    assert request.transport is not None
    name: tuple[Any, ...] = request.transport.get_extra_info("sockname")
    return str(name[0])


def _fault(pod: Pod, endpoint: str) -> str:
    return pod.load.fault if endpoint in pod.load.fault_on else "none"


async def _spoiled(
    pod: Pod, endpoint: str, request: web.Request, body: bytes, content_type: str
) -> web.StreamResponse:
    """The answer, unless the pod's fault spoils how it is sent."""
    match _fault(pod, endpoint):
        case "empty":
            body = b""
        case "truncated":
            body = body[: len(body) // 2]
        case "error":
            return _error(500, "the fleet was told to fail")
        case "hang":
            await asyncio.Event().wait()
        case "disconnect":
            assert request.transport is not None
            request.transport.abort()
    charset = "utf-8" if endpoint == "metrics" else None
    return web.Response(body=body, content_type=content_type, charset=charset)


def _error(status: int, message: str) -> web.Response:
    return web.json_response({"error": message}, status=status)
