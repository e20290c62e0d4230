"""Prometheus' own programs, from the machine or out of Debian's package."""

from __future__ import annotations

import subprocess
import tarfile
import tempfile
from pathlib import Path

import pytest

from e2e.testbed import cache, packages

_PACKAGE = "prometheus"
_PROGRAMS = ("promtool", "prometheus")


def program(name: str) -> Path:
    """One of them. Unpacked, not installed: the package would start a Prometheus."""
    found = packages.which(name)
    if found is not None:
        return Path(found)
    if packages.which("apt-get") is None:
        pytest.skip(f"there is neither {name} nor apt-get on this machine")
    return cache.entry("prometheus-debian", _unpack) / name


def _unpack(folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as place:
        command = ["apt-get", "download", "-qq", _PACKAGE]
        result = subprocess.run(command, cwd=place, capture_output=True, text=True)
        if result.returncode != 0:
            pytest.skip(f"apt-get has no {_PACKAGE}: {result.stderr.strip()[-200:]}")
        (package,) = Path(place).glob(f"{_PACKAGE}_*.deb")
        data = Path(place) / "data.tar"
        with data.open("wb") as file:
            subprocess.run(["dpkg-deb", "--fsys-tarfile", str(package)], stdout=file, check=True)
        with tarfile.open(data) as archive:
            for name in _PROGRAMS:
                member = archive.extractfile(f"./usr/bin/{name}")
                assert member is not None
                (folder / name).write_bytes(member.read())
                (folder / name).chmod(0o755)
