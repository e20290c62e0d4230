"""Helm as the test bed pins it, and what it renders."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e.testbed import Progress, clients

CHART = Path(__file__).parents[2] / "charts" / "conch"
Object = dict[str, Any]
Render = Callable[..., list[Object]]
Helm = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def helm(
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs helm with a home of its own."""
    program = clients.clients(Progress(quiet=True)) / "helm"
    home = tmp_path_factory.mktemp("helm")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        environment = {"HOME": str(home), "PATH": "/usr/bin:/bin"}
        return subprocess.run(
            [str(program), *arguments], capture_output=True, text=True, env=environment
        )

    return run


@pytest.fixture(scope="session")
def render(helm: Helm, tmp_path_factory: pytest.TempPathFactory) -> Render:
    """The objects `helm template` makes from the given values."""
    file = tmp_path_factory.mktemp("values") / "values.json"

    @cache  # many tests look at the same few renderings
    def template(values: str, *options: str) -> str:
        file.write_text(values)
        command = ["template", "demo", str(CHART), "-n", "conch-system", "-f", str(file)]
        result = helm(*command, *options)
        assert result.returncode == 0, result.stderr
        return result.stdout

    def run(values: Object | None = None, *options: str) -> list[Object]:
        text = template(json.dumps(values or {}), *options)
        # Safe, and ten times as fast as the loader in Python: the CRDs are in there.
        return [document for document in yaml.load_all(text, yaml.CSafeLoader) if document]

    return run


def one(objects: list[Object], kind: str, name: str = "") -> Object:
    """The only object of that kind (and name)."""
    (found,) = (o for o in objects if o["kind"] == kind and name in ("", o["metadata"]["name"]))
    return found


def part(objects: list[Object], kind: str, component: str = "operator") -> Object:
    """The only object of that kind that belongs to the operator, or to the activator."""
    label = "app.kubernetes.io/component"
    (found,) = (
        o for o in of_kind(objects, kind) if o["metadata"]["labels"].get(label) == component
    )
    return found


def of_kind(objects: list[Object], kind: str) -> list[Object]:
    """Every object of that kind."""
    return [o for o in objects if o["kind"] == kind]
