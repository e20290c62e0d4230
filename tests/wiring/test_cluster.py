"""The whole process with the real kopf on a real API server: it starts, tells, and goes."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pytest

from conch.api import names
from conch.errors import NotFound
from conch.kube.transport import Api, Object, path
from conch.wiring.runtime import LEASE_NAME
from tests.reconcile.builders import raw
from tests.running import connected, operating

if TYPE_CHECKING:
    from e2e.testbed import Cluster

pytestmark = pytest.mark.cluster

NAMESPACE = "wiring"
SERVICES = path(names.API_VERSION, "inferenceservices", NAMESPACE)
LEASE = path("coordination.k8s.io/v1", "leases", NAMESPACE, LEASE_NAME)


@pytest.fixture
async def api(cluster: Cluster) -> AsyncIterator[Api]:
    async with connected(cluster, NAMESPACE) as client:
        yield client


@pytest.fixture
async def operator(cluster: Cluster, api: Api) -> AsyncIterator[asyncio.subprocess.Process]:
    async with operating(cluster, NAMESPACE) as process:
        yield process


async def ready_reason(api: Api, name: str, unlike: str = "") -> str:
    """Why the service is (not) ready, as soon as it is told and is not ``unlike``."""
    async with asyncio.timeout(60):
        while True:
            live = await api.get(f"{SERVICES}/{name}")
            for condition in live.get("status", {}).get("conditions", []):
                if condition["type"] == "Ready" and condition["reason"] != unlike:
                    return str(condition["reason"])
            await asyncio.sleep(0.1)


def service(name: str, **spec: Any) -> Object:
    made = raw(spec)
    return {**made, "metadata": {"name": name, "namespace": NAMESPACE}}


async def test_one_life(operator: asyncio.subprocess.Process, api: Api) -> None:
    await api.create(SERVICES, service("early", runtime="own"))
    assert await ready_reason(api, "early") == "RuntimeNotFound"

    runtimes = path(names.API_VERSION, "tritonruntimes")
    spec = {"image": "triton:24.10", "release": "24.10"}
    own = {"apiVersion": names.API_VERSION, "kind": "TritonRuntime", "spec": spec}
    await api.create(runtimes, {**own, "metadata": {"name": "own"}})
    assert await ready_reason(api, "early", "RuntimeNotFound") == "NoCapacity"

    await api.delete(f"{SERVICES}/early")
    await api.create(SERVICES, service("early"))
    assert await ready_reason(api, "early") == "NoCapacity", "a namesake is one more service"
    await api.delete(f"{SERVICES}/early")
    await api.delete(f"{runtimes}/own")

    operator.send_signal(signal.SIGTERM)
    async with asyncio.timeout(30):
        assert await operator.wait() == 0
    lease = await api.get(LEASE)
    assert lease["spec"]["holderIdentity"] == ""
    with pytest.raises(NotFound):
        await api.get(f"{SERVICES}/early")
