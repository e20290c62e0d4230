"""The reference pages name everything there is."""

from __future__ import annotations

from dataclasses import fields

from conch.activator.telemetry import Telemetry
from conch.api import crdgen
from conch.api.conditions import ConditionType, Reason
from conch.api.kinds import KINDS
from conch.cli import reference
from conch.settings import Settings
from conch.telemetry.catalog import Metrics


def test_api_page_has_every_leaf_and_every_rule() -> None:
    page = reference.api()
    for meta in KINDS:
        schema = crdgen.crd(meta)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
        assert f"## {meta.kind}\n" in page
        for name in schema["properties"]["spec"]["properties"]:
            assert f"`{name}`" in page
        for rule in schema.get("x-kubernetes-validations", ()):
            assert rule["message"] in page
    assert "| **`objectives.latency.target`** | string |" in page
    assert "| `scaling.mode` | string | `Latency` | `Latency`, `External`, `Fixed` |" in page
    assert "| > 0; < 100 |" in page


def test_other_pages_have_every_entry() -> None:
    conditions, settings, metrics = (
        reference.conditions(),
        reference.settings(),
        reference.metrics(),
    )
    for member in (*ConditionType, *Reason):
        assert f"| `{member.value}` | {member.doc} |" in conditions
    for setting in fields(Settings):
        assert f"`CONCH_{setting.name.upper()}`" in settings
    for catalogue in (Metrics(), Telemetry()):
        for family in catalogue.registry.collect():
            assert f"| `{family.name}" in metrics


def test_tables_keep_their_columns() -> None:
    """A pattern with | in it must not open a column."""
    for page in reference.pages().values():
        width = 0
        for line in page.splitlines():
            cells = line.replace("\\|", "").count("|")
            if line.startswith("| ---"):
                assert cells == width
            elif not line.startswith("|"):
                width = 0
            else:
                assert width in (0, cells), line
                width = cells
