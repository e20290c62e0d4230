"""Host resources and accelerators of the Triton container, in the API server's own notation.

Shared memory is a memory volume: the kernel charges it to the container, so it comes on top of the
memory request and limit. CPU has a request and never a limit: throttling shows up as lateness.
"""

from __future__ import annotations

from conch.api import names, v1alpha1
from conch.kube import quantity
from conch.kube.views import Object
from conch.observe.types import AcceleratorKind

_BINARY_SUFFIXES = ("", "Ki", "Mi", "Gi", "Ti", "Pi")


def server_resources(
    service: v1alpha1.InferenceService,
    runtime: v1alpha1.TritonRuntimeSpec,
    kind: AcceleratorKind,
) -> Object:
    """Requests and limits; what the service does not name comes from the runtime."""
    wanted = service.spec.resources
    memory = memory_sum(
        wanted.memory or runtime.resources.memory,
        wanted.shared_memory or runtime.resources.shared_memory,
    )
    limits = {"memory": memory}
    requests = {"cpu": quantity.canonical(wanted.cpu or runtime.resources.cpu), "memory": memory}
    if kind.device_class:
        claims = [{"name": names.CLAIM_ACCELERATOR}]
        return {"requests": requests, "limits": limits, "claims": claims}
    if kind.resource:
        # Extended resources need a limit, and a request that equals it.
        count = str(max(1, service.spec.placement.accelerators.count))
        limits[kind.resource] = requests[kind.resource] = count
    return {"requests": requests, "limits": limits}


def memory_sum(*amounts: v1alpha1.Quantity) -> str:
    """The sum of memory quantities as the API server would write it, e.g. 4Gi + 512Mi = 4608Mi."""
    total = sum(quantity.value(amount) for amount in amounts)
    power = 0
    while total and total % 1024 == 0 and power < len(_BINARY_SUFFIXES) - 1:
        total //= 1024
        power += 1
    return quantity.canonical(f"{total}{_BINARY_SUFFIXES[power]}")
