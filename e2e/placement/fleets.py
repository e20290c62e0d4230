"""Fleets and services by seeded chance, for the figures that need no cluster.

Nodes and pods are JSON as an API server sends it; the inventory is made of it by the operator's own
readers, so a fleet's classes, prices and capacity types are those the operator would see. Prices
and memory come from the catalogue. What a replica carries is modelled: a batch takes a fixed time
and so much more per request, the latter by the accelerator's peak compute and memory bandwidth as
its data sheet has them, weighed differently by each service; the objective bounds the batch.
"""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from conch.kube import compact
from conch.observe.catalogue import CATALOGUE, mig_share
from conch.observe.inventory import InventoryBuilder
from conch.observe.types import Assignment, Inventory, Key, NodeCapacity, PlacementRequest

GIB = 1024**3
RESOURCE = "nvidia.com/gpu"
ZONES = ("zone-a", "zone-b", "zone-c")
Object = dict[str, Any]

# Dense FP16 tensor TFLOPS and GB/s of memory, as the vendor's data sheets state them.
_PEAKS: Mapping[str, tuple[float, float]] = {
    "t4": (65, 320),
    "v100": (125, 900),
    "a10g": (70, 600),
    "a10": (125, 600),
    "l4": (121, 300),
    "l40s": (362, 864),
    "a100": (312, 1555),
    "a100-80gb": (312, 2039),
    "a100-80gb-pcie": (312, 1935),
    "rtx-pro-6000": (503, 1597),
    "h100": (989, 3350),
    "h100-nvl": (835, 3938),
    "h200": (989, 4800),
    "b200": (2250, 8000),
    "b300": (2250, 8000),
}
_PARTS = {"l4-3gb": 1 / 8, "l4-6gb": 1 / 4, "l4-11gb": 1 / 2}  # of an l4
# The GPU machines of a public cluster trace, GPUs each and how many. Alibaba PAI 2020 (CC BY 4.0,
# github.com/alibaba/clusterdata; machines by Weng et al., NSDI '22: 6,742 GPUs). Left out: 798 with
# 2 P100, whose list price was not found, and 280 with 8 of generations that Triton does not run on.
_PAI = (("t4", 2, 497), ("v100", 8, 104), ("v100-32gb", 8, 135))
_V100_32GB = 31.212 / 8  # AWS p3dn.24xlarge, dollars an hour on demand, us-east-1
_MAX_BATCH = 64
_SLICED = ("a100", "a100-80gb", "h100", "h200")  # their MIG profiles are classes too


@dataclass(frozen=True, slots=True)
class Product:
    """A kind of accelerator: the class it becomes, and what it can do."""

    name: str
    label: str
    tflops: float
    gb_per_s: float
    per_gpu: int  # units that one GPU offers


def _products() -> Iterable[Product]:
    for name, (tflops, bandwidth) in _PEAKS.items():
        yield Product(name, f"NVIDIA-{name.upper()}", tflops, bandwidth, 1)
    for name, part in _PARTS.items():
        tflops, bandwidth = _PEAKS["l4"]
        yield Product(name, f"NVIDIA-{name.upper()}", tflops * part, bandwidth * part, 1)
    for name in _SLICED:
        gpu = CATALOGUE[name]
        for profile, count in (gpu.mig or {}).items():
            part = mig_share(profile, gpu.memory_mib.value) or 1.0
            tflops, bandwidth = _PEAKS[name]
            label = f"NVIDIA-{name.upper()}-MIG-{profile}"
            yield Product(label[7:].lower(), label, tflops * part, bandwidth * part, count)


PRODUCTS: tuple[Product, ...] = tuple(_products())[:40]
# Those with a list price of their own; a MIG slice is priced as its share of the GPU.
LISTED: tuple[Product, ...] = tuple(p for p in PRODUCTS if "-MIG-" not in p.label)
WHOLE: tuple[Product, ...] = tuple(p for p in PRODUCTS if p.name in _PEAKS)


# --- nodes and pods ------------------------------------------------------------------------------


def node(name: str, product: Product, gpus: int, zone: str, *, spot: bool) -> Object:
    """A node with that many GPUs, as its labels and status say."""
    return {
        "metadata": {
            "name": name,
            "uid": f"uid-{name}",
            "resourceVersion": "1",
            "labels": {
                "kubernetes.io/hostname": name,
                "kubernetes.io/arch": "amd64",
                "topology.kubernetes.io/zone": zone,
                "karpenter.sh/capacity-type": "spot" if spot else "on-demand",
                "nvidia.com/gpu.product": product.label,
            },
        },
        "spec": {},
        "status": {
            "allocatable": {
                "cpu": str(24 * gpus),
                "memory": f"{192 * gpus}Gi",
                "pods": "110",
                RESOURCE: str(gpus * product.per_gpu),
            },
            "conditions": [{"type": "Ready", "status": "True"}],
        },
    }


def pod(name: str, on: str, units: int) -> Object:
    """Somebody else's pod, bound to a node."""
    amounts = {RESOURCE: str(units), "cpu": "2", "memory": "8Gi"}
    return {
        "metadata": {"name": name, "namespace": "others", "uid": f"uid-{name}", "labels": {}},
        "spec": {"nodeName": on, "containers": [{"name": "c", "resources": {"requests": amounts}}]},
        "status": {"phase": "Running"},
    }


def inventory(nodes: Iterable[Object], pods: Iterable[Object]) -> Inventory:
    """What the operator makes of them."""
    builder = InventoryBuilder()
    read_node, read_pod = compact.nodes(), compact.pods("conch.dev/")
    for one in nodes:
        builder.upsert_node(read_node(json.dumps(one).encode()))
    for one in pods:
        builder.upsert_pod(read_pod(json.dumps(one).encode()))
    return builder.inventory({})


def fleet(
    rng: random.Random,
    products: Sequence[Product],
    nodes: int,
    *,
    gpus: Sequence[int] = (1, 2, 4, 8),
    spot: float = 0.4,
    taken: float = 0.3,
) -> Inventory:
    """So many nodes of those products; a share of them on spot, a share of the units taken."""
    made, pods = [], []
    for number in range(nodes):
        product = products[number % len(products)]
        size = rng.choice(gpus)
        name = f"n{number:05}"
        made.append(node(name, product, size, rng.choice(ZONES), spot=rng.random() < spot))
        units = size * product.per_gpu
        busy = sum(rng.random() < taken for _ in range(units))
        if busy:
            pods.append(pod(f"p{number:05}", name, busy))
    return inventory(made, pods)


def public_cluster(rng: random.Random) -> tuple[Inventory, list[Product]]:
    """The machines of a published trace, three in ten units taken, and what they have."""
    products = [replace(one, name=name, label=f"NVIDIA-{name.upper()}") for name, one in _pai()]
    made, pods = [], []
    for product, (_, size, count) in zip(products, _PAI, strict=True):
        for number in range(count):
            name = f"{product.name}-{number:04}"
            made.append(node(name, product, size, rng.choice(ZONES), spot=False))
            busy = sum(rng.random() < 0.3 for _ in range(size))
            if busy:
                pods.append(pod(f"p-{name}", name, busy))
    found = inventory(made, pods)
    kinds = tuple(
        replace(kind, price_per_h=_V100_32GB) if kind.name == "v100-32gb" else kind
        for kind in found.kinds
    )
    return replace(found, kinds=kinds), products


def _pai() -> Iterable[tuple[str, Product]]:
    known = {product.name: product for product in PRODUCTS}
    return ((name, known[name.partition("-")[0]]) for name, _, _ in _PAI)


# --- services ------------------------------------------------------------------------------------


def service(
    rng: random.Random, name: str, products: Sequence[Product], most_replicas: int = 20
) -> PlacementRequest:
    """A service that may be on any class with enough memory, and what each carries for it."""
    compute = rng.uniform(0.2, 0.8)  # the rest is bound by memory bandwidth
    item_ms = 2 * 20 ** rng.random()  # of a T4, each more in a batch
    fixed_ms = item_ms * rng.uniform(0.3, 3)  # of any: launches, copies, the host
    objective_ms = 2 * (fixed_ms + item_ms) * 16 ** rng.uniform(0, 1)  # a T4 can just hold it
    capacity = {}
    for product in products:
        each_ms = item_ms / _relative(product, compute) / rng.uniform(0.85, 1.15)
        capacity[product.name] = 1000 * _per_ms(fixed_ms, each_ms, objective_ms)
    t4_rps = 1000 * _per_ms(fixed_ms, item_ms, objective_ms)
    demand = t4_rps * most_replicas ** rng.random()
    return PlacementRequest(
        key=Key("bench", name),
        classes=(),
        count=1,
        min_memory_bytes=int(rng.choice((1, 2, 4, 8, 12, 20, 36, 60)) * GIB),
        min_compute_capability=(7, 5) if rng.random() < 0.7 else (8, 0),
        allow_cpu=False,
        node_selector={},
        tolerations=(),
        cpu_milli=rng.choice((1000, 2000, 4000)),
        memory_bytes=rng.choice((4, 8, 16)) * GIB,
        unbound=max(1, round(demand / t4_rps)),
        bound=0,
        current="",
        age_rank=name,
        capacity_rps=capacity,
        demand_rps=demand,
    )


def _per_ms(fixed_ms: float, each_ms: float, objective_ms: float) -> float:
    """The most requests a replica carries, the batch being as large as the objective allows.

    A request waits for the batch under way and runs in the next: two batches inside the objective
    (Nexus, https://doi.org/10.1145/3341301.3359658, section 4.1). 0: not even a batch of one.
    """
    batch = min(_MAX_BATCH, math.floor((objective_ms / 2 - fixed_ms) / each_ms))
    return batch / (fixed_ms + batch * each_ms) if batch >= 1 else 0.0


def _relative(product: Product, compute: float) -> float:
    """How much faster than a T4."""
    tflops, bandwidth = _PEAKS["t4"]
    return float(
        (product.tflops / tflops) ** compute * (product.gb_per_s / bandwidth) ** (1 - compute)
    )


# --- a plan that came true -----------------------------------------------------------------------


def applied(
    world: Inventory, requests: Iterable[PlacementRequest], plans: Mapping[Key, Assignment]
) -> tuple[Inventory, list[PlacementRequest], dict[str, list[Key]]]:
    """The world once every planned replica is bound, and whose replicas are on which node."""
    nodes = {one.name: one for one in world.nodes}
    pools: dict[tuple[str, str, str], list[str]] = {}
    for kind in world.kinds:
        wanted = kind.node_selector.items()
        for one in world.nodes:
            if wanted <= one.labels.items():
                pools.setdefault((kind.name, one.capacity_type, one.zone), []).append(one.name)
    placed: dict[str, list[Key]] = {}
    running = []
    for request in requests:
        plan = plans[request.key]
        if plan.kind is None:
            running.append(request)
            continue
        on: Counter[str] = Counter()
        for share in plan.shares:
            names = pools[share.class_name, share.capacity_type, share.zone]
            for _ in range(share.replicas):
                name = next((n for n in names if takes(nodes[n], request)), None)
                if name is not None:
                    nodes[name] = with_pod(nodes[name], request)
                    placed.setdefault(name, []).append(request.key)
                    on[share.class_name] += 1
        missing = sum(share.replicas for share in plan.shares) - on.total()
        bound = on.pop(plan.kind.name, 0)
        running.append(
            replace(request, current=plan.kind.name, bound=bound, parts=on, unbound=missing)
        )
    return replace(world, nodes=tuple(nodes[n.name] for n in world.nodes)), running, placed


def takes(one: NodeCapacity, request: PlacementRequest) -> bool:
    """Whether a node has room for one more replica."""
    return all(one.free(resource) >= amount for resource, amount in _amounts(request).items())


def with_pod(one: NodeCapacity, request: PlacementRequest) -> NodeCapacity:
    """The node with one more replica on it."""
    requested = dict(one.requested)
    for resource, amount in _amounts(request).items():
        requested[resource] = requested.get(resource, 0) + amount
    return replace(one, requested=requested)


def _amounts(request: PlacementRequest) -> Mapping[str, int]:
    return {
        RESOURCE: request.count,
        "cpu": request.cpu_milli,
        "memory": request.memory_bytes,
        "pods": 1,
    }
