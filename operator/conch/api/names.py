"""Every name Conch writes into a cluster: group, labels, annotations, field managers, child names.

One home, so that a selector and the object it selects can never disagree.
"""

from __future__ import annotations

import hashlib
import re
from typing import Final

GROUP: Final = "conch.dev"
VERSION: Final = "v1alpha1"
API_VERSION: Final = f"{GROUP}/{VERSION}"

INFERENCE_SERVICE: Final = "InferenceService"
TRITON_RUNTIME: Final = "TritonRuntime"
ACCELERATOR_CLASS: Final = "AcceleratorClass"

# Labels on everything a service owns.
LABEL_SERVICE: Final = f"{GROUP}/service"
LABEL_ACCELERATOR: Final = f"{GROUP}/accelerator"
LABEL_MANAGED_BY: Final = "app.kubernetes.io/managed-by"
LABEL_NAME: Final = "app.kubernetes.io/name"
LABEL_INSTANCE: Final = "app.kubernetes.io/instance"
LABEL_PART_OF: Final = "app.kubernetes.io/part-of"
MANAGED_BY: Final = "conch"
MANAGED_SELECTOR: Final = f"{LABEL_MANAGED_BY}={MANAGED_BY}"

# To zero and back: docs/design/003-activator.md. The label marks what belongs to services that may
# go to zero (Kubernetes copies it from the Service to the EndpointSlices it makes), and, in the
# operator's own namespace, the activator's pods.
LABEL_TO_ZERO: Final = f"{GROUP}/to-zero"
LABEL_ACTIVATOR: Final = f"{GROUP}/activator"
LABEL_SLICE_SERVICE: Final = "kubernetes.io/service-name"
LABEL_SLICE_MANAGER: Final = "endpointslice.kubernetes.io/managed-by"
SLICE_MANAGER: Final = GROUP
ANNOTATION_MODELS: Final = f"{GROUP}/models"  # on our EndpointSlice: names, comma-separated
ANNOTATION_HOLD_S: Final = f"{GROUP}/hold-seconds"  # on our EndpointSlice

# On the pods of a service's further Deployments, which is theirs: that of the replicas that must
# not be on spot, or of those on another accelerator class (``part_on``).
LABEL_PART: Final = f"{GROUP}/capacity"
ON_DEMAND: Final = "on-demand"

LABEL_ARCH: Final = "kubernetes.io/arch"  # on nodes, by the kubelet
LABEL_DRIVER: Final = "nvidia.com/cuda.driver-version.major"  # on nodes, by GPU Feature Discovery
# On nodes, by people: the site a node is at. On Deployments: the LocalQueue of Kueue for its pods.
LABEL_SITE: Final = f"{GROUP}/site"
LABEL_ZONE: Final = "topology.kubernetes.io/zone"  # on nodes, as the next
LABEL_REGION: Final = "topology.kubernetes.io/region"
LABEL_QUEUE: Final = "kueue.x-k8s.io/queue-name"

LEADER_LEASE: Final = "conch-leader"  # in the operator's namespace; its holder decides

# Bookkeeping on children; never read from what a user wrote.
ANNOTATION_APPLIED: Final = f"{GROUP}/applied"  # hash of what we last applied
# On the Deployment: the queue limit of its servers, for which target, and since when.
ANNOTATION_QUEUE_LIMIT: Final = f"{GROUP}/queue-limit"

# Server-side apply field managers: one per concern, so that `replicas` has one owner.
MANAGER_WORKLOAD: Final = "conch"
MANAGER_SCALER: Final = "conch-scaler"
MANAGER_STATUS: Final = "conch-status"
MANAGER_MEMORY: Final = "conch-memory"

# Triton's ports, by the names used in Services and probes.
PORT_HTTP: Final = 8000
PORT_GRPC: Final = 8001
PORT_METRICS: Final = 8002

# The activator's own port: probes, metrics, and what it tells the operator.
PORT_ACTIVATOR: Final = 9091

CLAIM_ACCELERATOR: Final = "accelerator"  # in pods whose accelerators are claimed
CONTAINER_TRITON: Final = "triton"
CONTAINER_FETCH: Final = "fetch"
CONTAINER_BAKE: Final = "bake-"  # and a number: one per model that lies in the runtime's image
MODEL_REPOSITORY: Final = "/models"

# The longest InferenceService name: pod names add a ReplicaSet hash and a suffix, labels hold 63.
MAX_SERVICE_NAME: Final = 46
MAX_LABEL_VALUE: Final = 63


def service_labels(name: str) -> dict[str, str]:
    """The labels that every child of the InferenceService ``name`` carries."""
    return {
        LABEL_SERVICE: name,
        LABEL_NAME: "triton",
        LABEL_INSTANCE: name,
        LABEL_PART_OF: "conch",
        LABEL_MANAGED_BY: MANAGED_BY,
    }


def selector_labels(name: str) -> dict[str, str]:
    """The labels a child's selector matches: the smallest set that never changes."""
    return {LABEL_SERVICE: name}


def part_on(class_name: str) -> str:
    """The part of a service's replicas that is on a class beside the service's own."""
    plain = f"on-{class_name}"
    if plain != ON_DEMAND and "." not in plain and len(plain) <= MAX_LABEL_VALUE:
        return plain
    return f"on-{hashlib.sha256(class_name.encode()).hexdigest()[:10]}"


def part_at(site: str) -> str:
    """The part of a service's replicas that is held at a site which has a minimum of its own."""
    plain = f"at-{site}"
    if re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", plain) and len(plain) <= MAX_LABEL_VALUE:
        return plain
    return f"at-{hashlib.sha256(site.encode()).hexdigest()[:10]}"


def part_name(name: str, part: str) -> str:
    """The Deployment of a part of a service."""
    return f"{name}-{part}"


def bases_of(deployment: str) -> tuple[str, ...]:
    """Services that may have a Deployment of that name, if it is a part's."""
    return tuple(deployment[: found.start()] for found in re.finditer("-(?:on|at)-", deployment))


def selector_string(name: str) -> str:
    """The selector of the ``/scale`` subresource."""
    return f"{LABEL_SERVICE}={name}"
