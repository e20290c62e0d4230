"""``status`` of an InferenceService: what Conch sees and decided, with the numbers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from conch.api.fields import ATOMIC, TIME, ApiModel, list_map


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


class NodesStatus(ApiModel):
    """The nodes that the service's replicas are bound to."""

    count: int = Field(description="How many there are.")
    names: Annotated[list[str], Field(max_length=16)] = Field(
        description="Their names in order, the first 16.", json_schema_extra=ATOMIC
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
    min_replicas: int | None = Field(
        None, description="Never fewer here: placement.minReplicasPerSite or siteMinReplicas."
    )
    held: bool | None = Field(
        None, description="Whether that many are here; pods that are out of reach count."
    )


class ZoneStatus(ApiModel):
    """The service's pods in one zone."""

    name: str = Field(
        description="The zone: value of its nodes' label topology.kubernetes.io/zone, or none."
    )
    replicas: int = Field(description="Pods that are bound to its nodes.")
    ready_replicas: int = Field(description="Pods there whose models are loaded.")


class PartStatus(ApiModel):
    """The service's pods on one accelerator class."""

    accelerator: str = Field(description="The class.")
    replicas: int = Field(description="Pods that exist.")
    ready_replicas: int = Field(description="Pods whose models are loaded.")


class CapacityStatus(ApiModel):
    """What one replica carries on one accelerator class."""

    accelerator: str = Field(description="The class.")
    per_replica: str = Field(
        description=(
            "Requests per second inside the objective; 0/s: not even one request is in time."
        )
    )
    estimated: bool | None = Field(
        None,
        description=(
            "True where it never ran: from what it does on its class, and how the GPUs compare."
        ),
    )


class LeftAloneStatus(ApiModel):
    """A class to which a move for a gain has failed."""

    accelerator: str = Field(description="The class.")
    until: str = Field(description="The service is not moved there before.")


class MovesStatus(ApiModel):
    """Moves for a gain: what a new operator has to know of them."""

    last: str | None = Field(None, description="When the service set out for a better class last.")
    left_alone: Annotated[list[LeftAloneStatus], Field(max_length=8)] | None = Field(
        None,
        description="Classes on which a move failed.",
        json_schema_extra=list_map("accelerator"),
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
    parts: list[PartStatus] | None = Field(
        None,
        description="Its pods per class; only while they are on several.",
        json_schema_extra=list_map("accelerator"),
    )
    nodes: NodesStatus | None = Field(None, description="Nodes that the replicas are bound to.")
    sites: list[SiteStatus] | None = Field(
        None,
        description="Its pods per site; only with placement.sites.",
        json_schema_extra=list_map("name"),
    )
    zones: Annotated[list[ZoneStatus], Field(max_length=32)] | None = Field(
        None,
        description="Its pods per zone; only where nodes have zones.",
        json_schema_extra=list_map("name"),
    )
    gpu_memory: str | None = Field(
        None,
        description="Memory that its servers were measured to take of one accelerator, at most.",
    )
    moves: MovesStatus | None = Field(
        None, description="Its moves for a gain; only of a service that was moved."
    )
    revision: str | None = Field(None, description="Hash of the pod template being served.")
    address: ModelAddress | None = Field(None, description="Where clients reach the service.")
    latency: LatencyStatus | None = Field(None, description="Latency as measured.")
    cost: CostStatus | None = Field(
        None, description="What it costs, draws and emits, as far as that is known."
    )
    decision: ScalingDecision | None = Field(None, description="Last scaling decision.")
    capacities: list[CapacityStatus] | None = Field(
        None,
        description="What a replica carries per class it may use, as far as known; at most 16.",
        json_schema_extra=list_map("accelerator"),
    )
    schedule: ScheduleStatus | None = Field(
        None, description="Schedules that hold now; only with scaling.schedules."
    )
