"""The kinds as Kubernetes and kubectl see them: everything of a CRD that is not its schema."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from conch.api import names
from conch.api.fields import cel
from conch.api.v1alpha1 import AcceleratorClass, InferenceService, TritonRuntime


@dataclass(frozen=True, slots=True)
class Column:
    """A printer column; priority 0 is always shown, 1 with ``-o wide``."""

    name: str
    type: Literal["string", "integer", "boolean", "date"]
    json_path: str
    description: str
    priority: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """One kind."""

    kind: str
    plural: str
    short_names: tuple[str, ...]
    scope: Literal["Namespaced", "Cluster"]
    model: type[InferenceService] | type[TritonRuntime] | type[AcceleratorClass]
    columns: tuple[Column, ...]
    root_rules: tuple[dict[str, str], ...] = ()
    status: bool = False
    scale: dict[str, str] | None = None


def _ready(field: str) -> str:
    return f'.status.conditions[?(@.type=="Ready")].{field}'


KINDS = (
    Kind(
        kind=names.INFERENCE_SERVICE,
        plural="inferenceservices",
        short_names=("infs",),
        scope="Namespaced",
        model=InferenceService,
        status=True,
        scale={
            "specReplicasPath": ".spec.scaling.replicas",
            "statusReplicasPath": ".status.replicas",
            "labelSelectorPath": ".status.selector",
        },
        root_rules=(
            cel(
                f"size(self.metadata.name) <= {names.MAX_SERVICE_NAME} "
                "&& self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
                "metadata.name: it names a Service too, so it must start with a letter, hold only "
                f"a-z, 0-9 and -, and be at most {names.MAX_SERVICE_NAME} characters",
            ),
        ),
        columns=(
            Column("Ready", "string", _ready("status"), "Whether the service answers."),
            Column("Reason", "string", _ready("reason"), "Why it is ready or not."),
            Column("Replicas", "integer", ".status.readyReplicas", "Pods with loaded models."),
            Column("P99", "string", ".status.latency.observed", "Latency as measured."),
            Column("Target", "string", ".spec.objectives.latency.target", "The latency objective."),
            Column("Accelerator", "string", ".status.accelerator", "Accelerator class chosen."),
            Column("Age", "date", ".metadata.creationTimestamp", "Age of the service."),
            Column("Wanted", "integer", ".status.desiredReplicas", "Pods wanted.", 1),
            Column("URL", "string", ".status.address.http", "HTTP endpoint.", 1),
            Column("Revision", "string", ".status.revision", "Revision being served.", 1),
            Column("Cost/h", "string", ".status.cost.perHour", "US dollars per hour.", 1),
            Column("Message", "string", _ready("message"), "Why, in a sentence.", 1),
        ),
    ),
    Kind(
        kind=names.TRITON_RUNTIME,
        plural="tritonruntimes",
        short_names=("trt",),
        scope="Cluster",
        model=TritonRuntime,
        columns=(
            Column("Release", "string", ".spec.release", "NVIDIA release."),
            Column("Image", "string", ".spec.image", "Image of tritonserver."),
            Column("Default", "boolean", ".spec.default", "Used when none is named."),
            Column("Age", "date", ".metadata.creationTimestamp", "Age of the runtime."),
        ),
    ),
    Kind(
        kind=names.ACCELERATOR_CLASS,
        plural="acceleratorclasses",
        short_names=("accel",),
        scope="Cluster",
        model=AcceleratorClass,
        root_rules=(
            cel(
                "size(self.metadata.name) <= 63",
                "metadata.name: it becomes a label of pods, so it must be at most 63 characters",
            ),
        ),
        columns=(
            Column("Resource", "string", ".spec.resourceName", "Extended resource."),
            Column("Memory", "string", ".spec.memory", "Memory of one unit."),
            Column("CC", "string", ".spec.computeCapability", "CUDA compute capability."),
            Column("Age", "date", ".metadata.creationTimestamp", "Age of the class."),
        ),
    ),
)
