"""Which nodes a pod may go to, by the rules kube-scheduler applies to what is rendered."""

from __future__ import annotations

from typing import Any

import pytest

from conch.api import names, v1alpha1
from conch.kube.views import Object
from conch.observe.types import CPU_CLASS, AcceleratorKind
from conch.render.placement import apart, node_affinity, spread, tolerations
from tests.render.cases import L4

GPU = {"nvidia.com/gpu.product": "NVIDIA-L4"}
SPOT_NODES = [
    {"karpenter.sh/capacity-type": "spot"},
    {"cloud.google.com/gke-spot": "true"},
    {"cloud.google.com/gke-preemptible": "true"},
    {"eks.amazonaws.com/capacityType": "SPOT"},
    {"kubernetes.azure.com/scalesetpriority": "spot"},
]
ON_DEMAND_NODES = [
    {},
    {"karpenter.sh/capacity-type": "on-demand"},
    {"karpenter.sh/capacity-type": "reserved"},
    {"eks.amazonaws.com/capacityType": "ON_DEMAND"},
    {"cloud.google.com/gke-spot": "false"},
]


def placement(**fields: Any) -> v1alpha1.Placement:
    return v1alpha1.Placement.model_validate(fields)


def affinity_of(
    kind: AcceleratorKind, placed: v1alpha1.Placement, **runtime: Any
) -> dict[str, Any]:
    """The node affinity with a runtime that says so."""
    values = {"image": "triton", "release": "24.10", **runtime}
    return node_affinity(kind, placed, v1alpha1.TritonRuntimeSpec.model_validate(values))


def matches(term: Object, labels: dict[str, str]) -> bool:
    """One term, as documented for NodeSelectorTerm: all of its expressions."""
    rules = {
        "In": lambda has, of: has in of,
        "NotIn": lambda has, of: has not in of,
        "Gt": lambda has, of: has is not None and int(has) > int(of[0]),
        "DoesNotExist": lambda has, of: has is None,
    }
    return all(
        rules[e["operator"]](labels.get(e["key"]), e.get("values"))
        for e in term["matchExpressions"]
    )


def allowed(affinity: Object, labels: dict[str, str]) -> bool:
    required = affinity["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    return any(matches(term, labels) for term in required["nodeSelectorTerms"])


def preferred(affinity: Object, labels: dict[str, str]) -> bool:
    terms = affinity["nodeAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    return any(matches(term["preference"], labels) for term in terms)


@pytest.mark.parametrize(
    ("types", "here", "elsewhere"),
    [(["Spot"], SPOT_NODES, ON_DEMAND_NODES), (["OnDemand"], ON_DEMAND_NODES, SPOT_NODES)],
)
def test_one_capacity_type_is_required(
    types: list[str], here: list[dict[str, str]], elsewhere: list[dict[str, str]]
) -> None:
    affinity = affinity_of(L4, placement(capacityTypes=types))
    assert all(allowed(affinity, {**GPU, **labels}) for labels in here)
    assert not any(allowed(affinity, {**GPU, **labels}) for labels in elsewhere)
    assert not any(allowed(affinity, labels) for labels in here), "the class is required as well"


@pytest.mark.parametrize(
    ("types", "better", "worse"),
    [
        (["Spot", "OnDemand"], SPOT_NODES, ON_DEMAND_NODES),
        (["OnDemand", "Spot"], ON_DEMAND_NODES, SPOT_NODES),
    ],
)
def test_of_two_capacity_types_the_first_is_preferred(
    types: list[str], better: list[dict[str, str]], worse: list[dict[str, str]]
) -> None:
    affinity = affinity_of(L4, placement(capacityTypes=types))
    assert all(preferred(affinity, labels) for labels in better)
    assert not any(preferred(affinity, labels) for labels in worse)
    assert all(allowed(affinity, {**GPU, **labels}) for labels in [*better, *worse])


def test_pods_are_spread_over_sites_or_else_zones() -> None:
    keys = [
        [constraint["topologyKey"] for constraint in spread("web", placement(**given))]
        for given in ({}, {"sites": ["oslo", "berlin"]})
    ]
    assert keys == [
        ["kubernetes.io/hostname", "topology.kubernetes.io/zone"],
        ["kubernetes.io/hostname", names.LABEL_SITE],
    ]


def test_pods_repel_each_other_between_sites_that_have_a_minimum() -> None:
    assert apart("web", placement(sites=["oslo", "berlin"])) == {}
    rules = apart("web", placement(sites=["oslo", "berlin"], minReplicasPerSite=1))
    (term,) = rules["podAntiAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert list(rules["podAntiAffinity"]) == ["preferredDuringSchedulingIgnoredDuringExecution"], (
        "required, a site without room would hold up the others"
    )
    assert term["podAffinityTerm"]["topologyKey"] == names.LABEL_SITE
    assert term["podAffinityTerm"]["labelSelector"]["matchLabels"] == names.selector_labels("web")


def test_sites_are_required_with_and_without_a_class() -> None:
    for kind, class_labels in ((L4, GPU), (CPU_CLASS, {})):
        affinity = affinity_of(kind, placement(sites=["oslo", "berlin"]))
        assert allowed(affinity, {**class_labels, "conch.dev/site": "berlin"})
        assert not allowed(affinity, {**class_labels, "conch.dev/site": "rome"})
        assert not allowed(affinity, class_labels)


def test_any_node_is_no_affinity_at_all() -> None:
    assert affinity_of(CPU_CLASS, placement()) == {}


@pytest.mark.parametrize("fields", [{}, {"capacityTypes": ["Spot"]}, {"sites": ["oslo"]}])
def test_only_nodes_that_the_image_runs_on(fields: dict[str, Any]) -> None:
    here = {**GPU, "karpenter.sh/capacity-type": "spot", "conch.dev/site": "oslo"}
    arm = affinity_of(L4, placement(**fields), architectures=["arm64"])
    assert allowed(arm, {**here, "kubernetes.io/arch": "arm64"})
    assert not allowed(arm, {**here, "kubernetes.io/arch": "amd64"})
    any_arch = affinity_of(L4, placement(**fields), minDriver=535)
    assert allowed(any_arch, {**here, "kubernetes.io/arch": "arm64"})
    label = "nvidia.com/cuda.driver-version.major"
    assert allowed(any_arch, {**here, label: "535"})
    assert not allowed(any_arch, {**here, label: "470"})
    assert not allowed(any_arch, {**here, "nvidia.com/gpu.product": "Tesla-T4", label: "535"})


def test_without_an_accelerator_no_driver_is_asked_for() -> None:
    affinity = affinity_of(CPU_CLASS, placement(sites=["oslo"]), minDriver=535)
    label = "nvidia.com/cuda.driver-version.major"
    assert allowed(affinity, {"conch.dev/site": "oslo", label: "470"})


def test_spot_taints_are_tolerated_by_who_may_be_on_spot() -> None:
    def keys(**fields: Any) -> set[str]:
        return {t["key"] for t in tolerations(placement(**fields), L4)}

    azure = "kubernetes.azure.com/scalesetpriority"
    assert azure in keys(capacityTypes=["OnDemand", "Spot"])
    assert azure not in keys(capacityTypes=["OnDemand"]) | keys()


def test_pods_at_a_site_outlast_its_connection() -> None:
    lost = {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute"}
    assert lost in tolerations(placement(sites=["oslo"]), L4)
    assert lost not in tolerations(placement(), L4)
