"""Files that a user names: how far they are read."""

from __future__ import annotations

import gzip
import os
import threading
from pathlib import Path

import pytest

from conch.cli.files import Watched, content
from conch.errors import UsageError


def test_how_much_is_read_is_told_while_it_is_read(tmp_path: Path) -> None:
    file = tmp_path / "trace.txt"
    file.write_bytes(b"x" * 99_999 + b"\n")
    watched = Watched(file)
    assert (watched.read(), watched.name, watched.suffix) == (0.0, "trace.txt", ".txt")
    with watched.open("rb") as opened:
        opened.read(50_000)
        assert watched.read() == 0.5
    assert watched.read() == 1.0


def test_of_a_packed_file_its_own_bytes_count(tmp_path: Path) -> None:
    file = tmp_path / "trace.gz"
    file.write_bytes(gzip.compress(os.urandom(200_000)))
    watched = Watched(file)
    with watched.open("rb") as opened, gzip.GzipFile(fileobj=opened) as unpacked:
        unpacked.read(100_000)
        assert 0.3 < watched.read() < 0.9


def test_of_a_pipe_nothing_is_known(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(b"1\n" * 10,))
    writer.start()
    watched = Watched(pipe)
    with watched.open("rb") as opened:
        opened.read(4)
        assert watched.read() == 0.0
    writer.join()


def test_what_is_too_large_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "service.yaml"
    file.write_text("12345")
    assert content(file, 5, "5 bytes") == b"12345"
    with pytest.raises(UsageError, match="larger than 4 bytes"):
        content(file, 4, "4 bytes")
