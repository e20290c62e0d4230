"""Small worlds for placement tests: nodes, classes and services with one line each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from conch.observe.types import (
    AcceleratorKind,
    Inventory,
    Key,
    NodeCapacity,
    PlacementRequest,
    Taint,
)

GI = 1024**3
GPU = "nvidia.com/gpu"
PRODUCT = "nvidia.com/gpu.product"


def kind(
    name: str, memory_gi: float = 24, cc: tuple[int, int] | None = (8, 9), resource: str = GPU
) -> AcceleratorKind:
    return AcceleratorKind(name, {PRODUCT: name}, resource, int(memory_gi * GI), cc, declared=False)


T4 = kind("t4", 15, (7, 5))
L4 = kind("l4", 22.5, (8, 9))
A100 = kind("a100", 80, (8, 0))


def node(
    name: str,
    accelerator: str = "l4",
    units: int = 4,
    used: int = 0,
    *,
    cpu: int = 32_000,
    memory: int = 128 * GI,
    requested: Mapping[str, int] | None = None,
    labels: Mapping[str, str] | None = None,
    taints: tuple[Taint, ...] = (),
    ready: bool = True,
    unschedulable: bool = False,
    resource: str = GPU,
) -> NodeCapacity:
    return NodeCapacity(
        name=name,
        labels={**({PRODUCT: accelerator} if accelerator else {}), **(labels or {})},
        taints=taints,
        ready=ready,
        unschedulable=unschedulable,
        allocatable={"cpu": cpu, "memory": memory, "pods": 110, resource: units},
        requested={resource: used, **(requested or {})},
    )


def world(*nodes: NodeCapacity, kinds: tuple[AcceleratorKind, ...] = (T4, L4, A100)) -> Inventory:
    return Inventory(nodes, kinds)


def service(name: str = "a", *classes: str, **changes: Any) -> PlacementRequest:
    """One replica wanted, nothing running, one accelerator each; ``changes`` override."""
    values: dict[str, Any] = {
        "key": Key("default", name),
        "classes": classes,
        "count": 1,
        "min_memory_bytes": 0,
        "min_compute_capability": (7, 5),
        "allow_cpu": False,
        "node_selector": {},
        "tolerations": (),
        "cpu_milli": 1000,
        "memory_bytes": 4 * GI,
        "unbound": 1,
        "bound": 0,
        "current": "",
        "age_rank": name,
    }
    return PlacementRequest(**{**values, **changes})
