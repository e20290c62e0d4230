"""Unpacking tar, tar.gz and zip archives that nobody vouches for.

Only directories and regular files come out, below the target, within the limits. Links, devices,
absolute paths and ``..`` are refused, not skipped: an archive that has them is not a model. The
standard library's extractors are not used for that reason, only its parsers.
"""

from __future__ import annotations

import errno
import gzip
import io
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

from conch.fetch.limits import CHUNK_BYTES, Limits
from conch.fetch.refusals import invalid
from conch.fetch.tree import file_mode

# Names and headers are read into memory whole; nothing honest comes near this.
_LONGEST_READ = 16 * CHUNK_BYTES
# What the parsers raise on nonsense; RuntimeError and NotImplementedError are zipfile's.
_DAMAGED = (
    tarfile.TarError,
    zipfile.BadZipFile,
    gzip.BadGzipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    ValueError,
)


def unpack(archive: Path, target: Path, limits: Limits) -> None:
    """Unpacks ``archive`` into the new directory ``target``; its content decides the format.

    Raises FetchError: ModelInvalid, or ModelFetchFailed when a limit is reached.
    """
    with archive.open("rb") as stream:
        head = stream.read(512)
    target.mkdir()
    with _explained():
        if head.startswith(b"\x1f\x8b"):
            with gzip.open(archive) as stream:
                _unpack_tar(stream, target, limits)
        elif head[257:262] == b"ustar":
            with archive.open("rb") as stream:
                _unpack_tar(stream, target, limits)
        elif head.startswith(b"PK"):
            _unpack_zip(archive, target, limits)
        else:
            raise invalid("it is not a tar, tar.gz or zip archive")


def safe_path(name: str) -> PurePosixPath:
    """A member's path below the target; raises FetchError when it would lead anywhere else."""
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name:
        raise invalid(f"it holds the path {name[:200]!r}, which leads out of the model")
    return path


class _Metered(io.RawIOBase):
    """A stream that heeds the time limit, and refuses to read absurd amounts at once."""

    def __init__(self, stream: IO[bytes] | gzip.GzipFile, limits: Limits) -> None:
        self._stream = stream
        self._limits = limits

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._stream.tell()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._stream.seek(offset, whence)

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _LONGEST_READ:
            raise invalid("it has a header larger than any model needs")
        self._limits.check()
        return self._stream.read(size)


def _unpack_tar(stream: IO[bytes] | gzip.GzipFile, target: Path, limits: Limits) -> None:
    total = 0
    with tarfile.open(fileobj=_Metered(stream, limits), mode="r:") as archive:
        while (member := archive.next()) is not None:
            archive.members = []  # type: ignore[attr-defined]  # tarfile remembers every member: 1 KiB for each of 100,000
            limits.another_file()
            path = target / safe_path(member.name)
            if member.isdir():
                path.mkdir(parents=True, exist_ok=True)
            elif member.isreg():
                content = archive.extractfile(member)
                if content is None:
                    raise invalid(f"{member.name[:200]!r} has no content")
                executable = bool(member.mode & stat.S_IXUSR)
                total = _write(content, path, executable, total, limits)
            else:
                raise invalid(f"{member.name[:200]!r} is neither a file nor a directory")


def _unpack_zip(archive: Path, target: Path, limits: Limits) -> None:
    total = 0
    with zipfile.ZipFile(archive) as opened:
        for member in opened.infolist():
            limits.another_file()
            path = target / safe_path(member.filename)
            mode = member.external_attr >> 16
            if member.flag_bits & 1:
                raise invalid(f"{member.filename[:200]!r} is encrypted")
            if stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise invalid(f"{member.filename[:200]!r} is neither a file nor a directory")
            if member.is_dir():
                path.mkdir(parents=True, exist_ok=True)
                continue
            with opened.open(member) as content:
                total = _write(content, path, bool(mode & stat.S_IXUSR), total, limits)


def _write(content: IO[bytes], path: Path, executable: bool, total: int, limits: Limits) -> int:
    """Writes one file; ``total`` counts what came out of the archive, and is returned grown."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as writer:
        while chunk := content.read(CHUNK_BYTES):
            total += len(chunk)
            limits.bytes_so_far(total)
            writer.write(chunk)
    path.chmod(file_mode(executable))
    return total


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except _DAMAGED as error:
        raise invalid(f"the archive is damaged or unusual ({type(error).__name__})") from None
    except (FileExistsError, NotADirectoryError, IsADirectoryError):
        raise invalid("the archive holds two things of one name") from None
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENAMETOOLONG):
            raise
        # zipfile seeks to wherever a damaged entry points.
        raise invalid("the archive is damaged or holds a name that is too long") from None
