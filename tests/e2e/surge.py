"""A service of the simulated fleet whose replicas follow the demand, watched while they do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tests.e2e.fleet import knows, replicas, steer
from tests.e2e.room import START_S, Room, condition, fake

LEAST, MOST = 2, 6
RATE_PER_S = 10.0  # a pod, of the 50 that it could answer
_MOST_CHANGES = 20  # docs/scaler.md
_LOOK_EVERY_S = 0.2
_DECIDED_S = 30.0


@dataclass
class Seen:
    """Every number of replicas that was asked for, in turn."""

    replicas: list[int] = field(default_factory=list)

    def note(self, count: int) -> None:
        if not self.replicas or self.replicas[-1] != count:
            self.replicas.append(count)


@asynccontextmanager
async def watched(room: Room, least: int = LEAST, most: int = MOST) -> AsyncIterator[Seen]:
    """Whatever happens meanwhile, the limits hold and replicas change seldom."""
    seen = Seen()

    async def watch() -> None:
        while True:
            seen.note(await replicas(room))
            await asyncio.sleep(_LOOK_EVERY_S)

    watching = asyncio.create_task(watch())
    try:
        yield seen
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
    assert least <= min(seen.replicas)
    assert max(seen.replicas) <= most
    assert len(seen.replicas) - 1 <= _MOST_CHANGES, seen.replicas


async def serving(room: Room, pods: int = LEAST, most: int = MOST, **more: object) -> None:
    """A service whose pods carry what arrives; the demand is known."""
    scaling = {"mode": "Latency", "minReplicas": pods, "maxReplicas": most}
    await room.create("web", fake(**{"scaling": scaling, **more}))
    told = f"All {pods} replicas"
    await room.reports("web", "Available", "True", "Available", told, within_s=START_S)
    await steer(room, {"rate_per_s": RATE_PER_S})
    await knows(room)


async def until_scaling(room: Room, *reasons: str, within_s: float = _DECIDED_S) -> None:
    """Wait for what the scaler says, whatever else changes meanwhile."""
    room.now()

    async def said() -> bool:
        found = condition(await room.get("web"), "Scaling")
        return found is not None and found["reason"] in reasons

    async def told() -> str:
        return str(condition(await room.get("web"), "Scaling"))

    await room.until(said, within_s, told, f"Scaling {reasons}")


async def until_replicas(room: Room, least: int, within_s: float = _DECIDED_S) -> None:
    """Wait until so many replicas, or more, are asked for."""
    room.now()

    async def there() -> bool:
        return await replicas(room) >= least

    async def told() -> str:
        return str((await room.get("web"))["status"]["decision"])

    await room.until(there, within_s, told, f"{least} replicas wanted")
