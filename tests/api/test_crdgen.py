"""The CRDs: what a model becomes, what is refused, and that the committed files are current."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import yaml
from pydantic import BaseModel, ConfigDict, Field

from conch.api import crdgen, names
from conch.api.kinds import KINDS, Kind
from conch.cli import crds as crds_command
from conch.cli import generate
from tests.api import documents

ALL_KINDS = pytest.mark.parametrize("meta", KINDS, ids=lambda meta: meta.kind)
# JSON Schema that a structural schema must not hold.
FORBIDDEN = {
    "$ref", "$defs", "definitions", "anyOf", "oneOf", "allOf", "not", "const", "title", "nullable",
    "format", "uniqueItems", "patternProperties", "propertyNames", "prefixItems", "dependencies",
    "readOnly", "x-kubernetes-preserve-unknown-fields",
}  # fmt: skip


def schema_of(meta: Kind) -> crdgen.Schema:
    schema: crdgen.Schema = crdgen.crd(meta)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def nodes(schema: crdgen.Schema, path: str = "") -> Iterator[tuple[str, crdgen.Schema]]:
    """Every schema inside ``schema`` with its path."""
    yield path, schema
    for name, field in schema.get("properties", {}).items():
        yield from nodes(field, f"{path}.{name}")
    for keyword, mark in (("items", "[]"), ("additionalProperties", ".*")):
        if keyword in schema:
            yield from nodes(schema[keyword], path + mark)


# --- the CRDs that we ship ------------------------------------------------------------------------


def test_committed_files_are_what_the_code_generates(capsys: pytest.CaptureFixture[str]) -> None:
    stale = generate.run(documents.REPOSITORY, check=True)
    assert stale == 0, capsys.readouterr().out


@ALL_KINDS
def test_schema_is_structural(meta: Kind) -> None:
    for path, node in nodes(schema_of(meta)):
        assert not FORBIDDEN & node.keys(), path
        assert ("type" in node) != bool(node.get("x-kubernetes-int-or-string")), path
        assert not ("properties" in node and "additionalProperties" in node), path
        if node.get("type") == "array":
            assert "items" in node, path
            assert node.get("x-kubernetes-list-type") in ("map", "set", "atomic"), path
        for bound in ("exclusiveMinimum", "exclusiveMaximum"):
            assert isinstance(node.get(bound, False), bool), path


@ALL_KINDS
def test_every_field_is_described(meta: Kind) -> None:
    for path, node in nodes(schema_of(meta)):
        for name, field in node.get("properties", {}).items():
            assert field.get("description", "").endswith("."), f"{path}.{name}"


@ALL_KINDS
def test_what_users_write_is_bounded(meta: Kind) -> None:
    """The API server prices rules by these bounds, and etcd stores what they let through."""
    for path, node in nodes(schema_of(meta)["properties"]["spec"]):
        kind = node.get("type")
        if kind == "array":
            assert "maxItems" in node, path
        elif kind == "string":
            assert {"maxLength", "enum", "pattern"} & node.keys(), path
        elif "additionalProperties" in node:
            assert "maxProperties" in node, path
        elif kind in ("integer", "number"):
            assert {"minimum", "maximum"} <= node.keys(), path


@ALL_KINDS
def test_kubectl_finds_it(meta: Kind) -> None:
    definition = crdgen.crd(meta)
    assert definition["metadata"]["name"] == f"{meta.plural}.conch.dev"
    assert definition["spec"]["names"]["categories"] == ["conch", "all"]
    assert definition["spec"]["names"]["shortNames"]
    assert "annotations" not in definition["metadata"]


def test_service_has_status_scale_and_columns() -> None:
    version = crdgen.crd(documents.BY_NAME[names.INFERENCE_SERVICE])["spec"]["versions"][0]
    assert version["subresources"] == {
        "status": {},
        "scale": {
            "specReplicasPath": ".spec.scaling.replicas",
            "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": ".status.selector",
        },
    }
    shown = [c["name"] for c in version["additionalPrinterColumns"] if not c.get("priority")]
    assert shown == ["Ready", "Reason", "Replicas", "P99", "Target", "Accelerator", "Age"]


@ALL_KINDS
def test_metadata_stays_the_api_servers(meta: Kind) -> None:
    assert set(schema_of(meta)["properties"]) <= {"spec", "status"}
    assert schema_of(meta)["required"] == ["spec"]


@ALL_KINDS
def test_defaults_are_the_models_defaults(meta: Kind) -> None:
    minimal = documents.minimal(meta.kind)
    stored = crdgen.with_defaults(schema_of(meta), minimal)["spec"]
    parsed = meta.model.model_validate(minimal).spec.model_dump(by_alias=True, exclude_none=True)
    # `resources: {}` says no more than no `resources`.
    assert stored == {key: value for key, value in parsed.items() if value != {}}


@ALL_KINDS
def test_full_documents_set_every_field(meta: Kind) -> None:
    """The refusals and mutations start from these: what they leave out would not be tested."""

    def unset(schema: crdgen.Schema, value: Any, path: str) -> Iterator[str]:
        for name, field in schema.get("properties", {}).items():
            if name not in value:
                yield f"{path}.{name}"
            elif isinstance(value[name], dict):
                yield from unset(field, value[name], f"{path}.{name}")
            elif isinstance(value[name], list) and isinstance(value[name][0], dict):
                yield from unset(field["items"], value[name][0], f"{path}.{name}[]")

    schema = schema_of(meta)["properties"]
    found = set(unset(schema["spec"], documents.full(meta.kind)["spec"], "spec"))
    # Ruled out by scaling.replicas and resourceName; test_cluster_refusals has them on their own.
    alternatives = {
        "spec.scaling.idle",
        "spec.placement.siteMinReplicas",
        "spec.deviceClassName",
        "spec.deviceSelectors",
    }
    assert found - alternatives == set()
    assert list(unset(schema.get("status", {}), documents.STATUS, "status")) == []


# --- as YAML --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "text"), crdgen.manifests().items())
def test_yaml_is_small_and_says_the_same(name: str, text: str) -> None:
    assert len(text.encode()) < 100_000
    assert text.startswith("# Generated by")
    (meta,) = [m for m in KINDS if name == f"conch.dev_{m.plural}.yaml"]
    assert yaml.safe_load(text) == crdgen.crd(meta)


def test_yaml_repeats_instead_of_using_anchors() -> None:
    shared = {"a": 1}
    assert crdgen.to_yaml({"left": shared, "right": shared}) == ("left:\n  a: 1\nright:\n  a: 1\n")


def test_command_writes_then_finds_nothing_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert crds_command.run(tmp_path, check=True) == 1
    assert crds_command.run(tmp_path, check=False) == 0
    assert crds_command.run(tmp_path, check=True) == 0
    changed = tmp_path / "conch.dev_tritonruntimes.yaml"
    changed.write_text(changed.read_text() + "# by hand\n")
    capsys.readouterr()
    assert crds_command.run(tmp_path, check=True) == 1
    assert "conch.dev_tritonruntimes.yaml: out of date" in capsys.readouterr().out


def test_command_prints_all_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert crds_command.run(None, check=False) == 0
    printed = list(yaml.safe_load_all(capsys.readouterr().out))
    assert [definition["spec"]["names"]["kind"] for definition in printed] == [
        meta.kind for meta in KINDS
    ]


# --- what a model becomes -------------------------------------------------------------------------


class Inner(BaseModel):
    """Inner."""

    size: int = 3


class Sample(BaseModel):
    """A model with one field of every sort."""

    optional: str | None = None
    either: Annotated[int | str, Field(json_schema_extra={"maxLength": 9})] = "1"
    one: Literal["only"] = "only"
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    inner: Inner = Inner()
    maybe: Inner | None = Field(None, description="Maybe.")
    numbers: list[int] = Field([], json_schema_extra={"x-kubernetes-list-type": "set"})
    texts: dict[str, str] = {}


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("optional", {"type": "string"}),
        ("either", {"default": "1", "maxLength": 9, "x-kubernetes-int-or-string": True}),
        ("one", {"type": "string", "default": "only", "enum": ["only"]}),
        (
            "share",
            {
                "type": "number",
                "default": 1,
                "minimum": 0,
                "exclusiveMinimum": True,
                "maximum": 1,
            },
        ),
        (
            "inner",
            {
                "description": "Inner.",
                "type": "object",
                "default": {"size": 3},
                "properties": {"size": {"type": "integer", "default": 3}},
            },
        ),
        (
            "maybe",
            {
                "description": "Maybe.",
                "type": "object",
                "properties": {"size": {"type": "integer", "default": 3}},
            },
        ),
        (
            "numbers",
            {
                "type": "array",
                "default": [],
                "x-kubernetes-list-type": "set",
                "items": {"type": "integer"},
            },
        ),
        ("texts", {"type": "object", "additionalProperties": {"type": "string"}}),
    ],
)
def test_conversion(field: str, expected: dict[str, Any]) -> None:
    assert crdgen.structural(Sample)["properties"][field] == expected


class Recursive(BaseModel):
    child: Recursive | None = None


class Union(BaseModel):
    field: int | list[str]


class Pair(BaseModel):
    field: tuple[int, str]


class Unique(BaseModel):
    field: set[str]


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Time(BaseModel):
    field: datetime


class ConstrainedKeys(BaseModel):
    field: dict[Annotated[str, Field(max_length=3)], str]


class AnyDefault(BaseModel):
    field: Inner = Inner(size=4)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Recursive, "contains itself"),
        (Union, r"Union\.field: a union"),
        (Pair, "prefixItems"),
        (Unique, "uniqueItems"),
        (Closed, "additionalProperties"),
        (Time, "format"),
        (ConstrainedKeys, "propertyNames"),
        (AnyDefault, r"AnyDefault\.field: the default differs"),
    ],
)
def test_what_has_no_structural_form_stops_the_generator(
    model: type[BaseModel], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        crdgen.structural(model)


def test_with_defaults_fills_in_what_is_absent_and_nothing_else() -> None:
    schema = crdgen.structural(Sample)
    filled = crdgen.with_defaults(schema, {"one": "mine", "maybe": {}, "inner": {"size": 9}})
    assert filled["one"] == "mine"
    assert filled["maybe"] == {"size": 3}
    assert filled["inner"] == {"size": 9}
    assert "optional" not in filled
