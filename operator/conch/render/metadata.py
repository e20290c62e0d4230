"""What every child has: labels, an owner, and a hash of what was applied.

The hash tells "we want something else now" apart from "somebody changed it", also for fields that
disappeared from what we want.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from conch.api import names, v1alpha1
from conch.kube.views import Object

REVISION_DIGITS = 10


def metadata(service: v1alpha1.InferenceService, labels: Mapping[str, str] | None = None) -> Object:
    """Metadata of a child: it has the service's own name and goes when the service goes."""
    return {
        "name": service.metadata.name,
        "namespace": service.metadata.namespace,
        "labels": {**names.service_labels(service.metadata.name), **(labels or {})},
        "ownerReferences": [
            {
                "apiVersion": names.API_VERSION,
                "kind": names.INFERENCE_SERVICE,
                "name": service.metadata.name,
                "uid": service.metadata.uid,
                "controller": True,
                "blockOwnerDeletion": True,
            }
        ],
    }


def sealed(child: Object) -> Object:
    """``child`` with the annotation that holds its own digest."""
    annotations = {
        **child["metadata"].get("annotations", {}),
        names.ANNOTATION_APPLIED: digest(child),
    }
    return {**child, "metadata": {**child["metadata"], "annotations": annotations}}


def digest(child: Object) -> str:
    """SHA-256 (hex, 16 digits) of an object, not counting the annotation that stores it."""
    return _hash(without_digest(child), 16)


def without_digest(child: Object) -> Object:
    """``child`` without the annotation that stores its digest."""
    meta = dict(child.get("metadata", {}))
    annotations = {
        k: v for k, v in meta.pop("annotations", {}).items() if k != names.ANNOTATION_APPLIED
    }
    if annotations:
        meta["annotations"] = annotations
    return {**child, "metadata": meta}


def revision(deployment: Object) -> str:
    """Short hash of the pod template: pods of one revision run the same thing."""
    return _hash(deployment["spec"]["template"], REVISION_DIGITS)


def _hash(value: object, digits: int) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:digits]
