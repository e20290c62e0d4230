"""What Conch wants to exist for a service, as Kubernetes objects: pure builders, one per kind.

Start at :func:`children`. Nothing here reads a cluster or a clock: the same arguments always give
the same objects, so a converged service needs no write. :func:`needs_apply` says whether, and why,
a live object differs.
"""

from __future__ import annotations

from collections.abc import Sequence

from conch.api import names, v1alpha1
from conch.kube.views import Object
from conch.observe.types import AcceleratorKind
from conch.render.claim import claim_template
from conch.render.deployment import deployment, part_deployment
from conch.render.diff import first_difference, needs_apply
from conch.render.disruption import disruption_budget
from conch.render.endpointslice import Holding, endpoint_slice
from conch.render.metadata import digest, revision, sealed
from conch.render.network_policy import network_policy
from conch.render.options import PartOptions, QueueLimit, RenderOptions
from conch.render.service import service as _service

__all__ = [
    "Holding",
    "Object",
    "PartOptions",
    "QueueLimit",
    "RenderOptions",
    "children",
    "digest",
    "first_difference",
    "needs_apply",
    "revision",
]


def children(
    service: v1alpha1.InferenceService,
    runtime: v1alpha1.TritonRuntimeSpec,
    kind: AcceleratorKind,
    options: RenderOptions,
    parts: Sequence[PartOptions] = (),
) -> list[Object]:
    """Every object of ``service``, in the order to apply them; ``parts``: further Deployments.

    The policy comes before the pods it protects, the Service before the pods it finds, and what
    the pods claim before the pods.
    """
    if service.spec.placement.min_on_demand:
        firm = PartOptions(
            names.ON_DEMAND, kind, options.surge, on_demand=True, tiers=options.tiers
        )
        parts = (firm, *parts)
    kinds = (kind, *(part.kind for part in parts))
    claims = [claim for one in kinds if (claim := claim_template(service, one)) is not None]
    wanted = [
        network_policy(service, options),
        _service(service, to_zero=options.holding is not None),
        *([] if options.holding is None else [endpoint_slice(service, options.holding)]),
        *{claim["metadata"]["name"]: claim for claim in claims}.values(),
        deployment(service, runtime, kind, options),
        *(part_deployment(service, runtime, part, options) for part in parts),
    ]
    if options.replicas > 1:
        wanted.append(disruption_budget(service))
    return [sealed(child) for child in wanted]
