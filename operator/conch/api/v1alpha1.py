"""What users write and read: InferenceService, TritonRuntime, AcceleratorClass (v1alpha1).

These models are the one source of the CRDs (``conch crds``), of the API reference and of parsing.
Placement, scaling, the status and the other kinds have files of their own beside this one. A field
exists here only if Conch acts on it. Defaults are part of the API and never change within a
version. Cross-field rules are CEL, so that the API server refuses what cannot work.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from conch.api.accelerator_class import AcceleratorClass as AcceleratorClass
from conch.api.accelerator_class import AcceleratorClassSpec as AcceleratorClassSpec
from conch.api.fields import (
    SET,
    ApiModel,
    Duration,
    ModelUri,
    ObjectName,
    cel,
    list_map,
    rules,
)
from conch.api.fields import ObjectMeta as ObjectMeta
from conch.api.fields import Quantity as Quantity
from conch.api.placement import Accelerators as Accelerators
from conch.api.placement import Placement as Placement
from conch.api.placement import Toleration as Toleration
from conch.api.scaling import CarbonCeiling as CarbonCeiling
from conch.api.scaling import Scaling as Scaling
from conch.api.scaling import Schedule as Schedule
from conch.api.status import InferenceServiceStatus
from conch.api.triton_runtime import RuntimeResources as RuntimeResources
from conch.api.triton_runtime import RuntimeSecurity as RuntimeSecurity
from conch.api.triton_runtime import TritonRuntime as TritonRuntime
from conch.api.triton_runtime import TritonRuntimeSpec as TritonRuntimeSpec


class SecretRef(ApiModel):
    """A Secret in the InferenceService's own namespace."""

    name: ObjectName = Field(description="Name of the Secret.")


class ModelSource(ApiModel):
    """Where a model's Triton directory (config.pbtxt and numbered versions) is stored."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "!has(self.secretRef) || self.uri.startsWith('s3://') "
                "|| self.uri.startsWith('https://')",
                "source.secretRef: only s3:// and https:// take credentials; remove secretRef",
            )
        )
    )

    uri: ModelUri = Field(
        description=(
            "s3://bucket/prefix, https://host/model.tar.gz (tar, tar.gz or zip), "
            "pvc://claim/path (a PersistentVolumeClaim of this namespace), or image:///path "
            "(a directory baked into the runtime's image)."
        ),
    )
    secret_ref: SecretRef | None = Field(
        None,
        description=(
            "Credentials for s3 (accessKeyId, secretAccessKey, optional sessionToken, region, "
            "endpoint) or https (bearerToken, or username and password). Mounted as a file, read "
            "only by the init container that downloads."
        ),
    )
    digest: Annotated[str, Field(pattern=r"^sha256:[0-9a-f]{64}$")] | None = Field(
        None,
        description=(
            "Content digest the download must have: of the archive for https, of the sorted "
            "file list (conch digest DIR) otherwise. A mismatch never serves."
        ),
    )


class DynamicBatching(ApiModel):
    """Triton's dynamic batcher."""

    max_queue_delay: Duration | None = Field(
        None, description="How long a request may wait for company, e.g. 2ms."
    )
    preferred_batch_sizes: (
        Annotated[list[Annotated[int, Field(ge=1, le=4096)]], Field(max_length=16)] | None
    ) = Field(
        None,
        description="Batch sizes the batcher tries to form; usually best left unset.",
        json_schema_extra=SET,
    )


class ModelConfig(ApiModel):
    """Typed overrides, merged over the model's own config.pbtxt when it is staged."""

    max_batch_size: Annotated[int, Field(ge=0, le=4096)] | None = Field(
        None, description="Largest batch Triton forms; 0 switches batching off."
    )
    dynamic_batching: DynamicBatching | None = Field(
        None, description="Switches the dynamic batcher on, with these settings."
    )
    instances: Annotated[int, Field(ge=1, le=64)] | None = Field(
        None, description="Copies of the model on each accelerator that run at the same time."
    )


class Model(ApiModel):
    """One model of the service."""

    name: Annotated[
        str,
        Field(
            pattern=r"^[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?$",
            min_length=1,
            max_length=63,
            description="The name clients use in /v2/models/NAME/infer.",
        ),
    ]
    source: ModelSource = Field(description="Where the model is stored.")
    config: ModelConfig | None = Field(None, description="Overrides of the model's config.pbtxt.")


class LatencyObjective(ApiModel):
    """The promise: this percentile of requests is answered within the target."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "duration(self.target) > duration('0s') && duration(self.target) <= duration('1h')",
                "objectives.latency.target: must be more than zero and at most 1h, e.g. 100ms",
            )
        )
    )

    percentile: Annotated[float, Field(gt=0, lt=100)] = Field(
        99.0, description="Share of requests, in percent, that must meet the target."
    )
    target: Duration = Field(
        description="Time from a request's arrival at Triton to its answer, e.g. 100ms."
    )
    reject_late: bool = Field(
        False,
        description=(
            "Refuse a request at once when it has waited so long that its answer would be late: "
            "Triton's queue policy, set from the target and the measured service time. Clients "
            "must expect errors under overload; far fewer requests are late then, and fewer "
            "replicas do. Changing it restarts the servers, one after another. Switches the "
            "dynamic batcher on; not possible with sequence batching."
        ),
    )


class Objectives(ApiModel):
    """What the service promises."""

    latency: LatencyObjective = Field(description="The latency objective that drives capacity.")


class Resources(ApiModel):
    """Host resources of one replica; what is omitted comes from the TritonRuntime."""

    cpu: Quantity | None = Field(None, description="CPU request, e.g. 2 or 500m; never a limit.")
    memory: Quantity | None = Field(
        None, description="Memory request and limit of the server, without shared memory."
    )
    shared_memory: Quantity | None = Field(
        None, description="Size of /dev/shm, on top of memory; the Python backend needs it."
    )


# For the rules of each site's own minimum.
_NO_SITES = (
    "!has(self.placement.sites) || "
    "!has(self.placement.minReplicasPerSite) && !has(self.placement.siteMinReplicas)"
)
_EACH = "(has(self.placement.minReplicasPerSite) ? self.placement.minReplicasPerSite : 0)"
_OWN = "self.placement.siteMinReplicas"
_OF_SITES = (
    f"(has({_OWN}) ? {_EACH} * (size(self.placement.sites) - size({_OWN})) + "
    f"{_OWN}.map(site, {_OWN}[site]).sum() : {_EACH} * size(self.placement.sites))"
)


class InferenceServiceSpec(ApiModel):
    """Which models, how fast, and what they may run on."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                f"{_NO_SITES} || self.scaling.mode == 'Fixed' || {_OF_SITES} "
                "<= self.scaling.maxReplicas && (!has(self.scaling.schedules) || "
                "self.scaling.schedules.all(s, !has(s.maxReplicas) || "
                f"{_OF_SITES} <= s.maxReplicas))",
                "placement.minReplicasPerSite, siteMinReplicas: all sites together must not exceed "
                "scaling.maxReplicas, nor that of a schedule",
            ),
            cel(
                f"{_NO_SITES} || self.scaling.mode != 'Fixed' || !has(self.scaling.replicas) || "
                f"{_OF_SITES} <= self.scaling.replicas",
                "placement.minReplicasPerSite, siteMinReplicas: all sites together must not exceed "
                "scaling.replicas",
            ),
            cel(
                f"{_NO_SITES} || !has(self.scaling.idle)",
                "placement.minReplicasPerSite, siteMinReplicas: not for a service that may go to "
                "zero; remove it, or scaling.idle",
            ),
        )
    )

    models: Annotated[list[Model], Field(min_length=1, max_length=64)] = Field(
        description="The models; one Triton server per replica serves them all.",
        json_schema_extra=list_map("name"),
    )
    runtime: ObjectName | None = Field(
        None, description="The TritonRuntime to use; omitted: the cluster's default."
    )
    objectives: Objectives = Field(description="What the service promises.")
    placement: Placement = Field(Placement(), description="Where replicas may run.")
    resources: Resources = Field(Resources(), description="Host resources of one replica.")
    scaling: Scaling = Field(Scaling(), description="How the number of replicas is chosen.")
    paused: bool = Field(
        False, description="Conch changes nothing while true; what serves keeps serving."
    )


class InferenceService(ApiModel):
    """Models served on Triton to a latency objective."""

    metadata: ObjectMeta
    spec: InferenceServiceSpec
    status: InferenceServiceStatus = InferenceServiceStatus()
