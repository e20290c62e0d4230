"""Wheels for the images: for *their* Python and C library, whatever those of this machine are."""

from __future__ import annotations

import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from e2e.testbed import packages
from e2e.testbed.errors import TestbedError

PYTHON = "3.11"
GLIBC_MINOR = 36  # bookworm's 2.36; pip takes every tag that it is told, and implies none


@dataclass(frozen=True, slots=True)
class Pin:
    """One exact wheel."""

    name: str
    version: str
    sha256: str

    def __str__(self) -> str:
        return f"{self.name}=={self.version} --hash=sha256:{self.sha256}"


def fetch(requirements: str, folder: Path) -> None:
    """Download the wheels of a hash-locked requirements text into `folder`, and nothing else."""
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(requirements)
        file.flush()
        command = [*packages.pip(), "download", "--quiet", "--no-deps", "--require-hashes"]
        target = ["--only-binary=:all:", f"--python-version={PYTHON}", "--implementation=cp"]
        result = subprocess.run(
            [*command, *target, *_platforms(), f"--dest={folder}", f"--requirement={file.name}"],
            capture_output=True,
            text=True,
        )
    if result.returncode != 0:
        said = result.stderr.strip().splitlines()
        why = [line for line in said if line.startswith("ERROR: ")] or said[-1:]
        raise TestbedError(f"pip could not download the wheels of an image: {' '.join(why)}")


def _platforms() -> list[str]:
    tags = [f"manylinux_2_{minor}" for minor in range(GLIBC_MINOR, 4, -1)]
    old = ["manylinux2014", "manylinux2010", "manylinux1", "linux"]
    return [f"--platform={tag}_x86_64" for tag in [*tags, *old]]
