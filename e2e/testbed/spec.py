"""What a caller may ask of a cluster. Values only: it checks them and touches nothing."""

from __future__ import annotations

import dataclasses
import json
import re
from dataclasses import dataclass

from e2e.testbed.errors import TestbedError

NAME = re.compile(r"[a-z]([a-z0-9-]{0,18}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class ClusterSpec:
    """One cluster. The defaults are the demo's: a real node with four fake GPUs, no KWOK nodes."""

    name: str = "demo"
    real_node: bool = True
    gpus: int = 4
    """`nvidia.com/gpu` units on the real node, with the labels of an L4."""
    kwok: bool = False
    """Run KWOK even with no node at first; implied by `kwok_nodes`."""
    kwok_nodes: int = 0
    audit: bool = False
    """Log every write to `Cluster.audit_log`, one JSON object a line."""
    hpa_sync_period_s: float = 1.0
    node_grace_s: int = 0
    """A node that does not report is NotReady after this time; 0: as Kubernetes has it."""
    images: tuple[str, ...] = ()
    """Names that `images.ensure` knows; imported into the real node."""

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise TestbedError(
                f"cluster name {self.name!r} must be 1 to 20 lower-case letters, digits and "
                "dashes, and start with a letter"
            )
        if min(self.gpus, self.kwok_nodes, self.node_grace_s) < 0:
            raise TestbedError("the numbers of GPUs, KWOK nodes and seconds must not be negative")
        if self.hpa_sync_period_s <= 0:
            raise TestbedError("the HPA sync period must be positive")
        if self.node_grace_s and self.runs_kwok:
            raise TestbedError("KWOK's nodes report nothing: they would all be NotReady")
        if self.images and not self.real_node:
            raise TestbedError("images need the real node to be imported into")

    @property
    def runs_kwok(self) -> bool:
        return self.kwok or self.kwok_nodes > 0

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), sort_keys=True)
