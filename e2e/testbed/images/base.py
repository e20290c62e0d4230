"""The base of both images: Debian bookworm with Python 3.11 and little else, as one layer.

Made by mmdebstrap from the machine's Debian mirror (31 s; debootstrap takes longer and can't skip
files). Documentation, locales and Perl are left out: they are a third of it, and every image import
reads the whole layer.
"""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path

from e2e.testbed import cache, packages
from e2e.testbed.errors import TestbedError
from e2e.testbed.progress import Progress, long_step

RELEASE = "bookworm"
MIRROR = "http://deb.debian.org/debian"
INCLUDE = ("python3", "python3-venv", "libpython3.11", "libstdc++6", "ca-certificates")
EXCLUDE = ("man", "doc", "locale", "i18n", "info", "lintian", "perl", "perl5")
RECIPE = (
    "--mode=root",
    "--variant=essential",
    f"--include={','.join(INCLUDE)}",
    '--aptopt=Acquire::Languages "none"',
    "--customize-hook=cd $1/usr/share && rm -rf " + " ".join(EXCLUDE),
    "--customize-hook=cd $1 && rm -rf usr/lib/x86_64-linux-gnu/perl* var/cache/* var/log/*",
    # containerd and buildah make their own; a tar with device nodes needs more rights to unpack.
    "--skip=output/dev",
)
KEY = hashlib.sha256(repr((RELEASE, RECIPE)).encode()).hexdigest()[:10]


def layer(progress: Progress) -> Path:
    """The uncompressed layer tar."""

    def build(folder: Path) -> None:
        if packages.which("mmdebstrap") is None:
            packages.install(["mmdebstrap", "debian-archive-keyring"], progress)
        with long_step(progress, f"making the base of the images: Debian {RELEASE}, Python 3.11"):
            command = ["mmdebstrap", "--quiet", *RECIPE, RELEASE, str(folder / "layer.tar"), MIRROR]
            result = subprocess.run(command, capture_output=True, text=True)
            if result.returncode != 0:
                last = "".join(result.stderr.strip().splitlines()[-1:])
                raise TestbedError(f"mmdebstrap could not make the base of the images: {last}")

    return cache.entry(f"image-base-{KEY}", build) / "layer.tar"
