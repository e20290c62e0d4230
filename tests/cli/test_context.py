"""Which namespace and cluster a command means."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from conch.cli import context
from conch.errors import SettingsError

CONFIG = """
current-context: one
contexts:
- {name: one, context: {cluster: c, user: u, namespace: team-a}}
- {name: two, context: {cluster: c, user: u}}
"""


@pytest.fixture
def kubeconfig(tmp_path: Path) -> Path:
    path = tmp_path / "config"
    path.write_text(CONFIG)
    return path


def test_the_current_contexts_namespace(kubeconfig: Path) -> None:
    assert context.default_namespace(kubeconfig, None, {}) == "team-a"


def test_another_context(kubeconfig: Path) -> None:
    assert context.default_namespace(kubeconfig, "two", {}) == "default"


def test_several_files_are_one(kubeconfig: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("contexts: [{name: three, context: {namespace: team-c}}]")
    environ = {"KUBECONFIG": f"{kubeconfig}{os.pathsep}{other}"}
    assert context.default_namespace(None, "three", environ) == "team-c"
    assert context.default_namespace(None, None, environ) == "team-a"


def test_inside_a_pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "namespace"
    file.write_text("conch-system\n")
    monkeypatch.setattr(context, "SERVICE_ACCOUNT_NAMESPACE", file)
    environ = {"KUBERNETES_SERVICE_HOST": "10.0.0.1"}
    assert context.default_namespace(None, None, environ) == "conch-system"
    context.check(None, None, environ)


@pytest.mark.parametrize("content", ["", "[]", "a: [", "contexts: nonsense", "\x00"])
def test_a_strange_file_is_left_to_the_connection(tmp_path: Path, content: str) -> None:
    path = tmp_path / "config"
    path.write_text(content)
    assert context.default_namespace(path, None, {}) == "default"


def test_no_kubeconfig_at_all(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="gone does not exist; give --kubeconfig"):
        context.check(None, None, {"KUBECONFIG": str(tmp_path / "gone")})


def test_one_of_several_is_enough(kubeconfig: Path, tmp_path: Path) -> None:
    context.check(None, None, {"KUBECONFIG": f"{tmp_path / 'gone'}{os.pathsep}{kubeconfig}"})
