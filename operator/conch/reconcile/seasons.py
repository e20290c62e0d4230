"""The days of services that outlive the operator: what demand was at each time of the day.

An entry per service, by namespace and name: who asks it something does not depend on what serves
it. Looked at once an hour, and news only where an hour was another than it was known to be: a
service with the same demand all day, or none, causes no write. In memory only: ``memory`` writes it
down.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from typing import Final

from conch.autoscale.season import Season
from conch.autoscale.season_text import Remembered, begun, is_news, read
from conch.observe.types import Key

PREFIX: Final = "season-"
"""Of the names of entries."""
_REST_S: Final = 3600.0  # between two looks at a service


class Seasons:
    """By entry."""

    def __init__(self) -> None:
        self._known: dict[str, Remembered] = {}
        self._looked_s: dict[str, float] = {}
        self._doubted: set[str] = set()

    def begin(self, key: Key) -> Season:
        """Where the scaler of a service starts."""
        entry = _entry(key)
        known = self._known.get(entry)
        return begun(known.season) if known is not None and entry not in self._doubted else Season()

    def doubt(self, key: Key) -> None:
        """The scaler failed on a service: what is remembered of it may be the cause."""
        self._doubted.add(_entry(key))

    def learn(self, key: Key, season: Season, now: float) -> bool:
        """Take in what a scaler knows now (``now``: the time of day); whether there is any news."""
        entry = _entry(key)
        if entry in self._doubted or season.slot is None:
            return False
        if 0 <= now - self._looked_s.setdefault(entry, now) < _REST_S:
            return False
        self._looked_s[entry] = now
        known = self._known.get(entry)
        if not is_news(known.season if known is not None else None, season):
            return False
        self._known[entry] = Remembered(str(key), int(now), season)
        return True

    def entries(self) -> Mapping[str, Remembered]:
        """What is worth remembering."""
        return self._known

    def load(self, entry: str, text: str) -> None:
        """Take in what an earlier operator wrote. Raises ValueError for anything else."""
        self._known[entry] = read(text)

    def only(self, entries: Collection[str]) -> None:
        """Forget all but these."""
        for entry in self._known.keys() - set(entries):
            del self._known[entry]


def _entry(key: Key) -> str:
    return PREFIX + hashlib.sha256(str(key).encode()).hexdigest()[:20]
