"""Models and archives, good and hostile, made in memory."""

from __future__ import annotations

import io
import tarfile
import zipfile

CONFIG = b'backend: "python"\nmax_batch_size: 4\n'
MODEL = {"config.pbtxt": CONFIG, "1/model.py": b"print('model')\n"}


def tar(files: dict[str, bytes], *members: tarfile.TarInfo, compressed: bool = True) -> bytes:
    """A tar archive of ``files``, then ``members`` that hold no data."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz" if compressed else "w") as archive:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
        for member in members:
            archive.addfile(member)
    return stream.getvalue()


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    """A tar member that is not a regular file."""
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = target
    return info


def zipped(files: dict[str, bytes], *entries: tuple[zipfile.ZipInfo, bytes]) -> bytes:
    """A zip archive of ``files``, then ``entries`` as they are."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        for info, content in entries:
            archive.writestr(info, content)
    return stream.getvalue()


def below(folder: str, files: dict[str, bytes] = MODEL) -> dict[str, bytes]:
    """The same files inside one directory."""
    return {f"{folder}/{name}": content for name, content in files.items()}
