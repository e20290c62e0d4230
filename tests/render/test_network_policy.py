from __future__ import annotations

from typing import Any

import pytest

from conch.kube.views import Object
from conch.render.network_policy import network_policy
from tests.render.cases import MINIMAL_SPEC, options, service


def _policy(*uris: str) -> Object:
    models = [{"name": f"m{i}", "source": {"uri": uri}} for i, uri in enumerate(uris)]
    spec: dict[str, Any] = {**MINIMAL_SPEC, "models": models}
    policy: Object = network_policy(service(spec), options(operator_namespace="ops"))["spec"]
    return policy


def test_models_on_volumes_and_in_images_need_no_way_out() -> None:
    policy = _policy("image:///opt/m", "pvc://claim/m")
    assert policy["egress"] == []
    assert "Egress" in policy["policyTypes"]


@pytest.mark.parametrize(
    ("uris", "ports"),
    [
        (["https://a/m.zip"], [443]),
        (["https://a:8443/m.zip"], [8443]),
        (["https://a:8443/m.zip", "https://b/m.zip"], [443, 8443]),
        (["s3://b/m"], [80, 443, 9000]),
        (["https://a:99999/m.zip"], [443]),  # the puller says what is wrong with it
    ],
)
def test_fetching_needs_names_and_its_own_ports(uris: list[str], ports: list[int]) -> None:
    dns, sources = _policy(*uris)["egress"]
    assert [(p["protocol"], p["port"]) for p in dns["ports"]] == [("UDP", 53), ("TCP", 53)]
    assert [p["port"] for p in sources["ports"]] == ports


def test_metrics_are_for_the_operator_only() -> None:
    # Requests and readiness are for everybody: the activator asks, and passes on, from its own
    # namespace.
    inference, metrics = _policy("image:///opt/m")["ingress"]
    assert "from" not in inference
    assert [p["port"] for p in inference["ports"]] == [8000, 8001]
    assert [p["port"] for p in metrics["ports"]] == [8002]
    selector = metrics["from"][0]["namespaceSelector"]["matchLabels"]
    assert selector == {"kubernetes.io/metadata.name": "ops"}
