"""Names and places of one cluster: the one home of every path, address and namespace name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
STATE = REPOSITORY / "build" / "testbed"

NODE = "conch-real"
NODE_ADDRESS = "10.88.0.1"
KWOK_ADDRESS = "10.88.0.2"
UPLINK_ADDRESS = "10.88.0.3"
"""The API server's, as the real node's programs know it: cut this off, and the node is."""
API_PORT = 6443
SERVICE_RANGE = "10.96.0.0/16"
API_SERVICE_ADDRESS = "10.96.0.1"
POD_RANGE = "10.244.0.0/16"
NODE_POD_RANGE = "10.244.0.0/24"
FAKE_POD_RANGE = "10.128.0.0/10"
"""Addresses of KWOK's pods, all local inside the namespace: any server there can play them."""

CONTAINERD_STATE = Path("/run/containerd")
KUBELET_STATE = Path("/var/lib/kubelet")
CONTAINERD_SOCKET = CONTAINERD_STATE / "ctd.sock"
HOST_LOCK = Path("/run/lock/conch-testbed.lock")
"""Held while something is changed that all clusters of the machine share."""
NETWORK_NAMESPACES = Path("/run/netns")
PREFIX = "conch-"


@dataclass(frozen=True, slots=True)
class Layout:
    """Everything that belongs to the cluster `name`."""

    name: str

    @property
    def state(self) -> Path:
        return STATE / self.name

    @property
    def lock(self) -> Path:
        return STATE / f"{self.name}.lock"

    @property
    def spec(self) -> Path:
        """The spec of a cluster that came up whole; absent while it does not."""
        return self.state / "up.json"

    @property
    def port(self) -> Path:
        """Holds the port of the host's loopback that leads to the API server."""
        return self.state / "port"

    @property
    def namespace(self) -> str:
        return f"{PREFIX}{self.name}"

    @property
    def namespace_file(self) -> Path:
        return NETWORK_NAMESPACES / self.namespace

    @property
    def cgroup(self) -> str:
        """Relative to every hierarchy's root; all pods of the cluster lie under it."""
        return f"{PREFIX}{self.name}"

    @property
    def pki(self) -> Path:
        return self.state / "pki"

    @property
    def logs(self) -> Path:
        return self.state / "log"

    @property
    def audit_log(self) -> Path:
        return self.logs / "audit.jsonl"

    @property
    def etcd(self) -> Path:
        return self.state / "etcd"

    @property
    def containerd(self) -> Path:
        return self.state / "containerd"

    @property
    def kubelet(self) -> Path:
        return self.state / "kubelet"

    @property
    def pod_logs(self) -> Path:
        return self.state / "var-log"

    @property
    def kubeconfig(self) -> Path:
        """For the host, through the forwarder."""
        return self.state / "kubeconfig"

    @property
    def inner_kubeconfig(self) -> Path:
        """For programs inside the network namespace."""
        return self.state / "inner.kubeconfig"

    def component_kubeconfig(self, user: str) -> Path:
        return self.state / f"{user}.kubeconfig"
