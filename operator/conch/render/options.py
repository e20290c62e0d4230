"""What rendering needs to know besides the user's resources."""

from __future__ import annotations

from dataclasses import dataclass

from conch.observe.types import AcceleratorKind, Tiers
from conch.render.endpointslice import Holding


@dataclass(frozen=True, slots=True)
class QueueLimit:
    """How long a request may wait in a server's queue; ``note`` is kept beside it, for later."""

    wait_us: int
    note: str


@dataclass(frozen=True, slots=True)
class PartOptions:
    """A further Deployment of a service: which, on accelerators of what kind."""

    name: str  # of the part, as in its label
    kind: AcceleratorKind
    surge: int
    on_demand: bool = False  # never on spot
    tiers: Tiers = ()  # areas that its pods prefer
    site: str = ""  # nowhere else; "": as the service


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderOptions:
    """Settings of the operator, and the few facts about one service that shape its children.

    ``surge``: so many new pods may come before an old one goes. ``replicas`` is how many are
    wanted: it decides only whether there is a PodDisruptionBudget. ``startup_budget_s`` is how
    long Triton may take to load the models; it is part of the pod template, so a caller that
    changes it restarts the servers, and so is ``queue_limit``, set for services that reject what
    would be late. ``holding`` is set for services that may go to zero.
    """

    fetch_image: str
    fetch_image_pull_policy: str
    operator_namespace: str
    drain_s: int
    allowed_sources: tuple[str, ...]
    allow_private_hosts: bool
    fetch_max_bytes: int
    surge: int
    replicas: int
    startup_budget_s: int
    holding: Holding | None = None
    queue_limit: QueueLimit | None = None
    tiers: Tiers = ()  # areas that pods prefer
