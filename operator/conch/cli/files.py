"""Files that a user names: read whole, or refused in one sentence."""

from __future__ import annotations

from pathlib import Path

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
