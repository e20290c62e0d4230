"""Accelerator classes read off a node's labels, for clusters in which nobody declared any.

Reads GPU Feature Discovery first (it alone knows about sharing and MIG), then the labels of GKE,
Karpenter (AWS, Azure, GCP), EKS and AKS. One class per product and sharing mode; what the labels
leave out (price, watts, memory, compute capability) comes from the catalogue. Pure; unusable labels
give no class rather than a wrong one.

Labels: k8s-device-plugin docs/gpu-feature-discovery, GKE "About GPUs", Karpenter well-known labels,
EKS "Auto Mode" node labels.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from conch.observe import machine
from conch.observe.catalogue import Gpu, lookup, mig_memory_mib, mig_share
from conch.observe.types import AcceleratorKind

GPU = "nvidia.com/gpu"
_MI = 1024**2
# What exceeds these was not counted in MiB, or is no version: the catalogue knows better.
_MOST_MEMORY_MIB = 4 * 1024**2
_MOST_VERSION = 99


@dataclass(frozen=True, slots=True)
class _Provider:
    """Labels by which a cloud or node provisioner names the GPU of a node."""

    source: str
    name: str
    memory: str | None = None  # MiB of one GPU
    known_only: bool = False  # written by people: only what the catalogue knows is believed


_PROVIDERS = (
    _Provider(
        "karpenter",
        "karpenter.k8s.aws/instance-gpu-name",
        "karpenter.k8s.aws/instance-gpu-memory",
    ),
    _Provider(
        "eks",
        "eks.amazonaws.com/instance-gpu-name",
        "eks.amazonaws.com/instance-gpu-memory",
    ),
    _Provider("karpenter-azure", "karpenter.azure.com/sku-gpu-name"),
    _Provider("karpenter-gcp", "karpenter.k8s.gcp/instance-gpu-name"),
    _Provider("aws", "k8s.amazonaws.com/accelerator", known_only=True),
)
_GKE = "cloud.google.com/"
_AKS = "kubernetes.azure.com/accelerator"
_SOURCES = ("gfd", "gke", *(p.source for p in _PROVIDERS), "aks")
_MIXED_MIG = re.compile(r"nvidia\.com/(mig-.+)\.product")
_MIG_PRODUCT = re.compile(r"-MIG-([0-9a-zA-Z.]+?)(?:-SHARED)?$")


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

    Nodes that show the same class with different figures (more sharing clients, say) give the least
    memory and the highest price, so that what fits the class, or can be paid, holds for every node
    of it. Nodes of one name that no common label selects are kept apart by a suffix: those of two
    sources, and those whose product is written in two ways.
    """
    alike: dict[tuple[str, int, tuple[tuple[str, str], ...]], AcceleratorKind] = {}
    for item in found:
        selector = tuple(sorted(item.kind.node_selector.items()))
        key = (item.kind.name, _SOURCES.index(item.source), selector)
        known = alike.get(key)
        alike[key] = item.kind if known is None else least(known, item.kind)
    merged: dict[str, AcceleratorKind] = {}
    for name, source, selector in sorted(alike):
        unique = name
        if unique in merged:
            unique = f"{name}-{_SOURCES[source]}"
        count = 2
        while unique in merged:
            unique = f"{name}-{_SOURCES[source]}-{count}"
            count += 1
        merged[unique] = replace(alike[name, source, selector], name=unique)
    return sorted(merged.values(), key=lambda kind: kind.name)


def least(one: AcceleratorKind, other: AcceleratorKind) -> AcceleratorKind:
    """The first, with figures that hold for both: least memory, oldest, dearest."""
    if one == other:
        return one
    versions = [c for c in (one.compute_capability, other.compute_capability) if c is not None]
    return replace(
        one,
        memory_bytes=min(one.memory_bytes, other.memory_bytes),
        compute_capability=min(versions, default=None),
        price_per_h=_most(one.price_per_h, other.price_per_h),
        spot_price_per_h=_most(one.spot_price_per_h, other.spot_price_per_h),
        idle_watts=_most(one.idle_watts, other.idle_watts),
        max_watts=_most(one.max_watts, other.max_watts),
        shared_by=max(one.shared_by, other.shared_by),
    )


def _most(one: float | None, other: float | None) -> float | None:
    return max((value for value in (one, other) if value is not None), default=None)


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
    gpu = lookup(name)
    # Sharing either marks the product (-SHARED) or renames the resource, never both.
    if not product.endswith("-SHARED") and allocatable.get(f"{prefix}.shared"):
        name, resource = f"{name}-shared", f"{prefix}.shared"
    shares = _number(labels.get(f"{prefix}.replicas")) or 1
    profile = match[1] if (match := _MIG_PRODUCT.search(product)) else ""
    memory = _number(labels.get(f"{prefix}.memory"), _MOST_MEMORY_MIB)
    if memory is None:
        memory = mig_memory_mib(profile) if profile else _memory_mib(gpu)
    major, minor = (
        _number(labels.get(f"{GPU}.compute.{part}"), _MOST_VERSION) for part in ("major", "minor")
    )
    return _kind(
        name,
        {f"{prefix}.product": product},
        resource,
        # The label is the memory of the device: sharing does not change it.
        memory // shares,
        (major, minor or 0) if major else None,
        gpu=gpu,
        cloud=machine.cloud(labels),
        mig_profile=profile,
        shared_by=shares,
    )


# --- clouds --------------------------------------------------------------------------------------


def _gke(labels: Mapping[str, str]) -> AcceleratorKind | None:
    accelerator = labels.get(f"{_GKE}gke-accelerator")
    if not accelerator:
        return None
    name, selector = _slug(accelerator), {f"{_GKE}gke-accelerator": accelerator}
    gpu = lookup(name)
    mib = _memory_mib(gpu)
    if partition := labels.get(f"{_GKE}gke-gpu-partition-size", ""):
        selector[f"{_GKE}gke-gpu-partition-size"] = partition
        name, mib = f"{name}-mig-{_slug(partition)}", mig_memory_mib(partition)
    clients = _number(labels.get(f"{_GKE}gke-max-shared-clients-per-gpu")) or 1
    if clients > 1:
        selector[f"{_GKE}gke-max-shared-clients-per-gpu"] = str(clients)
        name, mib = f"{name}-shared-{clients}", mib // clients
    return _kind(
        name,
        selector,
        GPU,
        mib,
        None,
        gpu=gpu,
        cloud="gcp",
        mig_profile=partition,
        shared_by=clients,
    )


def _provided(provider: _Provider, labels: Mapping[str, str]) -> AcceleratorKind | None:
    value = labels.get(provider.name)
    if not value or (provider.known_only and lookup(_slug(value)) is None):
        return None
    name, selector = _slug(value), {provider.name: value}
    mib = _memory_mib(lookup(name))
    text = labels.get(provider.memory, "") if provider.memory else ""
    if provider.memory and (memory := _number(text, _MOST_MEMORY_MIB)):
        # One name covers several sizes (a100 with 40 and 80 GB, slices of an l4): part of the name
        # unless it is the usual size.
        selector[provider.memory] = text
        if mib and abs(memory - mib) > 0.15 * mib:
            name = f"{name}-{round(memory / 1024)}gb"
        mib = memory
    return _kind(name, selector, GPU, mib, None, gpu=lookup(name), cloud=machine.cloud(labels))


# --- small things --------------------------------------------------------------------------------


def _kind(
    name: str,
    selector: dict[str, str],
    resource: str,
    memory_mib: int,
    compute_capability: tuple[int, int] | None,
    *,
    gpu: Gpu | None = None,
    cloud: str = "",
    mig_profile: str = "",
    shared_by: int = 1,
) -> AcceleratorKind:
    """A class; the catalogue's figures in the part that one unit is of a whole GPU."""
    part: float | None = 1.0
    if gpu is not None and mig_profile:
        part = mig_share(mig_profile, gpu.memory_mib.value)
    if part is not None:
        part /= shared_by
    price = gpu.price(cloud) if gpu is not None else None
    idle = gpu.idle_watts if gpu is not None else None
    most = gpu.max_watts if gpu is not None else None
    return AcceleratorKind(
        name,
        selector,
        resource,
        memory_mib * _MI,
        compute_capability or (gpu.compute_capability if gpu is not None else None),
        declared=False,
        price_per_h=_part_of(price.on_demand if price else None, part),
        spot_price_per_h=_part_of(price.spot if price else None, part),
        idle_watts=_part_of(idle.value if idle else None, part),
        max_watts=_part_of(most.value if most else None, part),
        shared_by=shared_by,
        mig_profile=mig_profile,
        integrated=gpu is not None and gpu.integrated,
    )


def _part_of(whole: float | None, part: float | None) -> float | None:
    return None if whole is None or part is None else round(whole * part, 4)


def _slug(product: str) -> str:
    """NVIDIA-A100-SXM4-80GB → a100-sxm4-80gb, Tesla-T4 → t4: a valid class name."""
    slug = re.sub(r"[^a-z0-9.-]+", "-", product.lower())
    slug = re.sub(r"^(nvidia-)?(tesla-)?", "", slug)
    return slug[:63].strip("-.") or "gpu"


def _memory_mib(gpu: Gpu | None) -> int:
    """0 where it is not known."""
    return int(gpu.memory_mib.value) if gpu is not None else 0


def _number(text: str | None, most: int = 10**9) -> int | None:
    """A label's number; None for what is none, or larger than anything it could mean."""
    if text is None or not text.isascii() or not text.isdigit() or len(text) > 10:
        return None
    number = int(text)
    return number if number <= most else None
