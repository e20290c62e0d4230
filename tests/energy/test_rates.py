"""Sites and grids of one pod."""

import pytest

from conch.energy import rates
from conch.observe.types import AcceleratorKind, NodeCapacity

L4 = AcceleratorKind("l4", {}, "nvidia.com/gpu", 0, None, False)


def node(zone: str = "", site: str = "", **labels: str) -> NodeCapacity:
    spelled = {key.replace("__", "/").replace("_", "."): value for key, value in labels.items()}
    return NodeCapacity("n", spelled, (), True, False, {}, {}, zone=zone, site=site)


def test_the_clouds_effectiveness_unless_one_is_given() -> None:
    assert rates.pue(node(eks_amazonaws_com__nodegroup="x"), 0.0) == 1.2
    assert rates.pue(node(cloud_google_com__gke="x"), 0.0) == 1.12
    assert rates.pue(node(), 0.0) == rates.PUE_UNKNOWN
    assert rates.pue(node(eks_amazonaws_com__nodegroup="x"), 1.07) == 1.07


def test_the_grid_is_the_classes_own_or_mapped_or_the_region() -> None:
    where = node("eu-central-1a", "attic", topology_kubernetes_io__region="eu-central-1")
    own = AcceleratorKind("l4", {}, "", 0, None, True, carbon_zone="SE")
    assert rates.carbon_zone(own, where, {"eu-central-1a": "DE"}) == "SE"
    assert rates.carbon_zone(L4, where, {"eu-central-1a": "DE", "*": "FR"}) == "DE"
    assert rates.carbon_zone(L4, where, {"eu-central-1": "DE"}) == "DE"
    assert rates.carbon_zone(L4, where, {"attic": "CH", "*": "FR"}) == "CH"
    assert rates.carbon_zone(L4, where, {"*": "FR"}) == "FR"
    assert rates.carbon_zone(L4, where, {}) == "eu-central-1"
    assert rates.carbon_zone(L4, node(), {}) == ""


def test_a_million_inferences_on_an_l4_by_hand() -> None:
    """72 W at 500 inferences/s, PUE 1.2, 475 g/kWh: 23 g (knowledge, worked by hand)."""
    assert rates.grams(72 / 500 * 1e6, 1.2, 475) == pytest.approx(22.8)
