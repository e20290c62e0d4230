"""TritonRuntime: a Triton image and how to run it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from conch.api.fields import SET, ApiModel, ObjectMeta, ObjectName, Quantity


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
    min_driver: Annotated[int, Field(ge=1, le=9999)] | None = Field(
        None,
        description=(
            "Oldest branch of NVIDIA's driver the image runs on, e.g. 535; omitted: the oldest "
            "that the release's notes name. Nodes are looked at by the label "
            "nvidia.com/cuda.driver-version.major, and trusted without it."
        ),
    )
    architectures: (
        Annotated[list[Literal["amd64", "arm64"]], Field(min_length=1, max_length=2)] | None
    ) = Field(
        None,
        description=(
            "CPU architectures the image is built for; omitted: whatever the nodes have, as "
            "NVIDIA publishes its images for both."
        ),
        json_schema_extra=SET,
    )
    integrated_gpu: bool = Field(
        False,
        alias="integratedGPU",
        description=(
            "Whether the image is built for Jetson's integrated GPUs, as NVIDIA's tags that end "
            "in -igpu are: it runs on Jetsons alone, and other images do not."
        ),
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
