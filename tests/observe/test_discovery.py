"""Classes read off labels as GPU Feature Discovery, GKE, Karpenter and AKS write them."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
        {"k8s.amazonaws.com/accelerator": "whatever-people-write"},
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
        ({"karpenter.k8s.gcp/instance-gpu-name": "nvidia-l4"}, "l4", 22888, (8, 9)),
        (
            {
                "eks.amazonaws.com/instance-gpu-name": "h200",
                "eks.amazonaws.com/instance-gpu-memory": "144384",
            },
            "h200",
            144384,
            (9, 0),
        ),
        ({"k8s.amazonaws.com/accelerator": "nvidia-tesla-v100"}, "v100", 16384, (7, 0)),
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


# --- figures of the catalogue --------------------------------------------------------------------


def figures(kind: AcceleratorKind) -> tuple[float | None, ...]:
    return kind.price_per_h, kind.spot_price_per_h, kind.idle_watts, kind.max_watts


def test_price_and_watts_come_from_the_catalogue() -> None:
    (kind,) = kinds(gfd("Tesla-T4", 15360))
    assert figures(kind) == (0.526, None, 8, 70)
    (unheard_of,) = kinds({f"{GPU}.product": "NVIDIA-Z9"})
    assert figures(unheard_of) == (None, None, None, None)


def test_the_price_is_that_of_the_nodes_own_cloud() -> None:
    (aws,) = kinds(gfd("NVIDIA-L4") | {"eks.amazonaws.com/nodegroup": "g6"})
    (gcp,) = kinds(gfd("NVIDIA-L4") | {"cloud.google.com/gke-nodepool": "g2"})
    assert (aws.price_per_h, gcp.price_per_h) == (0.8048, 0.7068)


def test_a_shared_unit_has_its_part_of_price_and_watts() -> None:
    (kind,) = kinds(gfd("Tesla-T4-SHARED", 15360, replicas="4"))
    assert figures(kind) == (0.1315, None, 2, 17.5)
    assert (kind.shared_by, kind.mig_profile) == (4, "")
    (gke,) = kinds(
        {f"{GKE}gke-accelerator": "nvidia-l4", f"{GKE}gke-max-shared-clients-per-gpu": "2"}
    )
    assert (gke.price_per_h, gke.spot_price_per_h, gke.shared_by) == (0.3534, 0.1986, 2)


@pytest.mark.parametrize(
    "labels",
    [
        gfd("NVIDIA-A100-SXM4-40GB-MIG-1g.5gb", 4864),
        {
            "nvidia.com/mig-1g.5gb.product": "NVIDIA-A100-SXM4-40GB-MIG-1g.5gb",
            "nvidia.com/mig-1g.5gb.count": "7",
        },
        {f"{GKE}gke-accelerator": "nvidia-tesla-a100", f"{GKE}gke-gpu-partition-size": "1g.5gb"},
    ],
)
def test_a_mig_slice_has_its_part_of_price_and_watts(labels: dict[str, str]) -> None:
    (kind,) = kinds(labels)
    assert kind.mig_profile == "1g.5gb"
    assert kind.price_per_h in (0.3431, 0.4592)  # an eighth, on AWS and on GCP
    assert (kind.max_watts, kind.shared_by) == (50, 1)
    assert kind.memory_bytes // MI in (4864, 5120)


def test_shared_mig_slices_are_a_part_of_a_part() -> None:
    (kind,) = kinds(gfd("NVIDIA-A100-SXM4-40GB-MIG-1g.5gb-SHARED", 4864, replicas="2"))
    assert (kind.mig_profile, kind.shared_by, kind.max_watts) == ("1g.5gb", 2, 25)
    assert kind.memory_bytes == 2432 * MI


def test_a_slice_of_a_machine_type_has_its_own_price() -> None:
    (kind,) = kinds(
        {
            "karpenter.k8s.aws/instance-gpu-name": "l4",
            "karpenter.k8s.aws/instance-gpu-memory": "2861",
        }
    )
    assert (kind.price_per_h, kind.max_watts) == (0.202, 9)


def test_jetson_has_the_memory_its_label_says() -> None:
    (kind,) = kinds(gfd("Orin", 62800) | {"kubernetes.io/arch": "arm64"})
    assert (kind.name, kind.memory_bytes, kind.max_watts) == ("orin", 62800 * MI, 60)
    assert kind.integrated
    (unlabelled,) = kinds({f"{GPU}.product": "Orin"})
    assert (unlabelled.memory_bytes, unlabelled.compute_capability) == (0, (8, 7))


def test_one_product_written_in_two_ways_stays_two_classes() -> None:
    old, new = (discover(gfd(p), {GPU: 1}) for p in ("A100-SXM4-40GB", "NVIDIA-A100-SXM4-40GB"))
    merged = merge([*new, *old])
    assert [k.name for k in merged] == ["a100-sxm4-40gb", "a100-sxm4-40gb-gfd"]
    assert len({k.node_selector[f"{GPU}.product"] for k in merged}) == 2
    assert merge([*old, *new]) == merged


def test_nodes_of_one_class_give_the_highest_price() -> None:
    aws = discover(gfd("NVIDIA-L4") | {"eks.amazonaws.com/nodegroup": "g6"}, {GPU: 1})
    gcp = discover(gfd("NVIDIA-L4") | {"cloud.google.com/gke-nodepool": "g2"}, {GPU: 1})
    assert merge([*aws, *gcp]) == merge([*gcp, *aws])
    assert merge([*aws, *gcp])[0].price_per_h == 0.8048


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("memory", "-1"),
        ("memory", "24146608128"),  # bytes
        ("memory", "9" * 63),
        ("memory", "²"),
        ("compute.major", "0"),
        ("compute.major", "8000"),
        ("compute.minor", "x"),
        ("count", "-3"),
        ("count", "many"),
        ("replicas", "0"),
        ("replicas", "-2"),
        ("replicas", "9" * 63),
    ],
)
def test_absurd_labels_are_not_believed(name: str, text: str) -> None:
    (kind,) = kinds(gfd("NVIDIA-L4", 22888) | {f"{GPU}.{name}": text})
    assert kind.memory_bytes == 22888 * MI
    assert kind.compute_capability is not None
    assert kind.compute_capability[0] == 8
    assert kind.price_per_h == 0.8048


def test_more_sharers_than_megabytes_leave_no_known_memory() -> None:
    (kind,) = kinds(gfd("NVIDIA-L4-SHARED", 22888, replicas="99999"))
    assert kind.memory_bytes == 0


TEXT = st.text("019.-+gbMIGSHARED²", max_size=12)
KEYS = st.sampled_from(
    [f"{GPU}.{k}" for k in ("product", "memory", "count", "replicas", "compute.major")]
    + ["nvidia.com/mig-1g.5gb.product", "nvidia.com/mig-1g.5gb.memory", "nvidia.com/mig-.product"]
    + [f"{GKE}gke-accelerator", f"{GKE}gke-gpu-partition-size"]
    + ["karpenter.k8s.aws/instance-gpu-name", "karpenter.k8s.aws/instance-gpu-memory"]
)


@given(st.dictionaries(KEYS, TEXT | st.sampled_from(["NVIDIA-L4-SHARED", "0", "-1", "1g.5gb"])))
def test_whatever_labels_say_nothing_fails(labels: dict[str, str]) -> None:
    for kind in merge(discover(labels, {GPU: 1})):
        assert kind.name
        assert kind.memory_bytes >= 0
        assert all(number is None or number >= 0 for number in figures(kind))
        assert kind.shared_by >= 1
