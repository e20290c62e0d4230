"""A web service on loopback that says what a test wants, and remembers what it was asked."""

from __future__ import annotations

from typing import Any

from aiohttp import web


class Server:
    """Answers are taken in order, the last again and again."""

    def __init__(self) -> None:
        self.answers: list[Any] = []
        self.paths: list[str] = []
        self.queries: list[dict[str, str]] = []
        self.headers: list[dict[str, str]] = []
        self.url = ""

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        self.paths.append(request.path)
        self.queries.append(dict(request.query))
        self.headers.append(dict(request.headers))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, int):
            return web.Response(status=answer)
        if isinstance(answer, bytes):
            return web.Response(body=answer)
        if callable(answer):
            made: web.StreamResponse = await answer(request)
            return made
        return web.json_response(answer)
