"""Writes what of the chart follows from something else; `--check` says what is out of date.

values.schema.json is the one source of the values: it holds type, description and default of each.
From it come values.yaml and the README's table; files/crds/ is a copy of crds/, because a chart is
packaged alone.
"""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).parents[1]
CHART = REPOSITORY / "charts" / "conch"
CRDS = REPOSITORY / "crds"
WIDTH = 98

README = """\
# The conch chart

Installs Conch, a Kubernetes operator that serves models on NVIDIA Triton to a latency objective.
Helm 3.17 or newer (or 4), Kubernetes 1.30 or newer.

```
helm install conch charts/conch --namespace conch-system --create-namespace
```

No image of Conch is published yet: [build one](../../docs/install.md), and add
`--set image.repository=REGISTRY/conch`.

What it makes: the three CRDs, two replicas of the operator with a leader Lease, a ServiceAccount
with the least it needs (no access to Secrets, none to pods beyond reading), a PodDisruptionBudget,
a NetworkPolicy, and a headless Service with the operator's metrics on port 9090. Beside it two
replicas of the activator, for services that may go to zero, with an account that may only read
EndpointSlices (`activator.replicas=0` leaves them out). On request, for the Prometheus Operator:
a PodMonitor, and a PrometheusRule with [alerts](../../docs/reference/alerts.md); a dashboard for
Grafana.

`helm uninstall` leaves the CRDs, and with them every InferenceService, unless `crds.keep=false`.
With `crds.install=false` apply `crds/` yourself before every upgrade.

`watchNamespaces` replaces the ClusterRole for namespaced objects by a Role in each namespace. What
stays cluster-wide is reading nodes, namespaces, TritonRuntimes, AcceleratorClasses and pods: what
is free on a node is what the pods of *all* namespaces leave.

## Values

The schema is closed: a misspelt key is refused.

| key | default | meaning |
|---|---|---|
"""


def main(argv: list[str] | None = None) -> int:
    """Write the files, or with `--check` only compare them. 1: something was out of date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing, fail on a difference")
    check = parser.parse_args(argv).check
    stale = stale_files()
    if check and stale:
        names = ", ".join(str(path.relative_to(REPOSITORY)) for path in stale)
        print(f"out of date: {names}; run: python3 charts/generate.py", file=sys.stderr)
        return 1
    for path, content in stale.items():
        if content is None:
            path.unlink()
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
    return 0


def stale_files() -> dict[Path, str | None]:
    """Files that differ from what they should be, with what they should be (None: absent)."""
    schema = json.loads((CHART / "values.schema.json").read_text())
    wanted: dict[Path, str] = {
        CHART / "values.yaml": values_yaml(schema),
        CHART / "README.md": README + "".join(table(schema)),
    }
    for crd in CRDS.glob("*.yaml"):
        wanted[CHART / "files" / "crds" / crd.name] = crd.read_text()
    stale: dict[Path, str | None] = {
        path: content
        for path, content in wanted.items()
        if not path.exists() or path.read_text() != content
    }
    stale |= {path: None for path in (CHART / "files" / "crds").iterdir() if path not in wanted}
    return stale


def values_yaml(schema: dict[str, Any]) -> str:
    """Every value with its default and its description as a comment."""
    lines = ["# Written by charts/generate.py from values.schema.json.", ""]
    for name, value in schema["properties"].items():
        if name != "global":
            lines += [*_entry(name, value, 0), ""]
    return "\n".join(lines[:-1]) + "\n"


def _entry(name: str, schema: dict[str, Any], depth: int) -> Iterator[str]:
    indent = "  " * depth
    comment = textwrap.wrap(schema["description"], WIDTH - 2 - len(indent))
    yield from (f"{indent}# {line}" for line in comment)
    if "properties" in schema:
        yield f"{indent}{name}:"
        for child, value in schema["properties"].items():
            yield from _entry(child, value, depth + 1)
    else:
        # JSON is YAML; flow style keeps one value on one line.
        yield f"{indent}{name}: {json.dumps(schema['default'])}"


def table(schema: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """One row per value, as Markdown."""
    for name, value in schema["properties"].items():
        if "properties" in value:
            yield from table(value, f"{prefix}{name}.")
        elif prefix or name != "global":
            description = value["description"].replace("|", "\\|")
            yield f"| `{prefix}{name}` | `{json.dumps(value['default'])}` | {description} |\n"


if __name__ == "__main__":
    sys.exit(main())
