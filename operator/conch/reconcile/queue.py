"""A keyed work queue: each key waits once, is worked on once at a time, urgent ones first.

The contract of controller-runtime's queue: a key added while it is being worked on is worked on
again afterwards; failures back off per key, exponentially and with jitter, up to a bound.
"""

from __future__ import annotations

import asyncio
import heapq
import random
from collections.abc import Callable
from enum import IntEnum

from conch.observe.types import Key


class Priority(IntEnum):
    """Lower goes first: what a person waits for before what can wait."""

    USER = 0
    SCALE = 1
    CHILD = 2
    RESYNC = 3


class WorkQueue:
    """De-duplicating priority queue of keys for one event loop."""

    def __init__(
        self,
        *,
        first_backoff_s: float = 0.1,
        max_backoff_s: float = 60.0,
        on_wait: Callable[[float], None] = lambda seconds: None,
        rng: random.Random | None = None,
    ) -> None:
        self._first_backoff_s = first_backoff_s
        self._max_backoff_s = max_backoff_s
        self._on_wait = on_wait
        self._rng = rng or random.Random()
        self._heap: list[tuple[int, int, Key]] = []
        self._waiting: dict[Key, tuple[int, float]] = {}  # key -> priority, when it was added
        self._working: set[Key] = set()
        self._again: dict[Key, int] = {}
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._failures: dict[Key, int] = {}
        self._sequence = 0
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def pressing(self) -> bool:
        """Whether somebody waits for what a person has asked for."""
        return bool(self._heap) and self._heap[0][0] == Priority.USER

    @property
    def working(self) -> int:
        """How many keys are being worked on."""
        return len(self._working)

    def add(self, key: Key, priority: Priority = Priority.CHILD) -> None:
        """Ask for ``key`` to be worked on; asking again only raises its priority."""
        if key in self._working:
            self._again[key] = min(priority, self._again.get(key, priority))
            return
        known = self._waiting.get(key)
        if known is not None and known[0] <= priority:
            return
        since = known[1] if known else asyncio.get_running_loop().time()
        self._waiting[key] = (priority, since)
        self._sequence += 1
        heapq.heappush(self._heap, (priority, self._sequence, key))
        self._changed.set()

    def add_after(self, key: Key, delay_s: float, priority: Priority = Priority.RESYNC) -> None:
        """Like ``add`` after a while; an earlier appointment for the key stands."""
        loop = asyncio.get_running_loop()
        timer = self._timers.get(key)
        if timer is not None and not timer.cancelled() and timer.when() <= loop.time() + delay_s:
            return
        if timer is not None:
            timer.cancel()
        self._timers[key] = loop.call_later(delay_s, self._fire, key, priority)

    def _fire(self, key: Key, priority: Priority) -> None:
        self._timers.pop(key, None)
        self.add(key, priority)

    def retry(self, key: Key) -> float:
        """Ask again after the key's back-off; returns the delay in seconds."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        ceiling = min(self._max_backoff_s, self._first_backoff_s * 2.0 ** min(failures, 20))
        delay_s = ceiling * self._rng.uniform(0.5, 1.0)
        self.add_after(key, delay_s, Priority.CHILD)
        return delay_s

    def succeeded(self, key: Key) -> None:
        """The key's next failure starts from the shortest back-off again."""
        self._failures.pop(key, None)

    def forget(self, key: Key) -> None:
        """Drop everything about a key that is gone."""
        self._failures.pop(key, None)
        self._again.pop(key, None)
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()

    async def get(self) -> Key:
        """The next key; it counts as being worked on until ``done``."""
        while True:
            while self._heap:
                priority, _, key = heapq.heappop(self._heap)
                entry = self._waiting.get(key)
                if entry is None or entry[0] != priority:
                    continue  # superseded by a more urgent entry
                del self._waiting[key]
                self._working.add(key)
                self._on_wait(asyncio.get_running_loop().time() - entry[1])
                return key
            self._changed.clear()
            await self._changed.wait()

    def done(self, key: Key) -> None:
        """The key is no longer being worked on."""
        self._working.discard(key)
        again = self._again.pop(key, None)
        if again is not None:
            self.add(key, Priority(again))

    def close(self) -> None:
        """Cancel every appointment."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
