"""Speeds: what is expected of a GPU on which a model never ran."""

from __future__ import annotations

import pytest

from conch.observe.catalogue import CATALOGUE
from conch.observe.discovery import discover
from conch.observe.speeds import SPEEDS, relative
from conch.observe.types import CPU_CLASS, AcceleratorKind

_PRODUCT = "nvidia.com/gpu.product"


def shown(product: str, **labels: str) -> AcceleratorKind:
    """The class of a node with that product."""
    found = discover({_PRODUCT: product, **labels}, {"nvidia.com/gpu": 1})
    return found[0].kind


T4, L4, A100 = shown("Tesla-T4"), shown("NVIDIA-L4"), shown("NVIDIA-A100-SXM4-80GB")


def test_every_speed_is_of_a_known_gpu() -> None:
    assert SPEEDS.keys() <= CATALOGUE.keys()
    for speed in SPEEDS.values():
        assert 200 < speed.memory_gb_per_s < 10_000
        assert 10 < speed.dense_fp16_tflops < 3_000


def test_the_worse_of_two_ratios_counts() -> None:
    assert relative(T4, L4) == 1.0  # twice the arithmetic, the same memory
    assert relative(L4, T4) == pytest.approx(65 / 121)


def test_of_what_is_gained_the_half_is_counted_on() -> None:
    better = min(2039 / 300, 312 / 121)
    assert relative(L4, A100) == pytest.approx(1 + 0.5 * (better - 1))


def test_a_part_of_a_gpu_has_its_part_of_the_speed() -> None:
    shared = shown("NVIDIA-L4-SHARED", **{"nvidia.com/gpu.replicas": "4"})
    assert relative(L4, shared) == pytest.approx(1 / 4)
    slice_ = shown("NVIDIA-A100-SXM4-80GB-MIG-1g.10gb")
    assert relative(A100, slice_) == pytest.approx(1 / 8)


def test_a_class_of_any_name_is_known_by_what_it_selects() -> None:
    declared = AcceleratorKind("fast", {_PRODUCT: "NVIDIA-L4"}, "nvidia.com/gpu", 0, None, True)
    assert relative(T4, declared) == 1.0


@pytest.mark.parametrize(
    "other",
    [
        CPU_CLASS,
        AcceleratorKind("ours", {"gpu": "ours"}, "example.com/gpu", 0, None, True),
        shown("NVIDIA-GH200-480GB"),
    ],
    ids=lambda kind: kind.name,
)
def test_what_was_not_read_has_no_ratio(other: AcceleratorKind) -> None:
    assert relative(L4, other) is None
    assert relative(other, L4) is None
