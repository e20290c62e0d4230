"""Command lines and configuration of the cluster's programs."""

import tomllib
from pathlib import Path

from e2e.testbed import controlplane, node, pki
from e2e.testbed.layout import Layout
from e2e.testbed.spec import ClusterSpec

PLACE = Layout("demo")


def test_the_audit_log_is_written_only_when_asked_for() -> None:
    plain = controlplane.apiserver(PLACE, ClusterSpec())
    audited = controlplane.apiserver(PLACE, ClusterSpec(audit=True))
    assert not [flag for flag in plain if "audit" in flag]
    assert f"--audit-log-path={PLACE.audit_log}" in audited


def test_reads_are_not_audited() -> None:
    writes, everything_else = controlplane.audit_policy()["rules"]
    assert "get" not in writes["verbs"]
    assert everything_else == {"level": "None"}


def test_the_controller_manager_is_patient_only_with_kwoks_nodes() -> None:
    flag = "--node-monitor-grace-period=24h"
    assert flag not in controlplane.controller_manager(PLACE, ClusterSpec())
    assert flag in controlplane.controller_manager(PLACE, ClusterSpec(kwok=True))
    hasty = controlplane.controller_manager(PLACE, ClusterSpec(node_grace_s=16))
    assert "--node-monitor-grace-period=16s" in hasty


def test_containerds_configuration_is_toml_with_our_sandbox_image() -> None:
    config = tomllib.loads(node.containerd_config(PLACE, Path("/usr/lib/cni")))
    images = config["plugins"]["io.containerd.cri.v1.images"]
    assert images["pinned_images"]["sandbox"] == node.PAUSE_IMAGE
    assert config["root"] == str(PLACE.containerd)


def test_two_clusters_share_no_path_and_no_cgroup() -> None:
    other = Layout("other")
    assert PLACE.state != other.state
    assert PLACE.namespace_file != other.namespace_file
    ours = node.kubelet_config(PLACE)["cgroupRoot"]
    assert ours != node.kubelet_config(other)["cgroupRoot"]


def test_certificates_name_the_service_as_pods_do() -> None:
    apiserver = next(one for one in pki.requests() if one["name"] == "apiserver")
    assert {"kubernetes", "kubernetes.default", "kubernetes.default.svc"} <= set(apiserver["dns"])
    assert "10.96.0.1" in apiserver["ips"]


def test_the_kubelets_certificate_is_its_nodes() -> None:
    kubelet = next(one for one in pki.requests() if one["name"] == "kubelet")
    assert (kubelet["common_name"], kubelet["organization"]) == (
        "system:node:conch-real",
        ["system:nodes"],
    )


def test_no_gpus_means_no_gpu_labels() -> None:
    assert node.gpu_labels(ClusterSpec(gpus=0)) == {}
    assert node.gpu_status_patch(ClusterSpec(gpus=2))["status"]["allocatable"] == {
        "nvidia.com/gpu": "2"
    }
