"""The real node: configuration and command lines of containerd, kubelet and kube-proxy. Pure."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from e2e.testbed import gpus, layout
from e2e.testbed.layout import Layout
from e2e.testbed.spec import ClusterSpec

PAUSE_IMAGE = "localhost/conch-test/pause:1"
CONTAINERD_CONFIG = """\
version = 3
root = "{root}"
state = "{state}"
disabled_plugins = [
  "io.containerd.nri.v1.nri", "io.containerd.snapshotter.v1.blockfile",
  "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.erofs", "io.containerd.snapshotter.v1.zfs",
]
[grpc]
  address = "{socket}"
[plugins."io.containerd.cri.v1.images".pinned_images]
  sandbox = "{pause}"
[plugins."io.containerd.cri.v1.runtime"]
  # Under our private /run, so that no network namespace outlives the cluster.
  netns_mounts_under_state_dir = true
  # Where the kernel denies CAP_SYS_RESOURCE, runc dies on a lower score than its own.
  restrict_oom_score_adj = true
[plugins."io.containerd.cri.v1.runtime".cni]
  bin_dirs = ["{cni_plugins}"]
  conf_dir = "{cni}"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc]
  runtime_type = "io.containerd.runc.v2"
[plugins."io.containerd.cri.v1.runtime".containerd.runtimes.runc.options]
  SystemdCgroup = false
"""


def containerd_config(place: Layout, cni_plugins: Path) -> str:
    return CONTAINERD_CONFIG.format(
        root=place.containerd,
        state=layout.CONTAINERD_STATE / "state",
        socket=layout.CONTAINERD_SOCKET,
        pause=PAUSE_IMAGE,
        cni_plugins=cni_plugins,
        cni=place.state / "cni",
    )


def cni_config(place: Layout) -> dict[str, Any]:
    """One bridge, no masquerade: nothing leaves the namespace."""
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "ipMasq": False,
        "hairpinMode": True,
        "ipam": {
            "type": "host-local",
            "dataDir": str(place.state / "ipam"),
            "ranges": [[{"subnet": layout.NODE_POD_RANGE}]],
            "routes": [{"dst": "0.0.0.0/0"}],
        },
    }
    return {"cniVersion": "1.0.0", "name": "conch", "plugins": [bridge]}


def kubelet_config(place: Layout) -> dict[str, Any]:
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": "0.0.0.0",
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": f"{place.pki}/ca.crt"},
        },
        "authorization": {"mode": "Webhook"},
        "tlsCertFile": f"{place.pki}/kubelet-server.crt",
        "tlsPrivateKeyFile": f"{place.pki}/kubelet-server.key",
        "cgroupDriver": "cgroupfs",
        # A root of its own: clusters side by side do not fight, and down knows what to remove.
        "cgroupRoot": f"/{place.cgroup}",
        "failCgroupV1": False,
        "failSwapOn": False,
        "containerRuntimeEndpoint": f"unix://{layout.CONTAINERD_SOCKET}",
        "clusterDNS": [layout.NODE_ADDRESS],
        "clusterDomain": "cluster.local",
        "resolvConf": f"{place.state}/resolv.conf",
        # Local images can't be pulled again: never collect them, never evict for disk.
        "imageGCHighThresholdPercent": 100,
        "imageGCLowThresholdPercent": 99,
        "imageMaximumGCAge": "0s",
        "evictionHard": {
            "memory.available": "100Mi",
            "nodefs.available": "1%",
            "nodefs.inodesFree": "1%",
            "imagefs.available": "1%",
        },
        "registryPullQPS": 0,
        "eventRecordQPS": 0,
        "kubeAPIQPS": 100,
        "kubeAPIBurst": 200,
        "syncFrequency": "10s",
        "nodeStatusUpdateFrequency": "10s",
    }


def proxy_config(place: Layout) -> dict[str, Any]:
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clientConnection": {"kubeconfig": str(place.component_kubeconfig("proxy"))},
        "clusterCIDR": layout.POD_RANGE,
        "hostnameOverride": layout.NODE,
        "bindAddress": layout.NODE_ADDRESS,
        "metricsBindAddress": "127.0.0.1:10249",
        "healthzBindAddress": "127.0.0.1:10256",
        # Zero leaves the machine-wide conntrack limits alone.
        "conntrack": {"maxPerCore": 0, "tcpEstablishedTimeout": "0s", "tcpCloseWaitTimeout": "0s"},
        "nftables": {"minSyncPeriod": "100ms", "syncPeriod": "30s"},
    }


def write_files(place: Layout, cni_plugins: Path) -> None:
    """Every file that the node's programs read."""
    (place.state / "cni").mkdir(exist_ok=True)
    (place.state / "cni" / "10-conch.conflist").write_text(json.dumps(cni_config(place)))
    (place.state / "containerd.toml").write_text(containerd_config(place, cni_plugins))
    (place.state / "kubelet.json").write_text(json.dumps(kubelet_config(place)))
    (place.state / "proxy.json").write_text(json.dumps(proxy_config(place)))
    (place.state / "resolv.conf").write_text(f"nameserver {layout.NODE_ADDRESS}\n")


def containerd(place: Layout) -> list[str]:
    return [f"--config={place.state}/containerd.toml", "--log-level=warn"]


def kubelet(place: Layout) -> list[str]:
    return [
        f"--config={place.state}/kubelet.json",
        f"--kubeconfig={place.component_kubeconfig('kubelet')}",
        f"--hostname-override={layout.NODE}",
        f"--node-ip={layout.NODE_ADDRESS}",
        f"--cert-dir={place.state}/kubelet-pki",
        "--node-labels=conch.test/kind=real",
    ]


def proxy(place: Layout) -> list[str]:
    return [f"--config={place.state}/proxy.json"]


def gpu_labels(spec: ClusterSpec) -> dict[str, str]:
    return gpus.labels(gpus.L4, spec.gpus) if spec.gpus else {}


def gpu_status_patch(spec: ClusterSpec) -> dict[str, Any]:
    """Merge patch of the node's status.

    Both fields: from capacity alone the kubelet derives allocatable only at its next heartbeat.
    Nothing resets it, not even a restart of the kubelet.
    """
    amount = {gpus.RESOURCE: str(spec.gpus)}
    return {"status": {"capacity": amount, "allocatable": amount}}


PROXY_BINDING: dict[str, Any] = {
    "apiVersion": "rbac.authorization.k8s.io/v1",
    "kind": "ClusterRoleBinding",
    "metadata": {"name": "conch-testbed:node-proxier"},
    "roleRef": {
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": "ClusterRole",
        "name": "system:node-proxier",
    },
    "subjects": [
        {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "system:kube-proxy"}
    ],
}
