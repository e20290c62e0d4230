"""Certificates and kubeconfigs of one cluster."""

from __future__ import annotations

import base64
import json
import subprocess
from pathlib import Path
from typing import Any

from e2e.testbed import layout
from e2e.testbed.layout import Layout

ADMIN = "admin"
# kubeconfig user → (common name, organisation): what RBAC sees
USERS: dict[str, tuple[str, str | None]] = {
    ADMIN: ("admin", "system:masters"),
    "controller-manager": ("system:kube-controller-manager", None),
    "scheduler": ("system:kube-scheduler", None),
    "kubelet": (f"system:node:{layout.NODE}", "system:nodes"),
    "proxy": ("system:kube-proxy", None),
    "kwok": ("kwok", "system:masters"),
}
_ON_THE_NODE = ("kubelet", "proxy")


def requests() -> list[dict[str, Any]]:
    """What the pki program is asked for."""
    asked: list[dict[str, Any]] = [
        {
            "name": "apiserver",
            "common_name": "kube-apiserver",
            "server": True,
            "dns": ["localhost"]
            + ["kubernetes.default.svc.cluster.local".rsplit(".", cut)[0] for cut in (0, 2, 3, 4)],
            "ips": [
                "127.0.0.1",
                layout.API_SERVICE_ADDRESS,
                layout.NODE_ADDRESS,
                layout.UPLINK_ADDRESS,
            ],
        },
        {
            "name": "kubelet-server",
            "common_name": layout.NODE,
            "server": True,
            "dns": [layout.NODE],
            "ips": [layout.NODE_ADDRESS, "127.0.0.1"],
        },
        {
            "name": "apiserver-kubelet",
            "common_name": "kube-apiserver-kubelet-client",
            "organization": ["system:masters"],
        },
        {"name": "front-proxy", "common_name": "front-proxy-client"},
    ]
    for user, (common_name, organization) in USERS.items():
        asked.append(
            {
                "name": user,
                "common_name": common_name,
                "organization": [organization] if organization else [],
            }
        )
    return asked


def make(program: str, place: Layout) -> None:
    """Write the certificates, and a kubeconfig for every component."""
    place.pki.mkdir(parents=True, exist_ok=True)
    subprocess.run([program, str(place.pki)], input=json.dumps(requests()).encode(), check=True)
    inside = f"https://127.0.0.1:{layout.API_PORT}"
    uplink = f"https://{layout.UPLINK_ADDRESS}:{layout.API_PORT}"
    for user in USERS:
        server = uplink if user in _ON_THE_NODE else inside
        write_kubeconfig(place, user, server, place.component_kubeconfig(user))
    write_kubeconfig(place, ADMIN, inside, place.inner_kubeconfig)


def write_kubeconfig(place: Layout, user: str, server: str, target: Path) -> None:
    """JSON is YAML: every client reads it."""

    def encoded(name: str) -> str:
        return base64.b64encode((place.pki / name).read_bytes()).decode()

    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": place.namespace,
                "cluster": {"server": server, "certificate-authority-data": encoded("ca.crt")},
            }
        ],
        "users": [
            {
                "name": user,
                "user": {
                    "client-certificate-data": encoded(f"{user}.crt"),
                    "client-key-data": encoded(f"{user}.key"),
                },
            }
        ],
        "contexts": [
            {
                "name": place.namespace,
                "context": {"cluster": place.namespace, "user": user, "namespace": "default"},
            }
        ],
        "current-context": place.namespace,
    }
    target.touch(mode=0o600)
    target.write_text(json.dumps(config, indent=1))
