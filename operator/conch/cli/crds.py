"""``conch crds``: the CustomResourceDefinitions, to apply, to commit or to compare."""

from __future__ import annotations

from pathlib import Path

from conch.api import crdgen
from conch.cli.generate import write


def run(output_dir: Path | None, check: bool) -> int:
    """Print the CRDs, or write them into ``output_dir``; with ``check`` only compare. Exit code."""
    manifests = crdgen.manifests()
    if output_dir is None and not check:
        print("".join(manifests.values()), end="")
        return 0
    folder = output_dir or Path("crds")
    return write({folder / name: text for name, text in manifests.items()}, check)
