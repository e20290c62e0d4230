"""The table that EndpointSlices make, the hostile ones too."""

from __future__ import annotations

from typing import Any

import pytest

from conch.activator.slices import LONGEST_HOLD_S, Entry, table
from conch.api import names
from conch.observe.types import Key

PORTS = range(20000, 20100)


def own(name: str = "resnet", port: int = 20000, **more: Any) -> dict[str, Any]:
    return {
        "metadata": {
            "name": name,
            "namespace": "team",
            "labels": {
                names.LABEL_SLICE_SERVICE: name,
                names.LABEL_SLICE_MANAGER: names.SLICE_MANAGER,
            },
            "annotations": {names.ANNOTATION_MODELS: "a,b", names.ANNOTATION_HOLD_S: "60"},
            **more.pop("meta", {}),
        },
        "ports": [{"name": "http", "port": port}, {"name": "grpc", "port": port + 1}],
        "endpoints": [],
        **more,
    }


def kubernetes(*endpoints: dict[str, Any], name: str = "resnet") -> dict[str, Any]:
    labels = {
        names.LABEL_SLICE_SERVICE: name,
        names.LABEL_SLICE_MANAGER: "endpointslice-controller.k8s.io",
    }
    meta = {"name": f"{name}-x1", "namespace": "team", "labels": labels}
    return {"metadata": meta, "endpoints": list(endpoints), "ports": [{"name": "http"}]}


def endpoint(address: str, **conditions: bool) -> dict[str, Any]:
    return {"addresses": [address], "conditions": conditions}


def test_ports_models_and_servers() -> None:
    found = table(
        [
            own(),
            kubernetes(
                endpoint("10.0.0.2", ready=True),
                endpoint("10.0.0.1", ready=False),
                endpoint("10.0.0.3", ready=False, serving=True, terminating=True),
            ),
            kubernetes(endpoint("10.0.0.9"), name="other"),  # never goes to zero: no slice of ours
        ],
        PORTS,
    )
    assert found == {
        Key("team", "resnet"): Entry(
            ports=((20000, "http"), (20001, "grpc")),
            models=("a", "b"),
            hold_s=60.0,
            in_path=False,
            servers=("10.0.0.1", "10.0.0.2"),
        )
    }


def test_in_the_path_with_endpoints() -> None:
    found = table([own(endpoints=[endpoint("10.9.9.9", ready=True)])], PORTS)
    assert found[Key("team", "resnet")].in_path
    assert found[Key("team", "resnet")].servers == ()


@pytest.mark.parametrize("port", [22, 8000, 19999, 20100])
def test_ports_of_others_are_not_listened_on(port: int) -> None:
    assert port not in {
        p for entry in table([own(port=port)], PORTS).values() for p, _ in entry.ports
    }


def test_a_port_belongs_to_the_first_that_has_it() -> None:
    first = own("b", meta={"creationTimestamp": "2026-01-01T00:00:00Z"})
    second = own("a", meta={"creationTimestamp": "2026-01-02T00:00:00Z"})
    assert list(table([second, first], PORTS)) == [Key("team", "b")]


@pytest.mark.parametrize("text", ["", "soon", "nan", "inf", "1e99"])
def test_an_absurd_hold_time_is_bounded(text: str) -> None:
    notes = {names.ANNOTATION_HOLD_S: text}
    found = table([own(meta={"annotations": notes})], PORTS)
    assert found[Key("team", "resnet")].hold_s == LONGEST_HOLD_S


def test_unfinished_slices_are_no_service() -> None:
    nameless = {"metadata": {"name": "x", "namespace": "team"}}
    bare = own(ports=None, endpoints=None)
    assert table([nameless, bare], PORTS) == {}
