"""Files that a user names: read whole, or refused in one sentence."""

from __future__ import annotations

import os
from pathlib import Path
from typing import IO, Any

from conch.errors import UsageError


def content(file: Path, most_bytes: int, too_large: str) -> bytes:
    """What the file holds. Raises UsageError if it can't be read, or is larger than that."""
    try:
        with file.open("rb") as opened:
            found = opened.read(most_bytes + 1)
    except OSError as error:
        raise UsageError(f"{file} can't be read: {error.strerror or error}") from error
    if len(found) > most_bytes:
        raise UsageError(f"{file} is larger than {too_large}")
    return found


class Watched(type(Path())):  # type: ignore[misc]  # Path itself can't be subclassed before 3.12
    """A path that tells how much of the file was read that was opened through it."""

    _file: IO[Any] | None = None

    def open(self, *arguments: Any, **options: Any) -> IO[Any]:
        """As Path's."""
        self._file = super().open(*arguments, **options)
        return self._file

    def read(self) -> float:
        """The share, 0..1; of what has no size, such as a pipe, nothing is known: 0."""
        if self._file is None:
            return 0.0
        try:
            size = os.fstat(self._file.fileno()).st_size
            return min(1.0, self._file.tell() / size) if size else 0.0
        except (OSError, ValueError):  # closed: all of it, or a pipe
            return 1.0 if self._file.closed else 0.0
