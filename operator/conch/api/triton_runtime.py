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
