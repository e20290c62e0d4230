"""The values: closed schema, documented, generated files in step, settings that exist."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from charts import generate
from conch import settings
from tests.chart.conftest import CHART, Render, part

SCHEMA = json.loads((CHART / "values.schema.json").read_text())


def _leaves(schema: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, value in schema["properties"].items():
        if "properties" in value:
            yield from _leaves(value, (*path, name))
        else:
            yield (*path, name)


def _schema_at(path: tuple[str, ...]) -> dict[str, Any]:
    node: dict[str, Any] = SCHEMA
    for name in path:
        node = node["properties"][name]
    return node


def test_generated_files_are_in_step() -> None:
    assert generate.stale_files() == {}


def test_crds_of_the_chart_are_the_crds() -> None:
    ours = {p.name: p.read_text() for p in (CHART / "files" / "crds").iterdir()}
    assert ours == {p.name: p.read_text() for p in generate.CRDS.glob("*.yaml")}
    assert ours


def test_check_names_a_stale_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(generate, "CRDS", tmp_path)
    (tmp_path / "new.yaml").write_text("kind: New\n")
    assert generate.main(["--check"]) == 1
    assert "charts/conch/files/crds/new.yaml" in capsys.readouterr().err


@pytest.mark.parametrize("path", list(_leaves(SCHEMA)), ids=".".join)
def test_every_value_is_documented_and_has_its_default(path: tuple[str, ...]) -> None:
    leaf = _schema_at(path)
    assert leaf["description"].endswith((".", "}."))
    if path != ("global",):
        node: Any = yaml.safe_load((CHART / "values.yaml").read_text())
        for name in path:
            node = node[name]
        assert node == leaf["default"]


def test_lint_is_strict_and_quiet(helm: Any) -> None:
    result = helm("lint", "--strict", str(CHART))
    assert result.returncode == 0, result.stdout


@pytest.mark.parametrize(
    ("option", "named"),
    [
        ("replica=3", "replica"),
        ("replicas=abc", "replicas"),
        ("replicas=0", "replicas"),
        ("image.tagg=1", "image"),
        ("image.digest=abc", "digest"),
        ("image.pullPolicy=Sometimes", "pullPolicy"),
        ("logLevel=loud", "logLevel"),
        ("runtime.release=24", "release"),
        ("allowedSources={ftp://}", "allowedSources"),
        ("watchNamespaces={Team_A}", "watchNamespaces"),
        ("drainSeconds=0", "drainSeconds"),
    ],
)
def test_schema_refuses(helm: Any, option: str, named: str) -> None:
    result = helm("template", "demo", str(CHART), "--set", option)
    assert result.returncode != 0
    assert named in result.stderr


def _environment(objects: list[dict[str, Any]]) -> dict[str, str]:
    (container,) = part(objects, "Deployment")["spec"]["template"]["spec"]["containers"]
    return {e["name"]: e.get("value", "from-the-pod") for e in container["env"]}


def test_every_variable_is_a_setting_that_can_be_read(render: Render) -> None:
    environment = _environment(render())
    known = {f"CONCH_{name.upper()}" for name in settings.Settings.__dataclass_fields__}
    assert set(environment) <= known
    assert settings.from_environment(environment).name == "from-the-pod"


def test_default_values_are_the_default_settings(render: Render) -> None:
    got = settings.from_environment(_environment(render()))
    wanted = settings.Settings(identity="from-the-pod", operator_namespace="from-the-pod")
    assert got == wanted


def test_values_reach_the_settings(render: Render) -> None:
    got = settings.from_environment(
        _environment(
            render(
                {
                    "image": {"repository": "registry.local/conch", "tag": "dev"},
                    "runtime": {
                        "image": "registry.local/triton:1",
                        "release": "26.01",
                        "backendDirectory": "/opt/backends",
                        "pullPolicy": "Never",
                    },
                    "watchNamespaces": ["a", "b"],
                    "allowedSources": ["s3://one/", "pvc://"],
                    "allowPrivateHosts": True,
                    "fetchMaxBytes": 2**40,
                    "drainSeconds": 7,
                    "scrapeIntervalSeconds": 2.5,
                    "logLevel": "debug",
                    "logFormat": "text",
                }
            )
        )
    )
    assert got.namespaces == ("a", "b")
    assert got.fetch_image == "registry.local/conch:dev"
    assert (got.triton_image, got.triton_release) == ("registry.local/triton:1", "26.01")
    assert got.triton_backend_directory == "/opt/backends"
    assert got.triton_image_pull_policy == "Never"
    assert got.allowed_sources == ("s3://one/", "pvc://")
    assert got.allow_private_hosts is True
    assert got.fetch_max_bytes == 2**40
    assert (got.drain_s, got.scrape_interval_s) == (7, 2.5)
    assert (got.log_level, got.log_format) == ("debug", "text")
