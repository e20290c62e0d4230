"""A real HorizontalPodAutoscaler scales a service that leaves scaling to others."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conch.api import names
from tests.api import metrics_stub
from tests.e2e.bed import Bed
from tests.e2e.room import Room, fake

pytestmark = [pytest.mark.node, pytest.mark.timeout(300)]

PORT = 9443
# The controller-manager looks for new kinds every 30 s only.
PATIENCE_S = 75.0


@pytest.fixture
def metric(bed: Bed, tmp_path: Path) -> Iterator[Path]:
    """The file whose number the external metric has."""
    value = tmp_path / "value"
    value.write_text("2")
    pki = bed.cluster.place.pki
    stub = bed.cluster.popen(
        [sys.executable, metrics_stub.__file__, str(PORT),
         pki / "apiserver.crt", pki / "apiserver.key", value]
    )  # fmt: skip
    registration = json.dumps(_registration())
    bed.cluster.kubectl("apply", "-f", "-", stdin=registration)
    try:
        yield value
    finally:
        bed.cluster.kubectl("delete", "-f", "-", stdin=registration)
        stub.kill()
        stub.wait()


def test_it_scales_the_service(bed: Bed, metric: Path) -> None:
    room = bed.room("autoscaler")
    bed.run(room.enter())
    try:
        bed.run(_scaled(room, metric))
        bed.run(bed.unharmed())
    finally:
        bed.run(room.leave())


async def _scaled(room: Room, metric: Path) -> None:
    scaling = {"mode": "External", "replicas": 1, "minReplicas": 1, "maxReplicas": 4}
    await room.create("web", fake(scaling=scaling))
    await room.ready("web")
    await room.add("HorizontalPodAutoscaler", "web", {"spec": _autoscaler("web")})
    for load, replicas in (("6", 3), ("4", 2), ("20", 4)):
        room.now()
        await asyncio.to_thread(metric.write_text, load)

        async def followed(replicas: int = replicas) -> bool:
            status = (await room.get("web"))["status"]
            return bool(status["readyReplicas"] == len(await room.pods()) == replicas)

        await room.until(followed, PATIENCE_S, room.nothing, f"{replicas} replicas for {load}")


def _autoscaler(name: str) -> dict[str, Any]:
    """Two of the metric a replica, up to more than the service allows."""
    target = {"type": "AverageValue", "averageValue": "2"}
    metric = {"type": "External", "external": {"metric": {"name": "requests"}, "target": target}}
    return {
        "scaleTargetRef": {
            "apiVersion": names.API_VERSION,
            "kind": names.INFERENCE_SERVICE,
            "name": name,
        },
        "minReplicas": 1,
        "maxReplicas": 10,
        "metrics": [metric],
        "behavior": {"scaleDown": {"stabilizationWindowSeconds": 0}},
    }


def _registration() -> dict[str, Any]:
    group, version = metrics_stub.GROUP_VERSION.split("/")
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "metrics-stub", "namespace": "default"},
        "spec": {"type": "ExternalName", "externalName": "127.0.0.1"},
    }
    api_service = {
        "apiVersion": "apiregistration.k8s.io/v1",
        "kind": "APIService",
        "metadata": {"name": f"{version}.{group}"},
        "spec": {
            "group": group,
            "version": version,
            "groupPriorityMinimum": 100,
            "versionPriority": 100,
            "insecureSkipTLSVerify": True,
            "service": {"name": "metrics-stub", "namespace": "default", "port": PORT},
        },
    }
    return {"apiVersion": "v1", "kind": "List", "items": [service, api_service]}
