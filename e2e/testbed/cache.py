"""The cache of things built or fetched once: whole folders, complete or absent.

A folder's name holds its version or the hash of its inputs, so an entry is never changed: it is
made beside its place under a lock and renamed into it, and a killed build leaves nothing usable.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


def root() -> Path:
    """The cache folder: $CONCH_CACHE, else ~/.cache/conch."""
    chosen = os.environ.get("CONCH_CACHE")
    return (Path(chosen) if chosen else Path.home() / ".cache" / "conch").absolute()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on `path` (made when absent); the kernel frees it if we die."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def is_locked(path: Path) -> bool:
    """Whether somebody holds the lock now."""
    try:
        with path.open("r") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        pass
    return False


def entry(name: str, build: Callable[[Path], None]) -> Path:
    """The folder `name` of the cache; `build` fills an empty folder when it is not there yet."""
    final = root() / name
    if final.is_dir():
        return final
    with locked(root() / "locks" / f"{name}.lock"):
        if final.is_dir():
            return final
        prefix = f".{name}."
        for leftover in root().glob(f"{prefix}*"):  # of a build that was killed
            shutil.rmtree(leftover)
        made = Path(tempfile.mkdtemp(prefix=prefix, dir=root()))
        try:
            build(made)
            made.chmod(0o755)
            made.rename(final)
        except BaseException:
            shutil.rmtree(made, ignore_errors=True)
            raise
    return final


def entries() -> list[tuple[str, int]]:
    """Every entry with its size in bytes, by name."""
    if not root().is_dir():
        return []
    return [
        (folder.name, sum(f.lstat().st_size for f in folder.rglob("*") if not f.is_dir()))
        for folder in sorted(root().iterdir())
        if folder.is_dir() and not folder.name.startswith(".") and folder.name != "locks"
    ]
