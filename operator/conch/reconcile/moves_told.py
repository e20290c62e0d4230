"""What of moves outlives the operator: when a service moved last, and where a move has failed.

It stands in the service's own status, for a new operator to go on from: the budget of an hour stays
spent, and nobody is sent into the same wall again. What cannot be read is nothing; what lies in the
future, or holds for longer than is ever meant, is cut. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

from conch.observe.types import Moved

MOST_CLASSES: Final = 8
"""That a status holds: those that are left alone longest."""


def shown(last_s: float | None, left_alone: Mapping[str, float], now_s: float) -> Moved | None:
    """As the status has it; ``left_alone``: until when, by class. None: nothing to tell."""
    held = sorted(
        (item for item in left_alone.items() if item[1] > now_s), key=lambda item: -item[1]
    )
    if last_s is None and not held:
        return None
    told = ((name, _text(until_s)) for name, until_s in sorted(held[:MOST_CLASSES]))
    return Moved(_text(last_s) if last_s is not None else "", tuple(told))


def read(
    status: Mapping[str, Any] | None, now_s: float, most_s: float
) -> tuple[float | None, dict[str, float]]:
    """When it moved last, and until when classes are left alone: ``most_s`` from now at most."""
    moves = (status or {}).get("moves")
    if not isinstance(moves, dict):
        return None, {}
    last_s = _seconds(moves.get("last"))
    held: dict[str, float] = {}
    listed = moves.get("leftAlone")
    for item in (listed if isinstance(listed, list) else [])[:MOST_CLASSES]:
        until_s = _seconds(item.get("until")) if isinstance(item, dict) else None
        if until_s is not None and until_s > now_s:
            held[str(item.get("accelerator", ""))] = min(until_s, now_s + most_s)
    return (min(last_s, now_s) if last_s is not None else None), held


def _text(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _seconds(text: object) -> float | None:
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return found.timestamp() if found.tzinfo is not None else None
