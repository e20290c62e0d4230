"""A real API server takes the CRDs and gives what they promise: defaults, columns, scale."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from conch.api import crdgen, names
from conch.api.kinds import KINDS, Kind
from e2e.testbed import TestbedError
from tests.api import documents
from tests.api.apiserver import ApiServer, Kubectl, collection

pytestmark = pytest.mark.cluster
ALL_KINDS = pytest.mark.parametrize("meta", KINDS, ids=lambda meta: meta.kind)
CRD_PATH = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@ALL_KINDS
def test_strict_creation_is_accepted(server: ApiServer, meta: Kind) -> None:
    """Under another group, so that it is a creation however often the tests run."""
    definition = crdgen.crd(meta)
    definition["metadata"]["name"] = f"{meta.plural}.created.conch.dev"
    definition["spec"]["group"] = "created.conch.dev"
    answer = server.request("POST", CRD_PATH, definition, fieldValidation="Strict", dryRun="All")
    assert answer.status == 201, answer.message


@ALL_KINDS
def test_applying_again_writes_nothing(server: ApiServer, meta: Kind) -> None:
    definition = crdgen.crd(meta)
    path = f"{CRD_PATH}/{definition['metadata']['name']}"
    versions = []
    for _ in range(2):
        answer = server.request(
            "PATCH",
            path,
            definition,
            content_type="application/apply-patch+yaml",
            fieldManager="crd-test",
            force="true",
            fieldValidation="Strict",
        )
        assert answer.status == 200, answer.message
        versions.append(answer.body["metadata"]["resourceVersion"])
    assert versions[0] == versions[1]


@ALL_KINDS
def test_stored_schema_is_the_one_we_wrote(server: ApiServer, meta: Kind) -> None:
    """What the API server would drop or rewrite could not be relied on."""
    definition = crdgen.crd(meta)
    stored = server.request("GET", f"{CRD_PATH}/{definition['metadata']['name']}").body
    assert stored["spec"]["versions"] == definition["spec"]["versions"]
    conditions = {c["type"]: c["status"] for c in stored["status"]["conditions"]}
    # NonStructuralSchema appears only when there is something to say.
    assert conditions == {"NamesAccepted": "True", "Established": "True"}


@ALL_KINDS
def test_minimal_object_gets_the_models_defaults(server: ApiServer, meta: Kind) -> None:
    minimal = documents.minimal(meta.kind)
    answer = server.create(minimal)
    assert answer.status == 201, answer.message
    schema = crdgen.crd(meta)["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    assert answer.body["spec"] == crdgen.with_defaults(schema, minimal)["spec"]
    assert meta.model.model_validate(answer.body).spec == meta.model.model_validate(minimal).spec


@ALL_KINDS
def test_full_object_is_stored_as_written(server: ApiServer, meta: Kind) -> None:
    document = documents.full(meta.kind)
    answer = server.create(document)
    assert answer.status == 201, answer.message
    assert answer.body["spec"] == document["spec"]


@pytest.mark.parametrize("path", documents.EXAMPLES, ids=lambda path: path.name)
def test_examples_are_accepted(kubectl: Kubectl, path: Path) -> None:
    kubectl(
        "apply",
        "--dry-run=server",
        "--validate=strict",
        "-f",
        "-",
        stdin=path.read_text(encoding="utf-8"),
    )


@pytest.fixture
def stored(server: ApiServer) -> Iterator[str]:
    """The name of a service that exists, in mode External with 3 replicas."""
    document = documents.full(names.INFERENCE_SERVICE, name="stored")
    path = f"{collection(names.INFERENCE_SERVICE)}/stored"
    answer = server.create(document, dry_run=False)
    assert answer.status == 201, answer.message
    yield "stored"
    assert server.request("DELETE", path).status == 200


def test_scale_is_read_and_written(server: ApiServer, kubectl: Kubectl, stored: str) -> None:
    path = f"{collection(names.INFERENCE_SERVICE)}/{stored}"
    status = {"replicas": 2, "selector": names.selector_string(stored)}
    assert _patch_status(server, path, status) == 200
    scale = server.request("GET", f"{path}/scale").body
    assert scale["spec"] == {"replicas": 3}
    assert scale["status"] == {"replicas": 2, "selector": "conch.dev/service=stored"}

    scale["spec"]["replicas"] = 5
    assert server.request("PUT", f"{path}/scale", scale).status == 200
    assert server.request("GET", path).body["spec"]["scaling"]["replicas"] == 5

    kubectl("scale", "infs", stored, "--replicas=7")
    assert server.request("GET", path).body["spec"]["scaling"]["replicas"] == 7


def test_scaling_by_hand_what_conch_scales_is_refused(server: ApiServer, kubectl: Kubectl) -> None:
    document = documents.minimal(names.INFERENCE_SERVICE, name="latency")
    path = f"{collection(names.INFERENCE_SERVICE)}/latency"
    assert server.create(document, dry_run=False).status == 201
    try:
        with pytest.raises(TestbedError) as refusal:
            kubectl("scale", "infs", "latency", "--replicas=3")
    finally:
        server.request("DELETE", path)
    assert "scaling.replicas: Conch chooses it in mode Latency; remove it" in str(refusal.value)
    assert "set scaling.mode to Fixed or External" in str(refusal.value)


def test_status_is_written_apart_from_the_spec(server: ApiServer, stored: str) -> None:
    path = f"{collection(names.INFERENCE_SERVICE)}/{stored}"
    before = server.request("GET", path).body
    assert _patch_status(server, path, {"readyReplicas": 1}) == 200
    after = server.request("GET", path).body
    assert after["status"] == {"readyReplicas": 1}
    assert after["metadata"]["generation"] == before["metadata"]["generation"]

    ignored = {"status": {"readyReplicas": 9}}
    answer = server.request("PATCH", path, ignored, content_type="application/merge-patch+json")
    assert answer.body["status"] == {"readyReplicas": 1}


def test_columns(server: ApiServer, kubectl: Kubectl, stored: str) -> None:
    path = f"{collection(names.INFERENCE_SERVICE)}/{stored}"
    condition = {
        "type": "Ready",
        "status": "True",
        "reason": "Ready",
        "message": "All is well.",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }
    status = {
        "conditions": [condition],
        "readyReplicas": 2,
        "accelerator": "l4",
        "latency": {"observed": "87ms", "target": "100ms"},
    }
    assert _patch_status(server, path, status) == 200
    head, row = kubectl("get", "infs", stored).splitlines()
    assert head.split() == [
        "NAME", "READY", "REASON", "REPLICAS", "P99", "TARGET", "ACCELERATOR", "AGE",
    ]  # fmt: skip
    assert row.split()[:-1] == ["stored", "True", "Ready", "2", "87ms", "100ms", "l4"]
    assert "stored" in kubectl("get", "conch")  # the category
    assert "WANTED" in kubectl("get", "infs", stored, "-o", "wide")


def test_fields_are_explained(kubectl: Kubectl) -> None:
    explained = kubectl("explain", "infs.spec.objectives.latency.target")
    assert "Time from a request's arrival at Triton to its answer" in explained


def test_lists_merge_by_name(server: ApiServer, stored: str) -> None:
    """Two appliers each own their model: neither removes the other's."""
    path = f"{collection(names.INFERENCE_SERVICE)}/{stored}"
    for model in ("first", "second"):
        document = {
            "apiVersion": names.API_VERSION,
            "kind": names.INFERENCE_SERVICE,
            "metadata": {"name": stored},
            "spec": {"models": [{"name": model, "source": {"uri": "image:///m"}}]},
        }
        answer = server.request(
            "PATCH",
            path,
            document,
            content_type="application/apply-patch+yaml",
            fieldManager=model,
        )
        assert answer.status == 200, json.dumps(answer.body)
    models = server.request("GET", path).body["spec"]["models"]
    assert {model["name"] for model in models} == {"resnet", "tiny", "first", "second"}


def _patch_status(server: ApiServer, path: str, status: dict[str, object]) -> int:
    return server.request(
        "PATCH",
        f"{path}/status",
        {"status": status},
        content_type="application/merge-patch+json",
        fieldValidation="Strict",
    ).status
