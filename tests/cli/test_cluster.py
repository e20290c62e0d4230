"""What is read, and what is said when it cannot be."""

from __future__ import annotations

from typing import Any

import pytest

from conch.cli import cluster as reading
from conch.errors import Forbidden
from tests.cli.conftest import FakeCluster, event, pod

Object = dict[str, Any]
BASE = "/apis/conch.dev/v1alpha1/namespaces/demo/inferenceservices"
PODS = "/api/v1/namespaces/demo/pods"
EVENTS = "/api/v1/namespaces/demo/events"


async def test_gathers_the_service_its_pods_and_their_events(
    cluster: FakeCluster, service: Object
) -> None:
    mine, other = pod("resnet-a"), pod("somebody-else")
    cluster.collections[EVENTS] = [
        event(service, "A", "2026-11-22T11:00:00Z"),
        event(mine, "B", "2026-11-22T11:00:00Z"),
        event(other, "C", "2026-11-22T11:00:00Z"),
    ]
    found = await reading.gather(cluster, "demo", "resnet")
    assert found.service is service
    assert cluster.selectors[PODS] == "conch.dev/service=resnet"
    assert [e["reason"] for e in found.events or ()] == ["A", "B"]


async def test_missing_service_names_those_that_exist(cluster: FakeCluster) -> None:
    with pytest.raises(reading.Missing, match=r"no InferenceService resnett: .*demo has resnet$"):
        await reading.gather(cluster, "demo", "resnett")


async def test_an_empty_namespace_hints_at_another(cluster: FakeCluster) -> None:
    cluster.collections[BASE] = []
    with pytest.raises(reading.Missing, match="namespace demo has none; -n chooses another"):
        await reading.gather(cluster, "demo", "resnet")


async def test_a_cluster_without_conch(cluster: FakeCluster) -> None:
    del cluster.collections[BASE]
    with pytest.raises(reading.Missing, match="install the chart"):
        await reading.services(cluster, "demo")


async def test_pods_and_events_are_optional(cluster: FakeCluster) -> None:
    cluster.forbidden = {PODS, EVENTS}
    found = await reading.gather(cluster, "demo", "resnet")
    assert (found.pods, found.events) == (None, None)


async def test_the_service_itself_is_not(cluster: FakeCluster) -> None:
    cluster.forbidden = {BASE}
    with pytest.raises(Forbidden):
        await reading.gather(cluster, "demo", "resnet")
