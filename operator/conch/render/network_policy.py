"""The NetworkPolicy: who may reach the model servers, and what they may reach.

Inference ports are open: who may call a model is the user's own policy to write (policies add up).
The metrics port is open to the operator only; a Prometheus elsewhere needs a policy of its own.
Outgoing traffic is what fetching needs, and none at all when every model is already on a volume or
in the image. A policy covers the whole pod, so Triton itself gets no less than the puller.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from conch.api import names, v1alpha1
from conch.kube.views import Object
from conch.render.metadata import metadata
from conch.render.options import RenderOptions

# An S3 endpoint stands in a Secret, which the operator never reads: the usual ports.
S3_PORTS = (80, 443, 9000)


def network_policy(service: v1alpha1.InferenceService, options: RenderOptions) -> Object:
    """One policy for all pods of the service."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(service),
        "spec": {
            "podSelector": {"matchLabels": names.selector_labels(service.metadata.name)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [
                {"ports": [_port(names.PORT_HTTP), _port(names.PORT_GRPC)]},
                {
                    "from": [{"namespaceSelector": _namespace(options.operator_namespace)}],
                    "ports": [_port(names.PORT_METRICS)],
                },
            ],
            "egress": _egress(service),
        },
    }


def _egress(service: v1alpha1.InferenceService) -> list[Object]:
    ports: set[int] = set()
    for model in service.spec.models:
        uri = urlsplit(model.source.uri)
        if uri.scheme == "https":
            ports.add(_explicit_port(model.source.uri) or 443)
        elif uri.scheme == "s3":
            ports.update(S3_PORTS)
    if not ports:
        return []
    dns = [_port(53, "UDP"), _port(53)]
    return [{"ports": dns}, {"ports": [_port(number) for number in sorted(ports)]}]


def _explicit_port(uri: str) -> int | None:
    try:
        return urlsplit(uri).port
    except ValueError:
        return None  # not a port number: the puller refuses the URI with a reason


def _port(number: int, protocol: str = "TCP") -> Object:
    return {"port": number, "protocol": protocol}


def _namespace(name: str) -> Object:
    return {"matchLabels": {"kubernetes.io/metadata.name": name}}
