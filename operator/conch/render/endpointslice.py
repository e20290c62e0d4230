"""The EndpointSlice by which the activator enters a service's path, and leaves it.

It is there as long as the service may go to zero: with endpoints only while there is no server. So
the activator listens on the service's ports before anything is sent to it, and the ports survive.
Kubernetes' own slices of the Service are left alone: this one has another manager.
"""

from __future__ import annotations

from dataclasses import dataclass

from conch.api import names, v1alpha1
from conch.kube.views import Object
from conch.render.metadata import metadata


@dataclass(frozen=True, slots=True)
class Holding:
    """``addresses``: the activators that are in the path now."""

    port: int  # for HTTP; the next one is for gRPC
    addresses: tuple[str, ...]
    family: str  # IPv4 or IPv6; an existing slice cannot change it
    hold_s: int


def endpoint_slice(service: v1alpha1.InferenceService, holding: Holding) -> Object:
    """The service's slice that leads to the activators."""
    name = service.metadata.name
    labels = {
        names.LABEL_SLICE_SERVICE: name,
        names.LABEL_SLICE_MANAGER: names.SLICE_MANAGER,
        names.LABEL_TO_ZERO: "true",
    }
    annotations = {
        names.ANNOTATION_MODELS: ",".join(model.name for model in service.spec.models),
        names.ANNOTATION_HOLD_S: str(holding.hold_s),
    }
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {**metadata(service, labels), "annotations": annotations},
        "addressType": holding.family,
        # By the names of the Service's ports; metrics are nobody's to hold.
        "ports": [
            {"name": "http", "port": holding.port, "protocol": "TCP"},
            {
                "name": "grpc",
                "port": holding.port + 1,
                "protocol": "TCP",
                "appProtocol": "kubernetes.io/h2c",
            },
        ],
        "endpoints": [
            {"addresses": [address], "conditions": {"ready": True}} for address in holding.addresses
        ],
    }
