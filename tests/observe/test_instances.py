"""GPUs of EC2 instance types."""

from __future__ import annotations

import pytest

from conch.observe.catalogue import lookup
from conch.observe.instances import _FAMILIES, Fitted, of_family, of_type


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("g6.12xlarge", Fitted("l4", 4)),
        ("p5.48xlarge", Fitted("h100", 8)),
        ("p6-b200.48xlarge", Fitted("b200", 8)),
        ("g6.nano", None),
        ("m5.large", None),
        ("", None),
    ],
)
def test_types(name: str, wanted: Fitted | None) -> None:
    assert of_type(name) == wanted


def test_a_family_has_the_counts_of_all_its_sizes() -> None:
    assert [one.count for one in of_family("g5")] == [1, 4, 8]
    assert of_family("m5") == ()


def test_the_catalogue_knows_every_gpu_that_is_named() -> None:
    assert {gpu for gpu, _ in _FAMILIES.values() if lookup(gpu) is None} == set()
