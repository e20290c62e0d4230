"""Whatever the API server accepts, the operator can read: no object breaks the control loop."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conch.api import names
from conch.api.kinds import KINDS, Kind
from conch.api.v1alpha1 import InferenceService
from tests.api import documents
from tests.api.apiserver import ApiServer, collection

pytestmark = pytest.mark.cluster

ABSENT = object()
WRONG: list[Any] = [
    ABSENT,
    None,
    True,
    0,
    -1,
    2**31,
    2**63,
    10**40,
    0.5,
    1e300,
    "",
    "0",
    "-1Gi",
    "9" * 24 + "Ei",
    "x" * 70_000,
    "Ünïcødé 🐚",
    "\u0000",
    "$(touch /tmp/x); {{ .Values }} ../../etc ' OR 1=1 --",
    [],
    [None],
    {},
    {"": ""},
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
PLACES = [
    (meta, path)
    for meta in KINDS
    for path in documents.leaves(documents.full(meta.kind)["spec"], ("spec",))
]


def check(server: ApiServer, meta: Kind, document: dict[str, Any]) -> bool:
    """Whether the API server accepts ``document``; what it accepts must be readable."""
    # Bytes that are no UTF-8 (half a surrogate pair) have no JSON that could be sent.
    body = json.dumps(document).encode("utf-8", "replace")
    answer = server.request(
        "POST", collection(meta.kind), body, fieldValidation="Strict", dryRun="All"
    )
    if answer.status == 201:
        meta.model.model_validate(answer.body)
        return True
    assert answer.status in (400, 422), answer.body
    assert answer.message
    return False


@pytest.fixture
def stored(server: ApiServer) -> Iterator[str]:
    """The path of a service that exists."""
    document = documents.minimal(names.INFERENCE_SERVICE, name="mutated")
    path = f"{collection(names.INFERENCE_SERVICE)}/mutated"
    assert server.create(document, dry_run=False).status == 201
    yield path
    assert server.request("DELETE", path).status == 200


def test_every_status_that_is_accepted_can_be_read(server: ApiServer, stored: str) -> None:
    """Whoever wrote it: the operator reads its own status back when it starts."""
    verdicts = []
    for path in documents.leaves(documents.STATUS):
        for value in WRONG:
            status = (
                documents.without(documents.STATUS, path)
                if value is ABSENT
                else documents.changed(documents.STATUS, path, value)
            )
            patch = [{"op": "add", "path": "/status", "value": status}]
            answer = server.request(
                "PATCH",
                f"{stored}/status",
                patch,
                content_type="application/json-patch+json",
                fieldValidation="Strict",
                dryRun="All",
            )
            verdicts.append(answer.status == 200)
            if answer.status == 200:
                InferenceService.model_validate(answer.body)
            else:
                assert answer.status in (400, 422), answer.body
    assert verdicts.count(True) >= 50
    assert verdicts.count(False) >= 50


def mutated(meta: Kind, path: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    document = documents.full(meta.kind)
    result: dict[str, Any] = (
        documents.without(document, path)
        if value is ABSENT
        else documents.changed(document, path, value)
    )
    return result


@pytest.mark.parametrize("meta", KINDS, ids=lambda meta: meta.kind)
def test_every_field_with_everything_wrong(server: ApiServer, meta: Kind) -> None:
    verdicts = [
        check(server, meta, mutated(meta, path, value))
        for kind, path in PLACES
        if kind is meta
        for value in WRONG
    ]
    # Both happen, or the table above would test nothing.
    assert verdicts.count(True) >= 5
    assert verdicts.count(False) >= 50


@settings(
    max_examples=300,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(place=st.sampled_from(PLACES), value=JSON)
def test_any_field_with_anything(
    server: ApiServer, place: tuple[Kind, tuple[str | int, ...]], value: Any
) -> None:
    meta, path = place
    check(server, meta, mutated(meta, path, value))
