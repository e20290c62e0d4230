"""The catalogue: whose figures they are, and which product a name means."""

from __future__ import annotations

import pytest

from conch.observe.catalogue import (
    CATALOGUE,
    SOURCES,
    Figure,
    Gpu,
    ListPrice,
    lookup,
    mig_memory_mib,
    mig_share,
)


@pytest.mark.parametrize("gpu", CATALOGUE.values(), ids=lambda gpu: gpu.name)
def test_every_figure_has_a_source_and_makes_sense(gpu: Gpu) -> None:
    figures = [gpu.memory_mib, gpu.max_watts, gpu.idle_watts]
    assert all(figure.source in SOURCES for figure in figures if figure is not None)
    assert {price.cloud for price in gpu.prices} <= {"aws", "gcp", "azure"} <= SOURCES.keys()
    assert gpu.memory_mib.value >= 0
    if gpu.max_watts is not None and gpu.idle_watts is not None:
        assert 0 < gpu.idle_watts.value < gpu.max_watts.value <= 1000
    for price in gpu.prices:
        assert price.on_demand is not None
        assert 0.1 < price.on_demand < 40
        assert price.spot is None or 0 < price.spot < price.on_demand
    for profile, count in (gpu.mig or {}).items():
        share = mig_share(profile, gpu.memory_mib.value)
        assert share is not None
        assert count * share <= 1


@pytest.mark.parametrize(
    ("product", "name"),
    [
        ("t4", "t4"),
        ("t4g", "t4g"),
        ("l40", "l40"),
        ("l40s", "l40s"),
        ("l4-shared-4", "l4"),
        ("a100", "a100"),
        ("a100-sxm4-40gb", "a100"),
        ("a100-sxm4-80gb", "a100-80gb"),
        ("a100-pcie-40gb", "a100-pcie"),
        ("a100-80gb-pcie", "a100-80gb-pcie"),
        ("a100-sxm4-80gb-mig-1g.10gb", "a100-80gb"),
        ("v100-sxm2-32gb", "v100-32gb"),
        ("h100-80gb-hbm3", "h100"),
        ("h100-mega-80gb", "h100"),
        ("h100-nvl-mig-1g.12gb", "h100-nvl"),
        ("h200-141gb", "h200"),
        ("gh200-480gb", "gh200"),
        ("rtx-pro-6000-blackwell-server-edition", "rtx-pro-6000"),
        ("rtx-pro-server-6000", "rtx-pro-6000"),
        ("orin", "orin"),
        ("jetson-orin-nano-8gb", "orin-nano"),
        ("jetson-agx-thor", "thor"),
    ],
)
def test_a_name_means_a_product(product: str, name: str) -> None:
    found = lookup(product)
    assert found is not None
    assert found.name == name


@pytest.mark.parametrize(
    "product", ["", "gpu", "z9", "tesla", "geforce-rtx-4090", "rtx", "pro-6000"]
)
def test_a_name_nobody_knows_means_nothing(product: str) -> None:
    assert lookup(product) is None


def gpu(*prices: ListPrice) -> Gpu:
    return Gpu("x", Figure(1024, "nominal"), None, prices=prices)


def test_the_price_is_that_of_the_cloud_a_node_is_in() -> None:
    lists = gpu(ListPrice(1.0, None, "aws"), ListPrice(2.0, 0.7, "gcp"))
    assert lists.price("gcp") == ListPrice(2.0, 0.7, "gcp")
    assert lists.price("azure") == lists.price() == ListPrice(1.0, 0.7, "aws")
    assert gpu().price("aws") is None


def test_no_cloud_has_spot_dearer_than_on_demand() -> None:
    lists = gpu(ListPrice(1.0, None, "aws"), ListPrice(3.0, 1.5, "gcp"))
    assert lists.price("aws") == ListPrice(1.0, None, "aws")


@pytest.mark.parametrize("profile", ["", "INVALID", "1g", "all", "8g.160gb"])
def test_no_share_of_what_is_no_profile(profile: str) -> None:
    assert mig_share(profile, 81920) is None


def test_shares_and_memory_of_profiles() -> None:
    assert mig_share("1g.5gb", 40960) == 1 / 8
    assert mig_share("1g.10gb.me", 81920) == 1 / 8
    assert mig_share("1g.6gb", 24576) == 1 / 4
    assert mig_share("7g.141gb", 143771) == 1
    assert mig_share("1g.5gb", 0) is None
    assert (mig_memory_mib("3g.20gb"), mig_memory_mib("none")) == (20480, 0)
