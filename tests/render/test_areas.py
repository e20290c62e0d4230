"""Areas that pods prefer: what kube-scheduler is told, and what is read back from it."""

from __future__ import annotations

from typing import Any

import pytest

from conch.api import names, v1alpha1
from conch.kube.views import Object
from conch.observe.types import Area, Tiers
from conch.render.areas import preferred
from conch.render.placement import node_affinity, spread
from tests.render.cases import L4

ZONE, SITE = names.LABEL_ZONE, names.LABEL_SITE
NORTH, SOUTH, SHOP = (ZONE, "north"), (ZONE, "south"), (SITE, "shop-1")
HOST = "kubernetes.io/hostname"


def placement(**fields: Any) -> v1alpha1.Placement:
    return v1alpha1.Placement.model_validate({"optimise": "Carbon", **fields})


def affinity(tiers: Tiers, **fields: Any) -> Object:
    runtime = v1alpha1.TritonRuntimeSpec(image="triton", release="24.10")
    found: Object = node_affinity(L4, placement(**fields), runtime, tiers)["nodeAffinity"]
    return found


def weight(found: Object, *labels: tuple[str, str]) -> int:
    """As kube-scheduler sums it up for a node with those labels."""
    return sum(
        term["weight"]
        for term in found["preferredDuringSchedulingIgnoredDuringExecution"]
        if all(
            dict(labels).get(rule["key"]) in rule["values"]
            for rule in term["preference"]["matchExpressions"]
            if rule["operator"] == "In"
        )
    )


def test_cleaner_areas_weigh_more_and_none_is_required() -> None:
    found = affinity(((NORTH, SHOP), (SOUTH,)))
    weights = [weight(found, area) for area in (NORTH, SHOP, SOUTH, (ZONE, "elsewhere"))]
    assert weights == [100, 100, 10, 0]
    required = found["requiredDuringSchedulingIgnoredDuringExecution"]
    assert required == affinity(())["requiredDuringSchedulingIgnoredDuringExecution"]


def test_the_capacity_type_that_the_user_prefers_weighs_more_than_any_area() -> None:
    found = affinity(((NORTH,), (SOUTH,)), capacityTypes=["Spot", "OnDemand"])
    spot = ("karpenter.sh/capacity-type", "spot")
    order = [weight(found, *labels) for labels in ([spot, NORTH], [spot, SOUTH], [NORTH], [SOUTH])]
    assert order == sorted(order, reverse=True)
    assert len(set(order)) == 4


@pytest.mark.parametrize(
    "tiers", [(), ((NORTH, SOUTH), (SHOP,)), ((SHOP, NORTH), (SOUTH,), ((ZONE, "west"),))]
)
@pytest.mark.parametrize("types", [None, ["Spot", "OnDemand"], ["OnDemand", "Spot"]])
def test_the_order_is_read_from_what_was_rendered(tiers: Tiers, types: list[str] | None) -> None:
    found = affinity(tiers, capacityTypes=types)
    spec = {"affinity": {"nodeAffinity": found}}
    deployment = {"spec": {"template": {"spec": spec}}}
    assert preferred(deployment) == tuple(tuple(sorted(areas)) for areas in tiers)


def test_a_deployment_without_affinity_prefers_nothing() -> None:
    assert preferred({"spec": {"template": {}}}) == ()
    assert preferred({"spec": {"replicas": 1}}) == (), "as snapshots of older versions have it"


@pytest.mark.parametrize(
    ("tiers", "sites", "expected"),
    [
        ((), None, {HOST: 1, ZONE: 1}),
        (((NORTH,), (SOUTH,)), None, {HOST: 5}),
        (((NORTH, SOUTH), ((ZONE, "west"),)), None, {HOST: 5, ZONE: 5}),
        (((SHOP,), ((SITE, "shop-2"),)), ["shop-1", "shop-2"], {HOST: 5}),
        (((NORTH,), (SOUTH,)), ["shop-1", "shop-2"], {HOST: 5, SITE: 5}),  # several in the north
    ],
)
def test_pods_spread_over_the_best_areas_only(
    tiers: tuple[tuple[Area, ...], ...], sites: list[str] | None, expected: dict[str, int]
) -> None:
    found = spread("web", placement(sites=sites), tiers)
    assert {one["topologyKey"]: one["maxSkew"] for one in found} == expected
