"""Cases that do not get in each other's way run side by side; each stays a test of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from concurrent.futures import Future

import pytest

from tests.e2e.bed import Bed
from tests.e2e.room import Room

Case = Callable[[Room], Awaitable[None]]


class Cases:
    """The cases of one file, collected by decoration."""

    def __init__(self) -> None:
        self._cases: dict[str, Case] = {}
        self._running: dict[str, Future[None]] = {}

    def __call__(self, case: Case) -> Case:
        """Decorates ``async def name(room)``; the name is the namespace's, with dashes."""
        self._cases[case.__name__.replace("_", "-")] = case
        return case

    @property
    def names(self) -> list[str]:
        return list(self._cases)

    def judge(self, name: str, bed: Bed, request: pytest.FixtureRequest) -> None:
        """Wait for one case; the first one asked for starts all that were selected."""
        if not self._running:
            own = [i for i in request.session.items if i.path == request.path]
            selected = {i.callspec.params.get("name") for i in own if hasattr(i, "callspec")}
            for each in self._cases:
                if each in selected:
                    self._running[each] = bed.submit(self._play(each, bed))
        self._running[name].result()

    async def _play(self, name: str, bed: Bed) -> None:
        async with bed.turns:
            room = bed.room(name)
            await room.enter()
            try:
                await self._cases[name](room)
                await bed.unharmed()
            finally:
                await room.leave()
