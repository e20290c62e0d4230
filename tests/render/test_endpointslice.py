"""The slice by which the activator enters a service's path."""

from __future__ import annotations

from conch.api import names
from conch.render import needs_apply
from conch.render.endpointslice import Holding, endpoint_slice
from conch.render.service import service as service_object
from tests.render.cases import MINIMAL_SPEC, service

TO_ZERO = {**MINIMAL_SPEC, "scaling": {"minReplicas": 0, "idle": {"toZeroAfter": "15m"}}}


def holding(*addresses: str) -> Holding:
    return Holding(port=20004, addresses=addresses, family="IPv4", hold_s=60)


def test_its_ports_are_those_that_may_be_held() -> None:
    made = endpoint_slice(service(TO_ZERO), holding("10.0.0.1"))
    exposed = {p["name"] for p in service_object(service(TO_ZERO))["spec"]["ports"]}
    assert {p["name"]: p["port"] for p in made["ports"]} == {"http": 20004, "grpc": 20005}
    assert exposed - {p["name"] for p in made["ports"]} == {"metrics"}


def test_kubernetes_leaves_it_alone_and_the_service_finds_it() -> None:
    labels = endpoint_slice(service(TO_ZERO), holding())["metadata"]["labels"]
    assert labels["kubernetes.io/service-name"] == "resnet"
    assert labels["endpointslice.kubernetes.io/managed-by"] == "conch.dev"


def test_leaving_the_path_is_a_difference() -> None:
    inside = endpoint_slice(service(TO_ZERO), holding("10.0.0.1"))
    outside = endpoint_slice(service(TO_ZERO), holding())
    assert "endpoints" in (needs_apply(outside, inside) or "")
    assert "endpoints" in (needs_apply(inside, outside) or "")


def test_only_services_that_may_go_to_zero_are_marked() -> None:
    marked = service_object(service(TO_ZERO), to_zero=True)["metadata"]["labels"]
    plain = service_object(service(MINIMAL_SPEC))["metadata"]["labels"]
    assert marked == {**plain, names.LABEL_TO_ZERO: "true"}
