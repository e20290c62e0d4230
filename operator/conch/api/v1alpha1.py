"""What users write and read: InferenceService, TritonRuntime, AcceleratorClass (v1alpha1).

These models are the one source of the CRDs (``conch crds``), of the API reference and of parsing.
A field exists here only if Conch acts on it. Defaults are part of the API and never change within a
version. Cross-field rules are CEL, so that the API server refuses what cannot work.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from conch.api.accelerator_class import AcceleratorClass as AcceleratorClass
from conch.api.accelerator_class import AcceleratorClassSpec as AcceleratorClassSpec
from conch.api.fields import (
    ATOMIC,
    SET,
    TIME,
    ApiModel,
    ClassName,
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

# --- InferenceService -------------------------------------------------------------------------


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


class Idle(ApiModel):
    """When a service that nobody asks anything may have no replica at all."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "duration(self.toZeroAfter) >= duration('10s') "
                "&& duration(self.toZeroAfter) <= duration('720h')",
                "scaling.idle.toZeroAfter: must be 10s to 720h, e.g. 15m",
            )
        )
    )

    to_zero_after: Duration = Field(
        description=(
            "Time without a single request after which the last replica goes. The activator then "
            "holds what arrives until a replica is there again."
        )
    )


class Schedule(ApiModel):
    """Other limits of the number of replicas, at times that are known beforehand."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "duration(self.duration) >= duration('1m') "
                "&& duration(self.duration) <= duration('168h')",
                "scaling.schedules.duration: must be 1m to 168h, e.g. 3h",
            ),
            cel(
                "!has(self.maxReplicas) || self.minReplicas <= self.maxReplicas",
                "scaling.schedules.minReplicas: must not exceed the schedule's maxReplicas",
            ),
        )
    )

    name: ClassName = Field(description="What the schedule is called in the status.")
    cron: Annotated[
        str, Field(pattern=r"^[-0-9A-Za-z*,/#]+( [-0-9A-Za-z*,/#]+){4}$", max_length=128)
    ] = Field(
        description=(
            "When it starts: minute, hour, day of month, month, day of week, e.g. 0 7 * * 1-5. "
            "A time that the clock skips comes right after, one that it shows twice the first time."
        )
    )
    timezone: Annotated[
        str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}$", max_length=64)
    ] = Field("UTC", description="Time zone of the cron expression, e.g. Europe/Berlin.")
    duration: Duration = Field(
        description="How long it lasts from each start, e.g. 3h; also across midnight."
    )
    min_replicas: Annotated[int, Field(ge=0, le=1000)] = Field(
        description="Never fewer while it is active; never lowers scaling.minReplicas."
    )
    max_replicas: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        None,
        description=(
            "Never more while it is active, in place of scaling.maxReplicas; of several active "
            "schedules the largest counts."
        ),
    )


class Scaling(ApiModel):
    """How the number of replicas is chosen."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "self.minReplicas <= self.maxReplicas",
                "scaling.minReplicas: must not exceed scaling.maxReplicas",
            ),
            cel(
                "self.mode != 'Latency' || !has(self.replicas)",
                "scaling.replicas: Conch chooses it in mode Latency; remove it, "
                "or set scaling.mode to Fixed or External",
            ),
            cel(
                "self.mode != 'Fixed' || has(self.replicas)",
                "scaling.replicas: required in mode Fixed",
            ),
            # Without it every read of /scale fails, and no autoscaler can start.
            cel(
                "self.mode != 'External' || has(self.replicas)",
                "scaling.replicas: required in mode External, as the number to start with; "
                "whoever writes /scale changes it from then on",
            ),
            cel(
                "self.mode != 'Latency' || self.minReplicas >= 1 || has(self.idle)",
                "scaling.minReplicas: 0 needs scaling.idle in mode Latency, "
                "e.g. idle: {toZeroAfter: 15m}; or set it to 1 or more",
            ),
            cel(
                "!has(self.idle) || (self.mode == 'Latency' && self.minReplicas == 0)",
                "scaling.idle: only for mode Latency with scaling.minReplicas: 0; "
                "set minReplicas to 0, or remove idle",
            ),
            cel(
                "!has(self.schedules) || self.mode != 'Fixed'",
                "scaling.schedules: not for mode Fixed; remove them, "
                "or set scaling.mode to Latency or External",
            ),
            cel(
                "!has(self.schedules) || self.schedules.all(s, has(s.maxReplicas) "
                "? s.maxReplicas >= self.minReplicas : s.minReplicas <= self.maxReplicas)",
                "scaling.schedules: every minReplicas must fit below scaling.maxReplicas or the "
                "schedule's own, and every maxReplicas above scaling.minReplicas",
            ),
        )
    )

    mode: Literal["Latency", "External", "Fixed"] = Field(
        "Latency",
        description=(
            "Latency: Conch holds the objective. External: whoever writes /scale decides (HPA, "
            "KEDA, kubectl scale), within min and max. Fixed: scaling.replicas, always."
        ),
    )
    replicas: Annotated[int, Field(ge=0, le=1000)] | None = Field(
        None,
        description=(
            "The number in mode Fixed; the number to start with in mode External, then written "
            "through /scale; not for mode Latency."
        ),
    )
    min_replicas: Annotated[int, Field(ge=0, le=1000)] = Field(
        1, description="Never fewer (Latency, External)."
    )
    max_replicas: Annotated[int, Field(ge=1, le=1000)] = Field(
        10, description="Never more (Latency, External)."
    )
    idle: Idle | None = Field(
        None, description="Whether, and when, an idle service goes to zero (Latency, min 0)."
    )
    schedules: Annotated[list[Schedule], Field(max_length=32)] | None = Field(
        None,
        description="Other limits at certain times, such as more replicas on weekday mornings.",
        json_schema_extra=list_map("name"),
    )


class InferenceServiceSpec(ApiModel):
    """Which models, how fast, and what they may run on."""

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


class ModelAddress(ApiModel):
    """Where clients reach the service inside the cluster."""

    http: str = Field(description="URL of the HTTP endpoint.")
    grpc: str = Field(description="host:port of the gRPC endpoint.")


class ScalingDecision(ApiModel):
    """The last decision of the autoscaler, with the numbers it was made from."""

    replicas: int = Field(description="Replicas wanted.")
    reason: str = Field(description="Why, as one CamelCase word.")
    message: str = Field(description="Why, as a sentence with the numbers.")
    demand: str | None = Field(None, description="Requests per second that arrive now.")
    bound: str | None = Field(
        None, description="Requests per second to be ready for within the start-up time."
    )
    capacity_per_replica: str | None = Field(
        None, description="Requests per second one replica carries inside the objective."
    )
    horizon: str | None = Field(None, description="Measured start-up time of a replica.")


class ScheduleStatus(ApiModel):
    """Which schedules hold now, and which is next."""

    active: list[str] | None = Field(
        None, description="Schedules that are active.", json_schema_extra=ATOMIC
    )
    min_replicas: int = Field(description="Never fewer now.")
    max_replicas: int = Field(description="Never more now.")
    until: str | None = Field(None, description="When the first of the active ones ends.")
    next: str | None = Field(None, description="The schedule that starts next.")
    next_start: str | None = Field(None, description="When it starts.")


class LatencyStatus(ApiModel):
    """What the servers measured lately."""

    observed: str = Field(description="Estimated latency at the objective's percentile.")
    target: str = Field(description="The objective's target, as specified.")


class CostStatus(ApiModel):
    """What the service spends: money for its accelerators, their energy, and its carbon."""

    per_hour: str | None = Field(
        None, description="US dollars per hour for the accelerators that replicas hold."
    )
    per_million_inferences: str | None = Field(
        None, description="US dollars per million inferences of the last ten minutes."
    )
    power: str | None = Field(None, description="Power that those accelerators draw.")
    energy_per_inference: str | None = Field(
        None, description="Joules per inference of the last ten minutes, idle power included."
    )
    carbon_per_hour: str | None = Field(
        None, description="Grams of CO2 equivalent per hour, with what the site adds (PUE)."
    )
    carbon_per_million_inferences: str | None = Field(
        None, description="Grams of CO2 equivalent per million inferences."
    )
    carbon_kind: Literal["Average", "Marginal"] | None = Field(
        None, description="Which intensity of the grid the carbon figures are made of."
    )
    estimated: bool | None = Field(
        None, description="Whether no meter tells the power and it is modelled from utilisation."
    )


class SiteStatus(ApiModel):
    """The service's pods at one site."""

    name: str = Field(description="The site: value of its nodes' label conch.dev/site.")
    replicas: int = Field(description="Pods that are bound to its nodes.")
    ready_replicas: int = Field(description="Pods there whose models are loaded, as last heard.")
    connected: bool | None = Field(
        None,
        description=(
            "Whether a node of these pods reports to the API server; they serve on without. "
            "Absent without pods."
        ),
    )


class InferenceServiceStatus(ApiModel):
    """What Conch sees and decided."""

    observed_generation: int | None = Field(
        None, description="Generation of the spec this status is about."
    )
    conditions: list[ConditionStatus] | None = Field(
        None,
        description="Ready, Reconciling, Stalled and one condition per step.",
        json_schema_extra=list_map("type"),
    )
    replicas: int | None = Field(None, description="Pods that exist.")
    ready_replicas: int | None = Field(None, description="Pods whose models are loaded.")
    desired_replicas: int | None = Field(None, description="Pods that are wanted.")
    selector: str | None = Field(None, description="Label selector of the pods, for /scale.")
    accelerator: str | None = Field(None, description="Accelerator class that was chosen.")
    sites: list[SiteStatus] | None = Field(
        None,
        description="Its pods per site; only with placement.sites.",
        json_schema_extra=list_map("name"),
    )
    revision: str | None = Field(None, description="Hash of the pod template being served.")
    address: ModelAddress | None = Field(None, description="Where clients reach the service.")
    latency: LatencyStatus | None = Field(None, description="Latency as measured.")
    cost: CostStatus | None = Field(
        None, description="What it costs, draws and emits, as far as that is known."
    )
    decision: ScalingDecision | None = Field(None, description="Last scaling decision.")
    schedule: ScheduleStatus | None = Field(
        None, description="Schedules that hold now; only with scaling.schedules."
    )


class ConditionStatus(ApiModel):
    """A standard Kubernetes condition."""

    type: Annotated[str, Field(max_length=63)] = Field(description="What is reported on.")
    status: Literal["True", "False", "Unknown"] = Field(description="True, False or Unknown.")
    reason: Annotated[str, Field(min_length=1, max_length=128)] = Field(
        description="Why, as one CamelCase word."
    )
    message: Annotated[str, Field(max_length=1024)] = Field(
        description="Why, with numbers and the next step."
    )
    observed_generation: int | None = Field(None, description="Generation this was computed for.")
    # A pattern, not `format: date-time`: the API server (1.36) takes [] for a string with it.
    last_transition_time: Annotated[str, Field(pattern=TIME, max_length=35)] = Field(
        description="When the status last changed."
    )


class InferenceService(ApiModel):
    """Models served on Triton to a latency objective."""

    metadata: ObjectMeta
    spec: InferenceServiceSpec
    status: InferenceServiceStatus = InferenceServiceStatus()


# --- TritonRuntime ----------------------------------------------------------------------------


class RuntimeSecurity(ApiModel):
    """The user Triton runs as; the rest of the security context is always `restricted`."""

    run_as_user: Annotated[int, Field(ge=1, le=2**31 - 1)] = Field(
        1000, description="User id, never 0."
    )
    fs_group: Annotated[int, Field(ge=1, le=2**31 - 1)] = Field(
        1000, description="Group of the volumes."
    )


class RuntimeResources(ApiModel):
    """Host resources of one replica when a service names none."""

    cpu: Quantity = Field("1", description="CPU request.")
    memory: Quantity = Field("4Gi", description="Memory request and limit.")
    shared_memory: Quantity = Field("1Gi", description="Size of /dev/shm, on top of memory.")


class TritonRuntimeSpec(ApiModel):
    """A Triton image and how to run it."""

    image: Annotated[
        str, Field(pattern=r"^[A-Za-z0-9][-A-Za-z0-9._:/@]*$", min_length=1, max_length=512)
    ] = Field(description="Image of tritonserver, best with a digest.")
    release: Annotated[str, Field(pattern=r"^[0-9]{2}\.[0-9]{2}$")] = Field(
        description="NVIDIA release of the image, e.g. 24.10: decides which flags it knows."
    )
    image_pull_policy: Literal["Always", "IfNotPresent", "Never"] = Field(
        "IfNotPresent", description="As in a PodSpec."
    )
    image_pull_secrets: Annotated[list[ObjectName], Field(max_length=8)] | None = Field(
        None,
        description="Secrets in the service's namespace to pull the image with.",
        json_schema_extra=SET,
    )
    min_compute_capability: Annotated[str, Field(pattern=r"^[0-9]{1,2}\.[0-9]$")] | None = Field(
        None, description="Oldest GPU the image supports, e.g. 7.5; omitted: known per release."
    )
    backend_directory: Annotated[str, Field(pattern=r"^/[!-~]*$", max_length=256)] | None = Field(
        None, description="Where the image keeps its backends, if not where Triton looks."
    )
    default: bool = Field(False, description="Used by services that name no runtime.")
    resources: RuntimeResources = Field(
        RuntimeResources(), description="Host resources when a service names none."
    )
    security: RuntimeSecurity = Field(RuntimeSecurity(), description="User and group ids.")


class TritonRuntime(ApiModel):
    """A Triton image and how to run it."""

    metadata: ObjectMeta
    spec: TritonRuntimeSpec


InferenceServiceStatus.model_rebuild()
InferenceService.model_rebuild()
