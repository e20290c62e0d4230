"""Which cluster and namespace a command means: what kubectl would take.

Reads the kubeconfig only for names; credentials are `conch.kube`'s.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from conch.errors import SettingsError

SERVICE_ACCOUNT_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def default_namespace(
    kubeconfig: Path | None = None,
    context: str | None = None,
    environ: Mapping[str, str] = os.environ,
) -> str:
    """The context's namespace; inside a pod the pod's; else `default`.

    An unreadable kubeconfig is no error here: connecting says what is wrong with it.
    """
    if _inside(kubeconfig, context, environ):
        return _read(SERVICE_ACCOUNT_NAMESPACE).strip() or "default"
    contents = [_load(file) for file in _files(kubeconfig, environ)]
    chosen = context or next((c for f in contents if (c := f.get("current-context"))), None)
    for content in contents:  # the first file that has the context wins, as in kubectl
        for entry in content.get("contexts") or []:
            if isinstance(entry, dict) and entry.get("name") == chosen:
                return (entry.get("context") or {}).get("namespace") or "default"
    return "default"


def check(
    kubeconfig: Path | None = None,
    context: str | None = None,
    environ: Mapping[str, str] = os.environ,
) -> None:
    """Raises SettingsError when there is no kubeconfig at all, in words of this command."""
    if _inside(kubeconfig, context, environ):
        return
    files = _files(kubeconfig, environ)
    if not any(file.exists() for file in files):
        listed = ", ".join(map(str, files))
        raise SettingsError(f"no kubeconfig: {listed} does not exist; give --kubeconfig FILE")


def _inside(kubeconfig: Path | None, context: str | None, environ: Mapping[str, str]) -> bool:
    return kubeconfig is None and context is None and "KUBERNETES_SERVICE_HOST" in environ


def _files(kubeconfig: Path | None, environ: Mapping[str, str]) -> list[Path]:
    if kubeconfig is not None:
        return [kubeconfig]
    listed = environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")
    return [Path(part) for part in listed.split(os.pathsep) if part]


def _load(file: Path) -> dict[str, Any]:
    try:
        content = yaml.safe_load(_read(file))
    except yaml.YAMLError:
        return {}
    return content if isinstance(content, dict) else {}


def _read(file: Path) -> str:
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError):
        return ""
