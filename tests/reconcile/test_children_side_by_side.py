"""The writes of one reconcile: children side by side, and none left running behind its back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from conch.errors import Conflict, Forbidden
from conch.kube.views import Object
from conch.observe.types import Key
from conch.reconcile.controller import Controller
from conch.reconcile.queue import WorkQueue
from conch.settings import Settings
from conch.telemetry.catalog import Metrics
from tests.reconcile.builders import KEY, UID, raw, state


class Server:
    """Stands for the writer: answers no apply before all children have been sent."""

    def __init__(self, children: int, errors: dict[str, Exception] | None = None) -> None:
        self._children = children
        self._errors = errors or {}
        self._all_sent = asyncio.Event()
        self.sent: list[str] = []
        self.answered: list[str] = []
        self.status_body: dict[str, Any] = {}

    async def service_exists(self, key: Key, uid: str) -> bool:
        return (key, uid) == (KEY, UID)

    async def read_child(self, child: Object) -> Object | None:
        return None

    async def apply(self, child: Object, why: str, *, create: bool) -> Object:
        kind = child["kind"]
        self.sent.append(kind)
        if len(self.sent) == self._children:
            self._all_sent.set()
        if kind in self._errors:
            raise self._errors[kind]
        await asyncio.wait_for(self._all_sent.wait(), 1)
        self.answered.append(kind)
        meta = {**child["metadata"], "uid": f"uid-{kind}", "resourceVersion": "20"}
        return {**child, "metadata": meta}

    async def status(self, key: Key, uid: str, body: Any) -> Object:
        self.status_body = body
        return {**raw(resourceVersion="30"), "status": body}

    async def event(self, *_: Any, **__: Any) -> None:
        pass


KINDS = {"Deployment", "Service", "NetworkPolicy"}


def controller(server: Server) -> Controller:
    return Controller(
        state(),
        WorkQueue(),
        server,  # type: ignore[arg-type]
        Settings(),
        Metrics(),
        on_lost=lambda: None,
        replan=lambda: None,
    )


async def test_children_are_sent_without_waiting_for_one_another() -> None:
    server = Server(children=3)
    await controller(server).reconcile(KEY)
    assert set(server.answered) == KINDS


async def test_a_refused_child_is_named_and_the_others_are_made() -> None:
    refusal = Forbidden(403, message="exceeded quota: services")
    server = Server(children=3, errors={"Service": refusal})
    await controller(server).reconcile(KEY)
    assert set(server.answered) == KINDS - {"Service"}
    applied = {c["type"]: c for c in server.status_body["conditions"]}["Applied"]
    assert (applied["status"], applied["reason"]) == ("False", "ApplyRefused")
    assert f"Service {KEY.name}: exceeded quota" in applied["message"]


async def test_a_write_that_failed_for_now_ends_after_all_others_were_answered() -> None:
    server = Server(children=3, errors={"NetworkPolicy": Conflict(409, message="try again")})
    with pytest.raises(Conflict):
        await controller(server).reconcile(KEY)
    assert set(server.answered) == KINDS - {"NetworkPolicy"}
    assert server.status_body == {}  # nothing is claimed: all of it is tried again
