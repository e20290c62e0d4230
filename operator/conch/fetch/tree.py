"""Directories of model files: walking, copying, and finding the model in them.

Links are followed when they stay inside the directory (a Hugging Face cache is made of them) and
refused when they lead out: next to it lie other claims and mounted Secrets.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from conch.fetch.limits import CHUNK_BYTES, Limits
from conch.fetch.refusals import invalid

_DEEPEST = 64


def walk(root: Path, within: Path | None = None) -> Iterator[tuple[str, Path]]:
    """Every file below ``root``: its path relative to it (with ``/``), and where it really is.

    Links may lead anywhere below ``within`` (default ``root``). Raises FetchError (ModelInvalid)
    on links that lead further, loops, and things that are neither file nor directory.
    """
    top = (within or root).resolve()
    yield from _walk(root, "", top, 0)


def _walk(directory: Path, prefix: str, top: Path, depth: int) -> Iterator[tuple[str, Path]]:
    if depth > _DEEPEST:
        raise invalid(f"{prefix} is nested more than {_DEEPEST} directories deep, or a loop")
    with os.scandir(directory) as entries:
        listed = sorted(entries, key=lambda entry: entry.name)
    for entry in listed:
        relative = f"{prefix}{entry.name}"
        path = Path(entry.path)
        if entry.is_symlink():
            path = _followed(path, relative, top)
        if path.is_dir():
            yield from _walk(path, f"{relative}/", top, depth + 1)
        elif path.is_file():
            yield relative, path
        else:
            raise invalid(f"{relative} is neither a file nor a directory")


def _followed(link: Path, relative: str, top: Path) -> Path:
    try:
        path = link.resolve(strict=True)
    except (OSError, RuntimeError):  # RuntimeError: a loop, before Python 3.13
        raise invalid(f"{relative} is a link to nothing") from None
    if not path.is_relative_to(top):
        raise invalid(f"{relative} is a link that leads out of the model's directory")
    return path


def copy(source: Path, target: Path, limits: Limits, within: Path | None = None) -> None:
    """Copies the files below ``source``, within the limits; ``target`` must not exist."""
    target.mkdir()
    total = 0
    for relative, path in walk(source, within):
        limits.another_file()
        place = target / relative
        place.parent.mkdir(parents=True, exist_ok=True)
        # The walk resolved links; one that appears now was put there to lead us astray.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "rb") as reader, place.open("xb") as writer:
            while chunk := reader.read(CHUNK_BYTES):
                total += len(chunk)
                limits.bytes_so_far(total)
                writer.write(chunk)
            executable = os.fstat(reader.fileno()).st_mode & stat.S_IXUSR
        place.chmod(file_mode(bool(executable)))


def file_mode(executable: bool) -> int:
    """The mode of staged files; backends may bring programs of their own (a Python stub)."""
    return 0o755 if executable else 0o644


def make_writable(root: Path) -> None:
    """Lets the owner change everything below ``root``; images keep models read-only."""
    _add_mode(root, stat.S_IRWXU)
    for directory, folders, files in os.walk(root):
        for name in folders:
            _add_mode(Path(directory, name), stat.S_IRWXU)
        for name in files:
            _add_mode(Path(directory, name), stat.S_IRUSR | stat.S_IWUSR)


def _add_mode(path: Path, bits: int) -> None:
    mode = path.lstat().st_mode
    if not stat.S_ISLNK(mode):  # chmod would change what the link points to
        path.chmod(stat.S_IMODE(mode) | bits)


def remove(path: Path) -> None:
    """Removes a directory tree that may hold read-only directories; nothing there is fine."""
    if path.is_dir() and not path.is_symlink():
        make_writable(path)
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def model_root(directory: Path) -> Path:
    """Where the model is: ``directory`` itself or the only directory in it.

    Raises FetchError (ModelInvalid) when neither looks like a Triton model.
    """
    if _looks_like_a_model(directory):
        return directory
    folders = [path for path in directory.iterdir() if path.is_dir()]
    if len(folders) == 1 and _looks_like_a_model(folders[0]):
        return folders[0]
    raise invalid(
        "it holds neither config.pbtxt nor a numbered version directory (1/), "
        "at its top or in its only directory"
    )


def _looks_like_a_model(directory: Path) -> bool:
    return (directory / "config.pbtxt").is_file() or any(
        path.is_dir() and path.name.isdecimal() for path in directory.iterdir()
    )
