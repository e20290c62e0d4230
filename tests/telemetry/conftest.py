"""promtool: Prometheus' own check of rules, from the machine or out of Debian's package."""

from __future__ import annotations

import subprocess
import tarfile
import tempfile
from pathlib import Path

import pytest

from e2e.testbed import cache, packages

_MEMBER = "./usr/bin/promtool"


@pytest.fixture(scope="session")
def promtool() -> Path:
    """The program. Unpacked, not installed: the package would start a Prometheus."""
    found = packages.which("promtool")
    if found is not None:
        return Path(found)
    if packages.which("apt-get") is None:
        pytest.skip("there is neither promtool nor apt-get on this machine")
    return cache.entry("promtool-debian", _unpack) / "promtool"


def _unpack(folder: Path) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as place:
        command = ["apt-get", "download", "-qq", "prometheus"]
        result = subprocess.run(command, cwd=place, capture_output=True, text=True)
        if result.returncode != 0:
            pytest.skip(f"apt-get has no prometheus: {result.stderr.strip()[-200:]}")
        (package,) = Path(place).glob("prometheus_*.deb")
        data = Path(place) / "data.tar"
        with data.open("wb") as file:
            subprocess.run(["dpkg-deb", "--fsys-tarfile", str(package)], stdout=file, check=True)
        with tarfile.open(data) as archive:
            member = archive.extractfile(_MEMBER)
            assert member is not None
            (folder / "promtool").write_bytes(member.read())
    (folder / "promtool").chmod(0o755)
