"""promtool: Prometheus' own check of rules."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.prometheus import program


@pytest.fixture(scope="session")
def promtool() -> Path:
    """The program."""
    return program("promtool")
