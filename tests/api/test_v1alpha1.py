"""Reading objects: what the operator makes of what the API server stores."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from conch.api import names
from conch.api.v1alpha1 import InferenceService
from tests.api import documents


def test_minimal_service_gets_the_defaults() -> None:
    service = InferenceService.model_validate(documents.minimal(names.INFERENCE_SERVICE))
    spec = service.spec
    assert spec.objectives.latency.percentile == 99
    assert (spec.scaling.mode, spec.scaling.min_replicas, spec.scaling.max_replicas) == (
        "Latency",
        1,
        10,
    )
    assert spec.scaling.replicas is None
    assert spec.placement.accelerators.count == 1
    assert not spec.placement.accelerators.allow_cpu
    assert not spec.paused


@pytest.mark.parametrize("kind", documents.BY_NAME)
def test_full_documents_are_read_without_loss(kind: str) -> None:
    document = documents.full(kind)
    parsed = documents.BY_NAME[kind].model.model_validate(document)
    assert parsed.spec.model_dump(by_alias=True, exclude_unset=True) == document["spec"]


def test_what_a_newer_version_wrote_is_no_reason_to_fail() -> None:
    document = documents.changed(
        documents.minimal(names.INFERENCE_SERVICE), ("spec", "rollout"), {"strategy": "Auto"}
    )
    assert InferenceService.model_validate(document).spec.models[0].name == "resnet"


def test_a_read_service_cannot_be_changed() -> None:
    service = InferenceService.model_validate(documents.minimal(names.INFERENCE_SERVICE))
    with pytest.raises(ValidationError, match="frozen"):
        service.spec.scaling.max_replicas = 3  # type: ignore[misc]


def test_the_longest_service_name_leaves_room_for_what_kubernetes_appends() -> None:
    # Deployment "-" ReplicaSet hash (10) "-" pod suffix (5) in a label of 63.
    assert names.MAX_SERVICE_NAME + 1 + 10 + 1 + 5 <= 63
