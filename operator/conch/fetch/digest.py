"""Content digests, so that what serves is what was meant.

Of an archive: SHA-256 of its bytes. Of a directory: SHA-256 over one line per file, sorted by path,
``path NUL hex-sha256-of-content LF``; names of directories and file modes do not count, because an
object store keeps neither.
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from conch.fetch.tree import walk

_PREFIX = "sha256:"


def tree(directory: str | Path) -> str:
    """The digest of a directory, as ``source.digest`` takes it: ``sha256:…``.

    Raises FetchError when the directory holds what could not be staged (a link that leads out).
    """
    lines = sorted((relative, file(path)) for relative, path in walk(Path(directory)))
    total = hashlib.sha256()
    for relative, digest in lines:
        total.update(f"{relative}\0{digest.removeprefix(_PREFIX)}\n".encode())
    return _PREFIX + total.hexdigest()


def file(path: Path) -> str:
    """The digest of one file's content: ``sha256:…``."""
    with path.open("rb") as stream:
        return _PREFIX + hashlib.file_digest(stream, "sha256").hexdigest()
