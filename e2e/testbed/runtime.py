"""containerd of the real node: whether it answers, and images into it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from e2e.testbed import layout, namespaces
from e2e.testbed.errors import TestbedError
from e2e.testbed.toolchain import Binaries


def answers(holder: int, binaries: Binaries) -> bool:
    return _ctr(holder, binaries, "version").returncode == 0


def import_archive(holder: int, binaries: Binaries, archive: Path) -> None:
    """Load an OCI or docker archive where the kubelet finds it."""
    # --local: by way of the transfer service the same archive takes twice the CPU.
    command = ["--namespace=k8s.io", "images", "import", "--local", str(archive.absolute())]
    result = _ctr(holder, binaries, *command)
    if result.returncode != 0:
        raise TestbedError(f"importing {archive.name}: {result.stderr.strip()[-300:]}")


def _ctr(holder: int, binaries: Binaries, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = [binaries["ctr"], f"--address={layout.CONTAINERD_SOCKET}"]
    return subprocess.run(
        [*namespaces.enter_all(holder), *program, *arguments], capture_output=True, text=True
    )
