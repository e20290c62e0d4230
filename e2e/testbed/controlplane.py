"""Command lines of the control plane. Pure: values in, argument lists out."""

from __future__ import annotations

import json
from typing import Any

from e2e.testbed import layout
from e2e.testbed.layout import Layout
from e2e.testbed.spec import ClusterSpec

ETCD_URL = "http://127.0.0.1:2379"
_ETCD_PEER_URL = "http://127.0.0.1:2380"
# Without these the default ServiceAccount takes 5 s to appear instead of 1.4 s, and a thousand
# Deployments are paced by the client instead of by the cluster.
_CLIENT_RATES = ("--kube-api-qps=300", "--kube-api-burst=600")


def etcd(place: Layout) -> list[str]:
    return [
        "--name=conch",
        f"--data-dir={place.etcd}",
        f"--listen-client-urls={ETCD_URL}",
        f"--advertise-client-urls={ETCD_URL}",
        f"--listen-peer-urls={_ETCD_PEER_URL}",
        f"--initial-advertise-peer-urls={_ETCD_PEER_URL}",
        f"--initial-cluster=conch={_ETCD_PEER_URL}",
        "--unsafe-no-fsync",
        "--log-level=warn",
    ]


def apiserver(place: Layout, spec: ClusterSpec) -> list[str]:
    pki = place.pki
    return [
        f"--etcd-servers={ETCD_URL}",
        "--bind-address=0.0.0.0",
        f"--secure-port={layout.API_PORT}",
        f"--advertise-address={layout.NODE_ADDRESS}",
        f"--tls-cert-file={pki}/apiserver.crt",
        f"--tls-private-key-file={pki}/apiserver.key",
        f"--client-ca-file={pki}/ca.crt",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={pki}/sa.pub",
        f"--service-account-signing-key-file={pki}/sa.key",
        f"--service-cluster-ip-range={layout.SERVICE_RANGE}",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        "--allow-privileged=true",
        f"--kubelet-client-certificate={pki}/apiserver-kubelet.crt",
        f"--kubelet-client-key={pki}/apiserver-kubelet.key",
        f"--kubelet-certificate-authority={pki}/ca.crt",
        "--kubelet-preferred-address-types=InternalIP",
        f"--requestheader-client-ca-file={pki}/ca.crt",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-username-headers=X-Remote-User",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        f"--proxy-client-cert-file={pki}/front-proxy.crt",
        f"--proxy-client-key-file={pki}/front-proxy.key",
        *(
            [
                f"--audit-policy-file={place.state}/audit-policy.json",
                f"--audit-log-path={place.audit_log}",
                # A reader must see a write as soon as it was answered.
                "--audit-log-mode=blocking",
            ]
            if spec.audit
            else []
        ),
    ]


def audit_policy() -> dict[str, Any]:
    """Who wrote what, without bodies; reads are not worth their volume."""
    writes = ["create", "update", "patch", "delete", "deletecollection"]
    return {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [{"level": "Metadata", "verbs": writes}, {"level": "None"}],
    }


def controller_manager(place: Layout, spec: ClusterSpec) -> list[str]:
    grace = f"{spec.node_grace_s}s" if spec.node_grace_s else ""
    if spec.runs_kwok:
        grace = "24h"  # KWOK's nodes keep no leases: see kwok.py
    return [
        *_kubeconfigs(place, "controller-manager"),
        f"--root-ca-file={place.pki}/ca.crt",
        f"--service-account-private-key-file={place.pki}/sa.key",
        "--use-service-account-credentials=true",
        "--leader-elect=false",
        *_CLIENT_RATES,
        f"--cluster-signing-cert-file={place.pki}/ca.crt",
        f"--cluster-signing-key-file={place.pki}/ca.key",
        "--allocate-node-cidrs=false",
        "--bind-address=127.0.0.1",
        f"--horizontal-pod-autoscaler-sync-period={spec.hpa_sync_period_s}s",
        *([f"--node-monitor-grace-period={grace}"] if grace else []),
    ]


def scheduler(place: Layout) -> list[str]:
    return [
        *_kubeconfigs(place, "scheduler"),
        "--leader-elect=false",
        *_CLIENT_RATES,
        "--bind-address=127.0.0.1",
    ]


def _kubeconfigs(place: Layout, user: str) -> list[str]:
    config = place.component_kubeconfig(user)
    return [
        f"--kubeconfig={config}",
        f"--authentication-kubeconfig={config}",
        f"--authorization-kubeconfig={config}",
    ]


def write_files(place: Layout, spec: ClusterSpec) -> None:
    """The files that the command lines name."""
    if spec.audit:
        (place.state / "audit-policy.json").write_text(json.dumps(audit_policy()))
