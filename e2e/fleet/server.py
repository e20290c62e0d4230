"""What the fleet answers: Triton's endpoints on every local address, and the control port.

Decides only what is sent; a pod is the address that the client dialled.
"""

from __future__ import annotations

import json
import re
from typing import Final

from aiohttp import web

from e2e.fleet import exposition
from e2e.fleet.counters import Counters
from e2e.fleet.http import HANG, RESET, Reply, Request
from e2e.fleet.pods import Pod, Pods

LIES: Final = {"lies": 10.0, "negative": -1.0}
INSTEAD: Final = {"nan": "Nan", "infinite": "+Inf"}
TEXT = "text/plain"
EXPOSITION = "text/plain; charset=utf-8"

_MODEL: Final = re.compile(r"/v2/models/([^/]+)/(ready|stats|config|infer)")


class Triton:
    """The answers of one fleet."""

    def __init__(self, pods: Pods) -> None:
        self._pods = pods

    def http(self, request: Request) -> Reply:
        """Port 8000."""
        pod = self._pods[request.address]
        match request.method, request.path:
            case "GET", "/v2/health/live" | "/v2/health/ready":
                return _spoiled(pod, "health", Reply(200, b"", TEXT))
            case "GET", "/v2/models/stats":
                return self._stats(request.address, pod, pod.load.models)
            case "POST", "/v2/repository/index":
                there = [{"name": m, "version": "1", "state": "READY"} for m in pod.load.models]
                return Reply(200, json.dumps(there).encode())
        match _MODEL.fullmatch(request.path):
            case None:
                return _plain_error(404, "Not Found")
            case found:
                return self._of_model(request, pod, found[1], found[2])

    def metrics(self, request: Request) -> Reply:
        """Port 8002."""
        if (request.method, request.path) != ("GET", "/metrics"):
            return Reply(200, b"", EXPOSITION)
        pod = self._pods[request.address]
        fault = _fault(pod, "metrics")
        counters = {} if fault == "missing" else self._shown(request.address, pod, "metrics")
        text = exposition.metrics(counters, instead=INSTEAD.get(fault, ""))
        return _spoiled(pod, "metrics", Reply(200, text.encode(), EXPOSITION))

    def _of_model(self, request: Request, pod: Pod, model: str, what: str) -> Reply:
        known = model in pod.load.models
        match request.method, what:
            case "GET", "ready" if known:
                return _spoiled(pod, "health", Reply(200, b"", TEXT))
            case "GET", "ready":
                return _plain_error(400, "Model version not ready")
            case "GET", "stats" if known:
                return self._stats(request.address, pod, (model,))
            case "GET", "stats":
                return _error(400, f"requested model '{model}' is not available")
            case "GET", "config" if known:
                body = exposition.configuration(model, pod.load)
                return _spoiled(pod, "stats", Reply(200, body))
            case "POST", "infer" if known:
                return self._infer(request, pod, model)
        error = _plain_error if what == "infer" else _error
        return error(404, f"Request for unknown model: '{model}' is not found")

    def _stats(self, address: str, pod: Pod, models: tuple[str, ...]) -> Reply:
        counters = self._shown(address, pod, "stats")
        if _fault(pod, "stats") == "missing":
            models = ()
        body = exposition.statistics({m: c for m, c in counters.items() if m in models})
        return _spoiled(pod, "stats", Reply(200, body))

    def _infer(self, request: Request, pod: Pod, model: str) -> Reply:
        try:
            tensor = json.loads(request.body)["inputs"][0]
            doubled = [2 * number for number in tensor["data"]]
            output = {**tensor, "name": "Y", "data": doubled}
        except (ValueError, LookupError, TypeError):
            return _error(500, "Unable to parse 'inputs'")
        service_ms = pod.load.service_ms(1)
        counters = self._pods.counters(request.address)[model]
        counters.serve(1, 1, 0.0, service_ms * 1e3, self._pods.wall_ms())
        answer = {"model_name": model, "model_version": "1", "outputs": [output]}
        reply = Reply(200, json.dumps(answer).encode(), after_s=service_ms / 1e3)
        return _spoiled(pod, "infer", reply)

    def _shown(self, address: str, pod: Pod, endpoint: str) -> dict[str, Counters]:
        counters = self._pods.counters(address)
        fault = _fault(pod, endpoint)
        if fault == "frozen":
            return pod.frozen
        if fault in LIES:
            return {model: c.times(LIES[fault]) for model, c in counters.items()}
        return counters


def control(pods: Pods) -> web.Application:
    """The control port: GET /pods, PATCH /pods {address or "*": fields}, DELETE /pods/{address}."""

    async def show(_: web.Request) -> web.StreamResponse:
        return web.json_response(pods.report())

    async def change(request: web.Request) -> web.StreamResponse:
        try:
            pods.change(await request.json())
        except (ValueError, AttributeError) as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.Response(status=204)

    async def forget(request: web.Request) -> web.StreamResponse:
        pods.forget(request.match_info["address"])
        return web.Response(status=204)

    app = web.Application(client_max_size=64 << 20)
    app.router.add_get("/pods", show)
    app.router.add_patch("/pods", change)
    app.router.add_delete("/pods/{address}", forget)
    return app


def _fault(pod: Pod, endpoint: str) -> str:
    return pod.load.fault if endpoint in pod.load.fault_on else "none"


def _spoiled(pod: Pod, endpoint: str, reply: Reply) -> Reply:
    """The answer, unless the pod's fault spoils how it is sent."""
    match _fault(pod, endpoint):
        case "empty":
            return Reply(200, b"", reply.kind)
        case "truncated":
            return Reply(200, reply.body[: len(reply.body) // 2], reply.kind)
        case "error":
            return _error(500, "the fleet was told to fail")
        case "hang":
            return HANG
        case "disconnect":
            return RESET
    return reply


def _error(status: int, message: str) -> Reply:
    return Reply(status, json.dumps({"error": message}).encode())


def _plain_error(status: int, message: str) -> Reply:
    """The same, as Triton says it where it does not say that it is JSON."""
    return Reply(status, json.dumps({"error": message}).encode(), TEXT)
