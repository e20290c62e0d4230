from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from conch.fetch import main
from conch.fetch.limits import Limits
from conch.fetch.request import FetchRequest, ModelRequest
from tests.fetch import servers


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[servers.Origin]:
    """A web server with a certificate that the puller trusts."""
    monkeypatch.setenv("SSL_CERT_FILE", str(servers.CERTIFICATE))
    with servers.running(tls=True) as origin:
        yield origin


@pytest.fixture
def s3() -> Iterator[servers.Origin]:
    """A server without TLS, to be given S3 answers."""
    with servers.running(tls=False) as origin:
        yield origin


@pytest.fixture
def limits() -> Limits:
    """Limits that nothing honest reaches."""
    return roomy()


def roomy(**changes: Any) -> Limits:
    """Limits that nothing honest reaches, but for ``changes``."""
    values: dict[str, Any] = {
        "max_bytes": 1 << 30,
        "max_files": 1000,
        "deadline_s": time.monotonic() + 60,
        "stop": threading.Event(),
        "report": lambda _: None,
    }
    return Limits(**{**values, **changes})


@dataclass
class Puller:
    """Runs ``conch fetch`` in this process, on a repository of its own."""

    repository: Path
    log: Path
    settings: dict[str, Any] = field(default_factory=dict)

    def run(self, *models: ModelRequest, **settings: Any) -> int:
        """The exit code of one run over ``models``."""
        values: dict[str, Any] = {
            "allowed_sources": ("https://", "s3://", "pvc://", "image://"),
            "allow_private_hosts": True,
            "max_bytes": 1 << 30,
            "repository": str(self.repository),
            "termination_log": str(self.log),
            **self.settings,
            **settings,
        }
        return main(FetchRequest(models=models, **values).arguments())

    @property
    def failure(self) -> dict[str, str]:
        """What the last run left as the container's termination message."""
        document: dict[str, str] = json.loads(self.log.read_text(encoding="utf-8"))
        return document

    def files(self, name: str) -> dict[str, bytes]:
        """The files of a staged model, by relative path."""
        root = self.repository / name
        return {
            str(path.relative_to(root)): path.read_bytes()
            for path in root.rglob("*")
            if path.is_file()
        }

    @property
    def directories(self) -> set[str]:
        """What Triton would take for models."""
        return {path.name for path in self.repository.iterdir() if path.is_dir()}


@pytest.fixture
def puller(tmp_path: Path) -> Puller:
    """A puller with an empty repository."""
    repository = tmp_path / "models"
    repository.mkdir()
    return Puller(repository, tmp_path / "termination-log")
