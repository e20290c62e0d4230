"""Classes read off labels as GPU Feature Discovery, GKE, Karpenter and AKS write them."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from conch.observe.discovery import discover, merge
from conch.observe.types import AcceleratorKind
from e2e.testbed import gpus

MI = 1024**2
GPU = "nvidia.com/gpu"


def gfd(product: str, memory_mib: int = 23034, **more: str) -> dict[str, str]:
    labels = {"product": product, "memory": str(memory_mib), "compute.major": "8"}
    labels |= {"compute.minor": "9", "count": "4", "replicas": "1"}
    labels |= {key.replace("_", "."): value for key, value in more.items()}
    return {f"{GPU}.{key}": value for key, value in labels.items()}


def kinds(
    labels: Mapping[str, str], allocatable: Mapping[str, int] | None = None
) -> list[AcceleratorKind]:
    return [item.kind for item in discover(labels, allocatable or {GPU: 4})]


@pytest.mark.parametrize(
    ("product", "name"),
    [
        ("NVIDIA-L4", "l4"),
        ("Tesla-T4", "t4"),
        ("NVIDIA-A100-SXM4-80GB", "a100-sxm4-80gb"),
        ("A100-SXM4-40GB-MIG-1g.5gb", "a100-sxm4-40gb-mig-1g.5gb"),
        ("NVIDIA-H100-80GB-HBM3", "h100-80gb-hbm3"),
        ("NVIDIA-L4-SHARED", "l4-shared"),
        ("NVIDIA-GeForce-RTX-4090", "geforce-rtx-4090"),
        ("NVIDIA-RTX-PRO-6000_Blackwell", "rtx-pro-6000-blackwell"),
    ],
)
def test_names_from_products(product: str, name: str) -> None:
    (kind,) = kinds(gfd(product))
    assert (kind.name, kind.resource) == (name, GPU)
    assert kind.node_selector == {f"{GPU}.product": product}
    assert (kind.memory_bytes, kind.compute_capability) == (23034 * MI, (8, 9))
    assert not kind.declared


def test_every_gpu_of_the_test_bed_is_discovered() -> None:
    found = [kinds(gpus.labels(model, model.units))[0] for model in gpus.FLEET]
    assert [(k.name, k.memory_bytes // MI, k.compute_capability) for k in found] == [
        ("h100-80gb-hbm3", 81559, (9, 0)),
        ("a100-sxm4-80gb", 81920, (8, 0)),
        ("l40s", 46068, (8, 9)),
        ("l4", 23034, (8, 9)),
        ("t4", 15360, (7, 5)),
    ]


def test_shared_units_have_their_share_of_the_memory() -> None:
    (kind,) = kinds(gfd("NVIDIA-L4-SHARED", 22888, replicas="4"))
    assert kind.memory_bytes == 5722 * MI


def test_renamed_shared_units_are_a_class_of_their_own() -> None:
    labels = gfd("NVIDIA-L4", 22888, replicas="2")
    (kind,) = kinds(labels, {f"{GPU}.shared": 8})
    assert (kind.name, kind.resource) == ("l4-shared", f"{GPU}.shared")
    assert kind.memory_bytes == 11444 * MI


@pytest.mark.parametrize(
    "labels",
    [
        {},
        {f"{GPU}.present": "true"},
        gfd("NVIDIA-A100-SXM4-40GB-MIG-INVALID", count="0"),
        gfd("NVIDIA-A100-SXM4-40GB-MIG-INVALID"),
        gfd("NVIDIA-L4", count="0"),
        {"cloud.google.com/gke-accelerator": ""},
        {"kubernetes.azure.com/accelerator": "amd"},
    ],
)
def test_no_class(labels: dict[str, str]) -> None:
    assert kinds(labels) == []


def test_missing_labels_come_from_the_catalogue() -> None:
    labels = {f"{GPU}.product": "NVIDIA-A100-SXM4-80GB", f"{GPU}.memory": "many"}
    (kind,) = kinds(labels)
    assert (kind.memory_bytes, kind.compute_capability) == (81920 * MI, (8, 0))
    (unheard_of,) = kinds({f"{GPU}.product": "NVIDIA-Z9"})
    assert (unheard_of.memory_bytes, unheard_of.compute_capability) == (0, None)


def test_mixed_mig_gives_one_class_per_profile_and_one_for_whole_gpus() -> None:
    labels = gfd("NVIDIA-A100-SXM4-40GB", 40960) | {
        "nvidia.com/mig-1g.5gb.product": "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb",
        "nvidia.com/mig-1g.5gb.memory": "4864",
        "nvidia.com/mig-1g.5gb.count": "7",
        "nvidia.com/mig-3g.20gb.product": "NVIDIA-A100-SXM4-40GB-MIG-3g.20gb",
        "nvidia.com/mig-3g.20gb.memory": "19968",
        "nvidia.com/mig-3g.20gb.count": "0",
    }
    assert [(k.name, k.resource, k.memory_bytes // MI) for k in kinds(labels)] == [
        ("a100-sxm4-40gb", GPU, 40960),
        ("a100-sxm4-40gb-mig-1g.5gb", "nvidia.com/mig-1g.5gb", 4864),
    ]
    partitioned = labels | {f"{GPU}.count": "0"}
    assert [k.resource for k in kinds(partitioned)] == ["nvidia.com/mig-1g.5gb"]


GKE = "cloud.google.com/"


@pytest.mark.parametrize(
    ("labels", "name", "memory_mib", "version"),
    [
        ({f"{GKE}gke-accelerator": "nvidia-l4"}, "l4", 22888, (8, 9)),
        ({f"{GKE}gke-accelerator": "nvidia-tesla-t4"}, "t4", 15360, (7, 5)),
        ({f"{GKE}gke-accelerator": "nvidia-tesla-a100"}, "a100", 40960, (8, 0)),
        ({f"{GKE}gke-accelerator": "nvidia-a100-80gb"}, "a100-80gb", 81920, (8, 0)),
        ({f"{GKE}gke-accelerator": "nvidia-h200-141gb"}, "h200-141gb", 143771, (9, 0)),
        (
            {
                f"{GKE}gke-accelerator": "nvidia-tesla-a100",
                f"{GKE}gke-gpu-partition-size": "1g.5gb",
            },
            "a100-mig-1g.5gb",
            5120,
            (8, 0),
        ),
        (
            {
                f"{GKE}gke-accelerator": "nvidia-l4",
                f"{GKE}gke-max-shared-clients-per-gpu": "4",
            },
            "l4-shared-4",
            5722,
            (8, 9),
        ),
        (
            {
                "karpenter.k8s.aws/instance-gpu-name": "a10g",
                "karpenter.k8s.aws/instance-gpu-memory": "22888",
            },
            "a10g",
            22888,
            (8, 6),
        ),
        (
            {
                "karpenter.k8s.aws/instance-gpu-name": "a100",
                "karpenter.k8s.aws/instance-gpu-memory": "81920",
            },
            "a100-80gb",
            81920,
            (8, 0),
        ),
        (
            {
                "karpenter.k8s.aws/instance-gpu-name": "l4",
                "karpenter.k8s.aws/instance-gpu-memory": "2861",
            },
            "l4-3gb",
            2861,
            (8, 9),
        ),
        ({"karpenter.azure.com/sku-gpu-name": "T4"}, "t4", 15360, (7, 5)),
        ({"kubernetes.azure.com/accelerator": "nvidia"}, "gpu", 0, None),
    ],
)
def test_cloud_labels(
    labels: dict[str, str], name: str, memory_mib: int, version: tuple[int, int] | None
) -> None:
    (kind,) = kinds(labels | {"kubernetes.io/hostname": "n"})
    assert (kind.name, kind.memory_bytes // MI, kind.compute_capability) == (
        name,
        memory_mib,
        version,
    )
    # The class selects by every label it was read from, so that it never reaches another kind.
    assert kind.node_selector == labels


def test_feature_discovery_goes_before_the_cloud() -> None:
    labels = gfd("NVIDIA-L4-SHARED", replicas="2") | {f"{GKE}gke-accelerator": "nvidia-l4"}
    assert [k.name for k in kinds(labels)] == ["l4-shared"]


def test_nodes_of_one_class_give_the_least_memory() -> None:
    two, four = (discover(gfd("NVIDIA-L4-SHARED", 22888, replicas=n), {GPU: 8}) for n in ("2", "4"))
    (kind,) = merge([*two, *four])
    assert kind.memory_bytes == 5722 * MI


def test_one_name_from_two_sources_stays_two_classes() -> None:
    cloud = discover({f"{GKE}gke-accelerator": "nvidia-l4"}, {GPU: 1})
    own = discover(gfd("NVIDIA-L4"), {GPU: 1})
    merged = merge([*cloud, *own])
    assert [k.name for k in merged] == ["l4", "l4-gke"]
    assert merged[0].node_selector == {f"{GPU}.product": "NVIDIA-L4"}
    assert merge([*own, *cloud]) == merged
