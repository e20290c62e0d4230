"""The Service clients talk to: HTTP, gRPC and metrics of every ready pod."""

from __future__ import annotations

from conch.api import names, v1alpha1
from conch.kube.views import Object
from conch.render.metadata import metadata


def service(owner: v1alpha1.InferenceService, *, to_zero: bool = False) -> Object:
    """A ClusterIP Service named after the InferenceService.

    The label of one that may go to zero is copied to its EndpointSlices by Kubernetes: that is how
    the operator and the activator find those, and mirror no others.
    """
    mark = {names.LABEL_TO_ZERO: "true"} if to_zero else {}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(owner, mark),
        "spec": {
            "type": "ClusterIP",
            "selector": names.selector_labels(owner.metadata.name),
            "ports": [
                _port("http", names.PORT_HTTP),
                # Gateways and meshes speak HTTP/2 to a plain port only when they are told to.
                {**_port("grpc", names.PORT_GRPC), "appProtocol": "kubernetes.io/h2c"},
                _port("metrics", names.PORT_METRICS),
            ],
        },
    }


def _port(name: str, number: int) -> Object:
    return {"name": name, "port": number, "targetPort": name, "protocol": "TCP"}
