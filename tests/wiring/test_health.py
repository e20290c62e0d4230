"""What probes are told, by a clock of the test's."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from conch.wiring.health import SILENCE_S, STUCK_S, Health


def mirror(name: str, heard_s: float, *, synced: bool = True) -> Any:
    event = asyncio.Event()
    if synced:
        event.set()
    return SimpleNamespace(name=name, last_contact_s=heard_s, synced=event)


def test_all_is_well() -> None:
    health = Health([mirror("pods", 99.0)], lambda: 0.0, lambda: 98.0, lambda: 100.0)
    assert (health.silent(), health.unsynced(), health.stuck()) == (None, None, None)


def test_mirrors_that_are_silent_or_not_filled_are_named() -> None:
    now_s = 1.0 + SILENCE_S
    mirrors = [mirror("pods", 0.5), mirror("nodes", 1.5, synced=False)]
    health = Health(mirrors, lambda: 0.0, lambda: now_s, lambda: now_s)
    assert health.silent() == "no word from the API server about pods"
    assert health.unsynced() == "not synced yet: nodes"


def test_a_loop_that_stopped_is_stuck_and_one_that_has_not_begun_is_not() -> None:
    late_s = 1.0 + STUCK_S
    assert Health([], lambda: late_s, lambda: 0.0, lambda: late_s).stuck() == (
        "no reconcile has ended for two minutes"
    )
    assert Health([], lambda: 0.0, lambda: 0.5, lambda: late_s).stuck() == (
        "scaling has looked at nothing for two minutes"
    )
    assert Health([], lambda: 0.0, lambda: 0.0, lambda: late_s).stuck() is None
