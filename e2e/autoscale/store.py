"""Results on disk, each under a hash of everything it rests on: resumable, and never stale.

Code counts by its meaning: comments, docstrings and layout don't change the hash.
"""

from __future__ import annotations

import ast
import hashlib
import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from e2e.testbed.layout import REPOSITORY

FOLDER = REPOSITORY / "build" / "bench" / "autoscale"
_CONCH = REPOSITORY / "operator" / "conch"


class Store:
    """A folder of JSON files."""

    def __init__(self, folder: Path = FOLDER) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def get(self, key: str) -> Any | None:
        """What was put there; None when nothing (readable) was."""
        try:
            return json.loads(self._path(key).read_text())
        except (OSError, ValueError):
            return None

    def put(self, key: str, value: Any) -> None:
        """Whole or not at all."""
        path = self._path(key)
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(value))
        partial.replace(path)

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.json"


def key(what: Mapping[str, object], code: str) -> str:
    """A name for one result."""
    text = json.dumps({"code": code, **what}, sort_keys=True, default=repr)
    return hashlib.sha256(text.encode()).hexdigest()[:24]


@lru_cache(maxsize=64)
def code(*parts: str) -> str:
    """A hash of the Python files (or packages) of operator/conch named here."""
    digest = hashlib.sha256()
    for part in parts:
        path = _CONCH / part
        for file in _files(path):
            digest.update(file.name.encode() + meaning(file.read_text()).encode())
    return digest.hexdigest()[:16]


def modules(package: str) -> list[str]:
    """A package's own modules, as ``code`` takes them."""
    return [f"{package}/{file.name}" for file in sorted((_CONCH / package).glob("*.py"))]


def _files(path: Path) -> Iterable[Path]:
    return sorted(path.glob("*.py")) if path.is_dir() else [path]


def meaning(source: str) -> str:
    """The program without its comments, layout and docstrings."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            value = body[0].value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                body[0] = ast.Expr(ast.Constant(None))
    return ast.dump(tree)
