"""The API server's audit log: who wrote what, when, and how it was answered. Reads, never judges.

The only witness that is neither the operator's own account nor a sample: the log holds every write,
and a write is in it when its answer is sent.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any


@dataclass(frozen=True, slots=True)
class Write:
    """One answered write."""

    user_agent: str
    verb: str
    resource: str
    """With the subresource: `pods/binding`."""
    namespace: str
    name: str
    code: int
    received_s: float
    answered_s: float
    """Seconds since the epoch, by the API server's clock."""

    @property
    def created(self) -> bool:
        """It made an object; a server-side apply that does answers 201, too."""
        return self.code == 201 and "/" not in self.resource

    @property
    def by_operator(self) -> bool:
        return self.user_agent.startswith("conch/")


def parse(line: str | bytes) -> Write:
    """One line of the log."""
    entry: dict[str, Any] = json.loads(line)
    ref = entry.get("objectRef", {})
    subresource = ref.get("subresource")
    return Write(
        user_agent=entry.get("userAgent", ""),
        verb=entry["verb"],
        resource=ref.get("resource", "") + (f"/{subresource}" if subresource else ""),
        namespace=ref.get("namespace", ""),
        name=ref.get("name", ""),
        code=entry.get("responseStatus", {}).get("code", 0),
        received_s=_seconds(entry["requestReceivedTimestamp"]),
        answered_s=_seconds(entry["stageTimestamp"]),
    )


def _seconds(stamp: str) -> float:
    return datetime.fromisoformat(stamp).timestamp()


class AuditLog:
    """The log from where it stands when this is made; each write is given out once."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = path.stat().st_size if path.exists() else 0

    def new(self) -> Iterator[Write]:
        """Writes since the last call; a line that is still being written waits for the next."""
        with self._path.open("rb") as log:
            log.seek(self._offset)
            for line in log:
                if not line.endswith(b"\n"):
                    return
                self._offset += len(line)
                yield parse(line)


def count(writes: Iterable[Write]) -> dict[str, int]:
    """How many of each `verb resource`, most frequent first; a create by apply is a create."""
    counted: dict[str, int] = {}
    for one in writes:
        what = f"{'create' if one.created else one.verb} {one.resource}"
        counted[what] = counted.get(what, 0) + 1
    return dict(sorted(counted.items(), key=lambda item: (-item[1], item[0])))


def spelled(counted: dict[str, int], per: int = 1) -> str:
    """ "200 create events, 100 create deployments"; divided by `per` as a mean."""
    if per == 1:
        return ", ".join(f"{number} {what}" for what, number in counted.items())
    return ", ".join(f"{number / per:g} {what}" for what, number in counted.items())
