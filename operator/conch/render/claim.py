"""The ResourceClaimTemplate: devices of one replica, where they are claimed and not requested.

Its spec cannot be changed, so its name says what is in it: something else wanted is another
template, and the old one stays until no pod refers to it.
"""

from __future__ import annotations

from conch.api import names, v1alpha1
from conch.kube.views import Object
from conch.observe.types import AcceleratorKind
from conch.render.metadata import REVISION_DIGITS, digest, metadata

KIND = "ResourceClaimTemplate"


def claim_template(service: v1alpha1.InferenceService, kind: AcceleratorKind) -> Object | None:
    """The template for pods of ``service`` on ``kind``; None where nothing is claimed."""
    if not kind.device_class:
        return None
    exactly: Object = {
        "deviceClassName": kind.device_class,
        "allocationMode": "ExactCount",
        "count": max(1, service.spec.placement.accelerators.count),
    }
    if kind.device_selectors:
        exactly["selectors"] = [{"cel": {"expression": e}} for e in kind.device_selectors]
    request = {"name": names.CLAIM_ACCELERATOR, "exactly": exactly}
    spec = {"spec": {"devices": {"requests": [request]}}}
    meta = metadata(service)
    meta["name"] = f"{service.metadata.name}-{digest(spec)[:REVISION_DIGITS]}"
    return {
        "apiVersion": "resource.k8s.io/v1",
        "kind": KIND,
        "metadata": meta,
        "spec": spec,
    }
