"""``conch generate``: every file of the repository that follows from the code.

Decides which files those are and whether they are up to date. What stands in them is decided by
``api.crdgen``, ``cli.reference`` and ``cli.troubleshooting``; the chart has a generator of its own
(``charts/generate.py``).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from conch.api import crdgen
from conch.cli import reference, troubleshooting


def run(root: Path, check: bool) -> int:
    """Write ``crds/`` and ``docs/reference/`` below ``root``; with ``check`` only compare.

    Exit code: 1 when ``check`` finds a file that is missing or differs.
    """
    return write({root / path: text for path, text in files().items()}, check)


def files() -> dict[str, str]:
    """Path below the repository's root → content."""
    generated = {f"crds/{name}": text for name, text in crdgen.manifests().items()}
    generated.update({f"docs/reference/{name}": text for name, text in reference.pages().items()})
    generated["docs/troubleshooting.md"] = troubleshooting.page()
    return generated


def write(generated: Mapping[Path, str], check: bool) -> int:
    """Bring files up to date, saying which changed; with ``check`` only say which would."""
    stale = [path for path, text in generated.items() if not _holds(path, text)]
    for path in stale:
        if check:
            print(f"{path}: out of date; run `make generate`")
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(generated[path], encoding="utf-8")
        print(f"{path}: written")
    return 1 if check and stale else 0


def _holds(path: Path, text: str) -> bool:
    try:
        return path.read_text(encoding="utf-8") == text
    except FileNotFoundError:
        return False
