"""Accelerator classes read off a node's labels, for clusters in which nobody declared any.

Reads GPU Feature Discovery first (it alone knows about sharing and MIG), then the labels of GKE,
Karpenter and AKS. One class per product and sharing mode; what the labels leave out comes from a
small catalogue. Pure; unusable labels give no class rather than a wrong one.

Labels: k8s-device-plugin docs/gpu-feature-discovery, GKE "About GPUs", Karpenter well-known labels.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from conch.observe.types import AcceleratorKind

GPU = "nvidia.com/gpu"
_MI = 1024**2

# Memory in MiB as GPU Feature Discovery reports it where known (T4 15360), else nominal; compute
# capability from NVIDIA's list (developer.nvidia.com/cuda-gpus). Prices are not needed yet.
_CATALOGUE: dict[str, tuple[int, tuple[int, int]]] = {
    "p4": (7680, (6, 1)),
    "p100": (16384, (6, 0)),
    "v100": (16384, (7, 0)),
    "t4": (15360, (7, 5)),
    "t4g": (15360, (7, 5)),
    "a10": (22888, (8, 6)),
    "a10g": (22888, (8, 6)),
    "a30": (24576, (8, 0)),
    "a40": (46068, (8, 6)),
    "a100": (40960, (8, 0)),
    "a100-80gb": (81920, (8, 0)),
    "l4": (22888, (8, 9)),
    "l40": (46068, (8, 9)),
    "l40s": (45776, (8, 9)),
    "h100": (81559, (9, 0)),
    "h100-80gb": (81559, (9, 0)),
    "h100-mega-80gb": (81559, (9, 0)),
    "h200": (143771, (9, 0)),
    "h200-141gb": (143771, (9, 0)),
    "b200": (183359, (10, 0)),
    "gb200": (189471, (10, 0)),
    "rtx-pro-4500": (32768, (12, 0)),
    "rtx-pro-6000": (97887, (12, 0)),
    "rtx-pro-server-6000": (97887, (12, 0)),
}


@dataclass(frozen=True, slots=True)
class _Provider:
    """Labels by which a cloud or node provisioner names the GPU of a node."""

    source: str
    name: str
    memory: str | None = None  # MiB of one GPU


_PROVIDERS = (
    _Provider(
        "karpenter",
        "karpenter.k8s.aws/instance-gpu-name",
        "karpenter.k8s.aws/instance-gpu-memory",
    ),
    _Provider("karpenter-azure", "karpenter.azure.com/sku-gpu-name"),
)
_GKE = "cloud.google.com/"
_AKS = "kubernetes.azure.com/accelerator"
_SOURCES = ("gfd", "gke", *(p.source for p in _PROVIDERS), "aks")
_MIXED_MIG = re.compile(r"nvidia\.com/(mig-.+)\.product")
_MIG_MEMORY = re.compile(r"\.(\d+)gb$")


@dataclass(frozen=True, slots=True)
class Discovered:
    """A class as one node shows it, and whose labels it was read from."""

    source: str
    kind: AcceleratorKind


def discover(labels: Mapping[str, str], allocatable: Mapping[str, int]) -> tuple[Discovered, ...]:
    """The classes of one node. ``allocatable`` tells whether shared units have their own name."""
    if any(key.startswith(GPU + ".product") or _MIXED_MIG.fullmatch(key) for key in labels):
        return tuple(Discovered("gfd", kind) for kind in _feature_discovery(labels, allocatable))
    if (gke := _gke(labels)) is not None:
        return (Discovered("gke", gke),)
    for provider in _PROVIDERS:
        if (kind := _provided(provider, labels)) is not None:
            return (Discovered(provider.source, kind),)
    if labels.get(_AKS) == "nvidia":
        return (Discovered("aks", _kind("gpu", {_AKS: "nvidia"}, GPU, 0, None)),)
    return ()


def merge(found: Iterable[Discovered]) -> list[AcceleratorKind]:
    """One class per name, by name.

    Nodes that show the same class with different memory (more sharing clients, say) give the least,
    so that what fits the class fits every node of it. Two sources that use the same name for nodes
    of their own are kept apart by a suffix.
    """
    by_source: dict[tuple[str, str], AcceleratorKind] = {}
    for item in found:
        key = (item.kind.name, item.source)
        known = by_source.get(key)
        by_source[key] = item.kind if known is None else _least(known, item.kind)
    merged: dict[str, AcceleratorKind] = {}
    for name, source in sorted(by_source, key=lambda key: (key[0], _SOURCES.index(key[1]))):
        kind = by_source[name, source]
        unique = name if name not in merged else f"{name}-{source}"
        merged[unique] = replace(kind, name=unique)
    return sorted(merged.values(), key=lambda kind: kind.name)


def _least(one: AcceleratorKind, other: AcceleratorKind) -> AcceleratorKind:
    versions = [c for c in (one.compute_capability, other.compute_capability) if c is not None]
    return replace(
        one,
        memory_bytes=min(one.memory_bytes, other.memory_bytes),
        compute_capability=min(versions, default=None),
    )


# --- GPU Feature Discovery -----------------------------------------------------------------------


def _feature_discovery(
    labels: Mapping[str, str], allocatable: Mapping[str, int]
) -> Iterator[AcceleratorKind]:
    """Whole or shared GPUs and single-strategy MIG (``gpu``), mixed-strategy MIG (``mig-…``)."""
    mixed = (match[1] for key in labels if (match := _MIXED_MIG.fullmatch(key)))
    for name in ("gpu", *sorted(mixed)):
        kind = _discovered_resource(f"nvidia.com/{name}", labels, allocatable)
        if kind is not None:
            yield kind


def _discovered_resource(
    prefix: str, labels: Mapping[str, str], allocatable: Mapping[str, int]
) -> AcceleratorKind | None:
    product = labels.get(f"{prefix}.product", "")
    # A bad MIG layout is labelled -MIG-INVALID with count 0; a fully partitioned GPU has count 0.
    if not product or product.endswith("MIG-INVALID") or labels.get(f"{prefix}.count") == "0":
        return None
    name, resource = _slug(product), prefix
    # Sharing either marks the product (-SHARED) or renames the resource, never both.
    if not product.endswith("-SHARED") and allocatable.get(f"{prefix}.shared"):
        name, resource = f"{name}-shared", f"{prefix}.shared"
    shares = _number(labels.get(f"{prefix}.replicas")) or 1
    memory = _number(labels.get(f"{prefix}.memory"))
    major, minor = (_number(labels.get(f"{GPU}.compute.{part}")) for part in ("major", "minor"))
    known_memory, known_version = _known(name)
    # The label is the memory of the device: sharing does not change it.
    mib = (memory if memory is not None else known_memory) // shares
    version = known_version if major is None else (major, minor or 0)
    return _kind(name, {f"{prefix}.product": product}, resource, mib, version)


# --- clouds --------------------------------------------------------------------------------------


def _gke(labels: Mapping[str, str]) -> AcceleratorKind | None:
    accelerator = labels.get(f"{_GKE}gke-accelerator")
    if not accelerator:
        return None
    name, selector = _slug(accelerator), {f"{_GKE}gke-accelerator": accelerator}
    mib, version = _known(name)
    if partition := labels.get(f"{_GKE}gke-gpu-partition-size"):
        selector[f"{_GKE}gke-gpu-partition-size"] = partition
        name = f"{name}-mig-{_slug(partition)}"
        profile = _MIG_MEMORY.search(partition)
        mib = int(profile[1]) * 1024 if profile else 0
    if clients := _number(labels.get(f"{_GKE}gke-max-shared-clients-per-gpu")):
        selector[f"{_GKE}gke-max-shared-clients-per-gpu"] = str(clients)
        name, mib = f"{name}-shared-{clients}", mib // clients
    return _kind(name, selector, GPU, mib, version)


def _provided(provider: _Provider, labels: Mapping[str, str]) -> AcceleratorKind | None:
    value = labels.get(provider.name)
    if not value:
        return None
    name, selector = _slug(value), {provider.name: value}
    mib, version = _known(name)
    text = labels.get(provider.memory, "") if provider.memory else ""
    if provider.memory and (memory := _number(text)):
        # One name covers several sizes (a100 with 40 and 80 GB, slices of an l4): part of the name
        # unless it is the usual size.
        selector[provider.memory] = text
        if mib and abs(memory - mib) > 0.15 * mib:
            name = f"{name}-{round(memory / 1024)}gb"
        mib = memory
    return _kind(name, selector, GPU, mib, version)


# --- small things --------------------------------------------------------------------------------


def _kind(
    name: str,
    selector: dict[str, str],
    resource: str,
    memory_mib: int,
    compute_capability: tuple[int, int] | None,
) -> AcceleratorKind:
    return AcceleratorKind(
        name, selector, resource, memory_mib * _MI, compute_capability, declared=False
    )


def _slug(product: str) -> str:
    """NVIDIA-A100-SXM4-80GB → a100-sxm4-80gb, Tesla-T4 → t4: a valid class name."""
    slug = re.sub(r"[^a-z0-9.-]+", "-", product.lower())
    slug = re.sub(r"^(nvidia-)?(tesla-)?", "", slug)
    return slug[:63].strip("-.") or "gpu"


def _known(name: str) -> tuple[int, tuple[int, int] | None]:
    """Memory (MiB, 0 if unknown) and compute capability of a product by its slug."""
    parts = name.split("-")
    sized = f"{parts[0]}-{next((p for p in parts if re.fullmatch('[0-9]+gb', p)), '')}"
    for candidate in (name, sized, parts[0]):
        if candidate in _CATALOGUE:
            return _CATALOGUE[candidate]
    return 0, None


def _number(text: str | None) -> int | None:
    return int(text) if text is not None and text.isascii() and text.isdigit() else None
