"""AcceleratorClass: a kind of accelerator that services may ask for by name."""

from __future__ import annotations

from typing import Annotated

from pydantic import ConfigDict, Field

from conch.api.fields import (
    ATOMIC,
    DNS_NAME,
    ApiModel,
    Duration,
    LabelMap,
    ObjectMeta,
    ObjectName,
    Quantity,
    cel,
    rules,
)

# More than any unit costs anywhere: what exceeds it was meant for a month, or in cents.
Price = Annotated[float, Field(ge=0, le=1000)]


class PricePerHour(ApiModel):
    """What one unit costs in an hour, in US dollars as in the catalogue: sums are over classes."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "has(self.onDemand) || has(self.spot)",
                "pricePerHour: must name onDemand, spot, or both",
            ),
            cel(
                "!has(self.onDemand) || !has(self.spot) || self.spot <= self.onDemand",
                "pricePerHour.spot: must not exceed pricePerHour.onDemand; are they swapped?",
            ),
        )
    )

    on_demand: Price | None = Field(None, description="On nodes that are not spot, e.g. 0.8.")
    spot: Price | None = Field(None, description="On spot nodes, e.g. 0.3.")


class Watts(ApiModel):
    """Electrical power of one unit."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "has(self.idle) || has(self.max)",
                "watts: must name idle, max, or both",
            ),
            cel(
                "!has(self.idle) || !has(self.max) || self.idle <= self.max",
                "watts.idle: must not exceed watts.max; are they swapped?",
            ),
        )
    )

    idle: Annotated[float, Field(ge=0, le=5000)] | None = Field(
        None, description="With nothing to do, e.g. 16."
    )
    max: Annotated[float, Field(gt=0, le=5000)] | None = Field(
        None, description="Fully busy, e.g. 72."
    )


class Provisioning(ApiModel):
    """Nodes that a node autoscaler makes when pods wait for them."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "duration(self.waitFor) >= duration('30s') "
                "&& duration(self.waitFor) <= duration('24h')",
                "provisioning.waitFor: must be between 30s and 24h",
            )
        )
    )

    max_nodes: Annotated[int, Field(ge=1, le=1000)] = Field(
        description="Nodes of this class at most, those there are included: the group's limit."
    )
    units_per_node: Annotated[int, Field(ge=1, le=1024)] = Field(
        description="Units that one new node offers, e.g. 8."
    )
    wait_for: Duration = Field(
        "10m",
        description=(
            "A replica waits so long for a node, then its service turns to the next class it "
            "allows and leaves this one alone for ten minutes."
        ),
    )
    node_labels: LabelMap | None = Field(
        None,
        description=(
            "Labels that new nodes carry beside nodeSelector's, as far as services ask for them: "
            "zone, conch.dev/site, karpenter.sh/capacity-type."
        ),
    )


class AcceleratorClassSpec(ApiModel):
    """Which nodes have this accelerator and what one of them offers."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            cel(
                "has(self.nodeSelector) || has(self.deviceClassName)",
                "nodeSelector: required, unless deviceClassName is set",
            ),
            cel(
                "!has(self.resourceName) || !has(self.deviceClassName)",
                "resourceName: pods request it or claim from deviceClassName, not both; remove one",
            ),
            cel(
                "!has(self.deviceSelectors) || has(self.deviceClassName)",
                "deviceSelectors: only with deviceClassName; set it, or remove them",
            ),
            cel(
                "!has(self.provisioning) || !has(self.deviceClassName)",
                "provisioning: not with deviceClassName, whose devices no node autoscaler can "
                "foresee; remove one",
            ),
            cel(
                "!has(self.provisioning) || !has(self.provisioning.nodeLabels) "
                "|| !has(self.nodeSelector) || self.nodeSelector.all(key, "
                "!(key in self.provisioning.nodeLabels) "
                "|| self.provisioning.nodeLabels[key] == self.nodeSelector[key])",
                "provisioning.nodeLabels: must not contradict nodeSelector",
            ),
        )
    )

    node_selector: Annotated[LabelMap, Field(min_length=1)] | None = Field(
        None, description="Labels of the nodes that have it, e.g. nvidia.com/gpu.product."
    )
    resource_name: (
        Annotated[
            str,
            Field(
                pattern=rf"^{DNS_NAME}/[A-Za-z0-9]([-A-Za-z0-9_.]{{0,61}}[A-Za-z0-9])?$",
                max_length=317,
            ),
        ]
        | None
    ) = Field(
        None,
        description=(
            "Extended resource that pods request; omitted, without deviceClassName: nvidia.com/gpu."
        ),
    )
    device_class_name: ObjectName | None = Field(
        None,
        description=(
            "DeviceClass that pods claim from, in place of an extended resource: dynamic resource "
            "allocation, Kubernetes 1.34 or newer."
        ),
    )
    device_selectors: (
        Annotated[
            list[Annotated[str, Field(min_length=1, max_length=2048)]],
            Field(min_length=1, max_length=8),
        ]
        | None
    ) = Field(
        None,
        description=(
            "CEL over device, beside the DeviceClass's own; a device must pass all of them, e.g. "
            "device.attributes['gpu.nvidia.com'].productName == 'NVIDIA L4'."
        ),
        json_schema_extra=ATOMIC,
    )
    memory: Quantity = Field(description="Memory of one unit, e.g. 24Gi.")
    compute_capability: Annotated[str, Field(pattern=r"^[0-9]{1,2}\.[0-9]$")] | None = Field(
        None, description="CUDA compute capability, e.g. 8.9."
    )
    integrated_gpu: bool = Field(
        False,
        alias="integratedGPU",
        description=(
            "Whether it is a Jetson's integrated GPU, which takes images of a TritonRuntime with "
            "integratedGPU; needed only where no label of its nodes tells a Jetson."
        ),
    )
    price_per_hour: PricePerHour | None = Field(
        None,
        description="US dollars for one unit; omitted: the catalogue's, where the GPU is known.",
    )
    watts: Watts | None = Field(
        None, description="Power of one unit; omitted: the catalogue's, where the GPU is known."
    )
    provisioning: Provisioning | None = Field(
        None,
        description=(
            "Nodes that Karpenter or cluster-autoscaler adds for waiting pods: services may be "
            "sent to this class before it has any. nodeSelector's labels must be those that the "
            "NodePool or node group gives its nodes from the start."
        ),
    )
    carbon_zone: (
        Annotated[
            str, Field(pattern=r"^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$", max_length=63)
        ]
        | None
    ) = Field(
        None,
        description="Grid that its nodes draw from, as the source of grid intensity calls it.",
    )


class AcceleratorClass(ApiModel):
    """A kind of accelerator that services may ask for by name."""

    metadata: ObjectMeta
    spec: AcceleratorClassSpec
