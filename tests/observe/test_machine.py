"""What labels, taints and conditions say of a machine."""

from __future__ import annotations

import pytest

from conch.kube.views import StatusCondition, Taint
from conch.observe import machine


@pytest.mark.parametrize(
    ("label", "cloud"),
    [
        ("eks.amazonaws.com/nodegroup", "aws"),
        ("karpenter.k8s.aws/instance-family", "aws"),
        ("cloud.google.com/gke-nodepool", "gcp"),
        ("kubernetes.azure.com/cluster", "azure"),
        ("karpenter.azure.com/sku-name", "azure"),
        ("kubernetes.io/hostname", ""),
    ],
)
def test_cloud(label: str, cloud: str) -> None:
    assert machine.cloud({"kubernetes.io/os": "linux", label: "x"}) == cloud


def test_zone_site_architecture_and_driver() -> None:
    labels = {
        "topology.kubernetes.io/zone": "eu-1a",
        "failure-domain.beta.kubernetes.io/zone": "old",
        "conch.dev/site": "plant-7",
        "kubernetes.io/arch": "arm64",
    }
    assert (machine.zone(labels), machine.site(labels), machine.arch(labels)) == (
        "eu-1a",
        "plant-7",
        "arm64",
    )
    assert machine.driver({"nvidia.com/cuda.driver-version.major": "535"}) == 535
    assert machine.driver({"nvidia.com/cuda.driver-version.major": "r535"}) == 0
    assert machine.driver({"nvidia.com/cuda.driver-version.major": "535" * 3}) == 0
    assert machine.zone({"failure-domain.beta.kubernetes.io/zone": "old"}) == "old"
    assert (machine.zone({}), machine.site({}), machine.driver({})) == ("", "", 0)
    assert machine.arch({}) == "amd64"


@pytest.mark.parametrize(
    "key",
    [
        "karpenter.sh/disrupted",
        "aws-node-termination-handler/spot-itn",
        "cloud.google.com/impending-node-termination",
        "remediator.kubernetes.azure.com/unschedulable",
        "ToBeDeletedByClusterAutoscaler",
    ],
)
def test_taints_that_give_notice(key: str) -> None:
    assert machine.reclaimed([Taint(key, "1763804400", "NoSchedule")], ())
    assert not machine.reclaimed([Taint(key, "", "PreferNoSchedule")], ())


@pytest.mark.parametrize(
    ("kind", "status", "notice"),
    [
        ("PreemptScheduled", "True", True),
        ("PreemptScheduled", "False", False),
        ("TerminateScheduled", "True", True),
        ("FreezeScheduled", "True", False),
        ("Ready", "True", False),
    ],
)
def test_conditions_that_give_notice(kind: str, status: str, notice: bool) -> None:
    assert machine.reclaimed((), [StatusCondition(kind, status)]) is notice


def test_ordinary_taints_are_no_notice() -> None:
    taints = [
        Taint("nvidia.com/gpu", "present", "NoSchedule"),
        Taint("kubernetes.azure.com/scalesetpriority", "spot", "NoSchedule"),
        Taint("DeletionCandidateOfClusterAutoscaler", "1", "PreferNoSchedule"),
    ]
    assert not machine.reclaimed(taints, ())
