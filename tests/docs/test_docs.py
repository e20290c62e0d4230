"""The documentation against the repository: links lead somewhere, examples are valid."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from conch.api import names
from conch.api.v1alpha1 import InferenceServiceSpec
from conch.cli.app import app

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *(ROOT / "docs").rglob("*.md"),
        *(ROOT / "examples").rglob("*.md"),
        ROOT / "charts/conch/README.md",
    ]
)
LINK = re.compile(r"\]\(([^)#\s]+)(#[^)]*)?\)")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)
COMMAND = re.compile(r"^(?:#   |\$ )?(?:kubectl )?conch ([a-z](?:.*\\\n)*.*)", re.M)
SPOKEN = re.compile(r"`(?:kubectl )?conch ([a-z][^`]*)`")
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]  # a group has them
SCHEMA = json.loads((ROOT / "charts/conch/values.schema.json").read_text())


def _name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def _links(page: Path) -> list[str]:
    """Relative links; what looks like one inside code is none."""
    prose = re.sub(r"`[^`\n]*`", "", BLOCK.sub("", page.read_text()))
    return [target for target, _ in LINK.findall(prose) if "://" not in target]


def _slug(heading: str) -> str:
    """As a forge makes an anchor of it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


def _services(page: Path) -> Iterator[dict[str, Any]]:
    for language, text in BLOCK.findall(page.read_text()):
        if language == "yaml" and names.API_VERSION in text:
            yield from (d for d in yaml.safe_load_all(text) if d["kind"] == names.INFERENCE_SERVICE)


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_lead_somewhere(page: Path) -> None:
    assert [t for t in _links(page) if not (page.parent / t).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_anchors_are_headings(page: Path) -> None:
    for target, anchor in LINK.findall(page.read_text()):
        if anchor and "://" not in target:
            headings = re.findall(r"^#+ (.*)$", (page.parent / target).read_text(), re.M)
            assert anchor.removeprefix("#") in map(_slug, headings)


@pytest.mark.parametrize("page", [*PAGES, *sorted((ROOT / "examples").glob("*.yaml"))], ids=_name)
def test_commands_in_the_text_exist(page: Path) -> None:
    text = page.read_text()
    for line in (*COMMAND.findall(text), *SPOKEN.findall(text)):
        name, *words = shlex.split(line.replace("\\\n", " "), comments=True)
        if name == "fetch":  # the puller's, not people's
            continue
        params = COMMANDS[name].params
        known = {option for param in params for option in (*param.opts, *param.secondary_opts)}
        assert {w.partition("=")[0] for w in words if w.startswith("-")} <= known, line


def test_targets_of_make_in_the_text_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
    for page in PAGES:
        named = re.findall(r"(?:^|[`$] ?)make ([a-z-]+)", page.read_text(), re.M)
        assert set(named) <= targets, page


def test_every_page_is_reached_from_the_readme() -> None:
    reached: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        waiting += [(page.parent / target).resolve() for target in _links(page)]
    assert set(PAGES) - reached == set()


@pytest.mark.parametrize("page", [p for p in PAGES if any(_services(p))], ids=_name)
def test_services_in_the_text_are_valid(page: Path) -> None:
    for service in _services(page):
        spec = InferenceServiceSpec.model_validate(service["spec"])
        written = spec.model_dump(by_alias=True, exclude_unset=True)
        assert written == service["spec"]  # a field that does not exist would be dropped


def test_there_are_services_in_the_text() -> None:
    assert sum(1 for page in PAGES for _ in _services(page)) >= 2


@pytest.mark.parametrize(
    "value",
    ["allowedSources", "allowPrivateHosts", "fetchMaxBytes", "drainSeconds", "watchNamespaces",
     "networkPolicy.apiServerPorts", "crds.install", "rbac.aggregate", "image.digest"],
)  # fmt: skip
def test_values_that_the_text_names_exist(value: str) -> None:
    chart = ROOT / "charts"  # lists every value anyhow
    text = "".join(page.read_text() for page in PAGES if chart not in page.parents)
    assert value in text
    node = SCHEMA
    for part in value.split("."):
        node = node["properties"][part]
