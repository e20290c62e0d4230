"""How the demo reaches a cluster: the embedded one, or any other through a kubectl context.

Both can run kubectl and helm, and start a program that reaches Services: inside the embedded
cluster's network namespace, or in a pod of the other cluster.
"""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from e2e.testbed import Cluster, Progress, TestbedError
from e2e.testbed.clients import clients

REPOSITORY = Path(__file__).resolve().parents[2]
PYTHON = REPOSITORY / ".venv/bin/python"  # what `make setup` installs; the demo itself needs none
Lines = subprocess.Popen[str]


class Access(Protocol):
    """A cluster, from the demo's side."""

    def kubectl(self, *argv: str, stdin: str | None = None) -> str:
        """kubectl's output; raises TestbedError with what it said."""

    def helm(self, *argv: str) -> str:
        """helm's output; raises TestbedError with what it said."""

    def load(self, module: str, *argv: str) -> Lines:
        """Start ``python -m module`` where Services can be reached; its stdout is a pipe."""

    def hint(self, service: str, manifest: Path) -> list[str]:
        """What a person types to look at the cluster themselves."""


class Embedded:
    """The test bed's cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    def kubectl(self, *argv: str, stdin: str | None = None) -> str:
        return self._cluster.kubectl(*argv, stdin=stdin)

    def helm(self, *argv: str) -> str:
        result = self._cluster.run(["helm", *argv], capture_output=True, text=True)
        return _checked("helm", argv, result)

    def load(self, module: str, *argv: str) -> Lines:
        return self._cluster.popen(
            [PYTHON, "-m", module, *argv],
            stdout=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
        )

    def hint(self, service: str, manifest: Path) -> list[str]:
        tools = clients(self._cluster.progress)
        return [
            f"export KUBECONFIG={self._cluster.kubeconfig} PATH={tools}:$PATH",
            "kubectl get infs",
            f".venv/bin/conch why {service}",
            "make demo-down",
        ]


class Context:
    """A cluster of the user's own. The load runs in a pod of the operator's image."""

    def __init__(self, context: str, progress: Progress) -> None:
        self._tools = clients(progress)
        self._context = context

    def _run(
        self, program: str, argv: Sequence[str], stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        flag = "--kube-context" if program == "helm" else "--context"
        return subprocess.run(
            [self._tools / program, flag, self._context, *argv],
            input=stdin,
            capture_output=True,
            text=True,
        )

    def kubectl(self, *argv: str, stdin: str | None = None) -> str:
        return _checked("kubectl", argv, self._run("kubectl", argv, stdin))

    def helm(self, *argv: str) -> str:
        return _checked("helm", argv, self._run("helm", argv))

    def load(self, module: str, *argv: str) -> Lines:
        """A pod that runs the load, its files from a ConfigMap; the pipe is its log."""
        image = json.loads(
            self.kubectl("get", "deploy", "conch", "-n", "conch-system", "-o", "json")
        )["spec"]["template"]["spec"]["containers"][0]["image"]
        name = f"conch-demo-load-{uuid.uuid4().hex[:6]}"
        for manifest in _load_pod(name, image, module, argv):
            self.kubectl("apply", "-f", "-", stdin=json.dumps(manifest))
        self.kubectl("wait", f"pod/{name}", "--for=condition=Ready", "--timeout=120s")
        return subprocess.Popen(
            [self._tools / "kubectl", "--context", self._context, "logs", "-f", name],
            stdout=subprocess.PIPE,
            text=True,
        )

    def hint(self, service: str, manifest: Path) -> list[str]:
        return [
            f"kubectl --context {self._context} get infs",
            f".venv/bin/conch why {service} --context {self._context}",
            f"make demo-down CONTEXT={self._context} SERVICE={manifest}",
        ]


def _load_pod(
    name: str, image: str, module: str, argv: Sequence[str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    labels = {"app.kubernetes.io/part-of": "conch-demo"}
    files = {p.name: p.read_text() for p in sorted((REPOSITORY / "e2e/load").glob("*.py"))}
    files["package.py"] = ""
    items = [{"key": key, "path": f"e2e/load/{key}"} for key in files if key != "package.py"]
    return (
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": name, "labels": labels},
            "data": files,
        },
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": labels},
            "spec": {
                "restartPolicy": "Never",
                "activeDeadlineSeconds": 1800,
                "automountServiceAccountToken": False,
                "securityContext": {
                    "runAsNonRoot": True,
                    "runAsUser": 65532,
                    "seccompProfile": {"type": "RuntimeDefault"},
                },
                "volumes": [
                    {
                        "name": "load",
                        "configMap": {
                            "name": name,
                            "items": [*items, {"key": "package.py", "path": "e2e/__init__.py"}],
                        },
                    }
                ],
                "containers": [
                    {
                        "name": "load",
                        "image": image,
                        "command": ["python3", "-m", module, *argv],
                        "env": [{"name": "PYTHONPATH", "value": "/load"}],
                        "workingDir": "/load",
                        "volumeMounts": [{"name": "load", "mountPath": "/load"}],
                        "securityContext": {
                            "allowPrivilegeEscalation": False,
                            "readOnlyRootFilesystem": True,
                            "capabilities": {"drop": ["ALL"]},
                        },
                    }
                ],
            },
        },
    )


def _checked(program: str, argv: Sequence[str], result: subprocess.CompletedProcess[str]) -> str:
    if result.returncode != 0:
        said = (result.stderr or result.stdout).strip()
        raise TestbedError(f"{program} {' '.join(argv[:2])} failed: {said[-600:]}")
    return result.stdout
