"""The fleet of fake servers behind a room's pods: telling it how they behave, and what follows."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping, Sequence
from typing import Any

from conch.kube.views import Object
from tests.e2e.room import LIMIT_S, Room, condition

_UNKNOWING = {"NoMetrics", "Learning"}


async def steer(room: Room, load: Mapping[str, Any], pods: Sequence[Object] | None = None) -> None:
    """Tell the fleet how these pods of the room, or all of them, are to behave."""
    chosen = await room.pods() if pods is None else pods
    await steer_at(room, {p["status"]["podIP"]: load for p in chosen if "podIP" in p["status"]})


async def steer_at(room: Room, told: Mapping[str, Mapping[str, Any]]) -> None:
    """The same by address."""
    command = ["curl", "-sS", "--fail-with-body", "-X", "PATCH", "127.0.0.1:8003/pods"]
    body = json.dumps({address: dict(load) for address, load in told.items()})
    answer = await asyncio.to_thread(
        room.cluster.run, [*command, "-d", body], capture_output=True, text=True
    )
    assert answer.returncode == 0, answer.stdout + answer.stderr


async def knows(room: Room) -> None:
    """Wait until replicas follow the demand."""

    async def known() -> bool:
        scaling = condition(await room.get("web"), "Scaling")
        return scaling is not None and scaling["reason"] not in _UNKNOWING

    async def told() -> str:
        return str(condition(await room.get("web"), "Scaling"))

    await room.until(known, 3 * LIMIT_S, told, "demand known")


async def replicas(room: Room) -> int:
    """As many as the Deployment is told to have."""
    return int((await room.get("web", "Deployment"))["spec"]["replicas"])
