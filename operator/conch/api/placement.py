"""``spec.placement`` of an InferenceService: which nodes and accelerators may serve it.

An allowlist: what is here, ``render.placement`` writes into pods or the planner goes by.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field

from conch.api.fields import (
    ATOMIC,
    SET,
    ApiModel,
    ClassName,
    LabelKey,
    LabelMap,
    LabelValue,
    LabelValueNotEmpty,
    ObjectName,
    Quantity,
    cel,
    rules,
)

CapacityType = Literal["Spot", "OnDemand"]
SiteName = LabelValueNotEmpty


class Accelerators(ApiModel):
    """Which accelerators may serve, in order of preference."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "self.allowCPU || self.count >= 1",
                "placement.accelerators.count: must be 1 or more unless allowCPU is true",
            )
        )
    )

    classes: Annotated[list[ClassName], Field(max_length=32)] | None = Field(
        None,
        description=(
            "AcceleratorClasses (declared, or discovered from node labels), best first. "
            "Omitted: whatever fits, best by optimise first."
        ),
        json_schema_extra=ATOMIC,
    )
    count: Annotated[int, Field(ge=0, le=16)] = Field(
        1, description="Accelerators per replica, all on one node."
    )
    min_memory: Quantity | None = Field(
        None, description="Memory one accelerator must have, e.g. 12Gi."
    )
    allow_cpu: bool = Field(
        False,
        alias="allowCPU",
        description="Also allow nodes without an accelerator, when no class has room.",
    )


class Toleration(ApiModel):
    """A taint the pods tolerate, as in a PodSpec."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "self.operator == 'Equal' || !has(self.value)",
                "tolerations.value: operator Exists takes no value; remove one of the two",
            ),
            cel(
                "self.operator == 'Exists' || has(self.key)",
                "tolerations.key: required with operator Equal",
            ),
        )
    )

    key: LabelKey | None = Field(None, description="Taint key; omitted with Exists: every taint.")
    operator: Literal["Exists", "Equal"] = Field("Equal", description="Exists or Equal.")
    value: LabelValue | None = Field(None, description="Taint value.")
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = Field(
        None, description="Effect; omitted matches all."
    )


class Placement(ApiModel):
    """Where replicas may run. An allowlist of choices, never a raw PodSpec."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "!has(self.capacityTypes) || size(self.capacityTypes) < 2 "
                "|| self.capacityTypes[0] != self.capacityTypes[1]",
                "placement.capacityTypes: the same one twice; remove one",
            ),
            cel(
                "!has(self.minOnDemand) || has(self.capacityTypes) && size(self.capacityTypes) > 1",
                "placement.minOnDemand: capacityTypes must allow both, Spot and OnDemand",
            ),
            cel(
                "!has(self.minReplicasPerSite) || has(self.sites)",
                "placement.minReplicasPerSite: only with placement.sites; name the sites",
            ),
            cel(
                "!has(self.siteMinReplicas) || has(self.sites) && "
                "self.siteMinReplicas.all(site, site in self.sites)",
                "placement.siteMinReplicas: only of sites that placement.sites names",
            ),
            cel(
                "!has(self.siteMinReplicas) || !has(self.minOnDemand)",
                "placement.siteMinReplicas: not with minOnDemand; remove one",
            ),
        )
    )

    accelerators: Accelerators = Field(
        Accelerators(), description="Accelerators that may serve, in order of preference."
    )
    node_selector: LabelMap | None = Field(None, description="Labels a node must carry.")
    tolerations: Annotated[list[Toleration], Field(max_length=16)] | None = Field(
        None, description="Taints the pods tolerate.", json_schema_extra=ATOMIC
    )
    capacity_types: Annotated[list[CapacityType], Field(min_length=1, max_length=2)] | None = Field(
        None,
        description=(
            "How nodes may be paid for, best first: Spot, OnDemand, or both. A node whose labels "
            "say nothing is OnDemand. Omitted: any node that the pods tolerate."
        ),
        json_schema_extra=ATOMIC,
    )
    min_on_demand: Annotated[int, Field(ge=1, le=1000)] | None = Field(
        None,
        description=(
            "So many of the replicas, or all when there are fewer, are on OnDemand nodes whatever "
            "happens to Spot; needs capacityTypes with both."
        ),
    )
    sites: Annotated[list[SiteName], Field(min_length=1, max_length=32)] | None = Field(
        None,
        description=(
            "Sites whose nodes may serve: values of the node label conch.dev/site. Pods of such a "
            "service stay on a node that cannot reach the API server, for as long as that takes. "
            "Omitted: any node."
        ),
        json_schema_extra=SET,
    )
    min_replicas_per_site: Annotated[int, Field(ge=1, le=100)] | None = Field(
        None,
        description=(
            "Never fewer at each of the sites, as far as there is room; all of them count in the "
            "number of replicas. Needs sites."
        ),
    )
    site_min_replicas: (
        Annotated[dict[str, Annotated[int, Field(ge=0, le=100)]], Field(max_length=16)] | None
    ) = Field(
        None,
        description=(
            "The minimum of sites that need another than minReplicasPerSite, by site. One that is "
            "higher has a Deployment of its own, which holds exactly so many there."
        ),
    )
    optimise: Literal["Cost", "Energy", "Carbon", "Latency"] = Field(
        "Cost",
        description=(
            "What decides where accelerators.classes gives no order, and among nodes of one "
            "class: price, watts, grams of CO2 equivalent, or the requests/s of one replica."
        ),
    )
    priority_class_name: ObjectName | None = Field(
        None,
        description=(
            "PriorityClass of the pods; its value also decides who is placed first when there is "
            "not enough for all."
        ),
    )
    scheduler_name: ObjectName | None = Field(
        None, description="Scheduler that binds the pods, e.g. kai-scheduler; omitted: the default."
    )
    queue_name: LabelValueNotEmpty | None = Field(
        None,
        description=(
            "Kueue's LocalQueue in the service's namespace that admits the pods; needs Kueue with "
            "its integration for Deployments."
        ),
    )

    @property
    def site_minima(self) -> dict[str, int]:
        """Never fewer at each site; {} where no site has a minimum."""
        each, own = self.min_replicas_per_site or 0, self.site_min_replicas or {}
        if not (each or own):
            return {}
        return {site: own.get(site, each) for site in sorted(self.sites or ())}

    @property
    def held_apart(self) -> dict[str, int]:
        """Those of them that are higher than what all sites have."""
        each = self.min_replicas_per_site or 0
        own = self.site_min_replicas or {}
        return {site: least for site, least in sorted(own.items()) if least > each}
