"""Null stores for kopf: level-based reconciling needs no memory in annotations.

kopf's defaults write a last-handled configuration and progress into every object; with low-level
``on.event`` handlers nothing reads them, and each would be a write.
"""

from __future__ import annotations

from typing import Any

import kopf


class NoDiffBase(kopf.DiffBaseStorage):
    """Remembers nothing and builds nothing: spares a deep copy of every object seen."""

    def build(self, **_: Any) -> Any:
        """An empty essence."""
        return {}

    def fetch(self, **_: Any) -> Any:
        """Nothing was ever stored."""
        return None

    def store(self, **_: Any) -> None:
        """Stores nothing."""


class NoProgress(kopf.ProgressStorage):
    """Remembers nothing: there are no multi-step handlers."""

    def fetch(self, **_: Any) -> Any:
        """Nothing was ever stored."""
        return None

    def store(self, **_: Any) -> None:
        """Stores nothing."""

    def purge(self, **_: Any) -> None:
        """Has nothing to purge."""

    def touch(self, **_: Any) -> None:
        """Never wakes an object by changing it."""

    def clear(self, *, essence: Any) -> Any:
        """Leaves the essence as it is."""
        return essence
