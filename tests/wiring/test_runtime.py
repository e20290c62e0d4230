"""One operator process against the fake API server: how it starts, and every way it ends.

kopf is replaced by something that only waits: that it feeds us is proven on a real cluster.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable
from typing import Any

import kopf
import pytest

from conch.api import names
from conch.kube.credentials import Credentials
from conch.kube.lease import Elector
from conch.reconcile.scaling import ScalingLoop
from conch.settings import Settings
from conch.wiring.runtime import LEASE_NAME, Operator, _resource
from tests.kube.fake_api import Object, until
from tests.reconcile.apply_api import DEPLOYMENTS, EVENTS, ROOT, SERVICES, ApplyApi
from tests.reconcile.builders import KEY

LEASES = "/apis/coordination.k8s.io/v1/namespaces/conch-system/leases"
CUSTOM = f"/apis/{names.API_VERSION}"


class World:
    def __init__(self, server: ApplyApi) -> None:
        self.server = server
        self.kopf_ends = asyncio.Event()
        self.operator = Operator(
            Settings(
                namespaces=(KEY.namespace,),
                identity="me",
                lease_duration_s=3.0,
                lease_renew_deadline_s=2.0,
                lease_retry_s=0.02,
                probe_port=0,
                metrics_port=0,
                bind_address="127.0.0.1",
                allowed_sources=("image://",),
            )
        )

    async def kopf(self, *, stop_flag: asyncio.Event, ready_flag: asyncio.Event, **_: Any) -> None:
        ready_flag.set()
        ends = [asyncio.ensure_future(e.wait()) for e in (stop_flag, self.kopf_ends)]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            end.cancel()

    def start(self) -> asyncio.Task[int]:
        return asyncio.create_task(self.operator.run(None, None))

    def lease(self) -> Object:
        live = self.server.find(f"{LEASES}/{LEASE_NAME}") or {"spec": {}}
        return dict(live["spec"])

    def served(self) -> bool:
        live = self.server.find(f"{SERVICES}/{KEY.name}") or {}
        return "status" in live

    async def until(self, condition: Callable[[], object], run: asyncio.Task[int]) -> None:
        """Wait for it while the operator runs."""
        await until(lambda: condition() or run.done())
        assert not run.done(), "the operator has ended"


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    async with ApplyApi() as server:
        made = World(server)

        async def find(*_: Any) -> Credentials:
            return Credentials.anonymous(server.url)

        monkeypatch.setattr(Credentials, "find", find)
        monkeypatch.setattr(kopf, "operator", made.kopf)
        kinds = ("tritonruntimes", "acceleratorclasses")
        server.empty(*(f"{CUSTOM}/{kind}" for kind in kinds), "/api/v1/pods", EVENTS, LEASES)
        server.empty(DEPLOYMENTS, f"/api/v1/{ROOT}/services")
        server.empty(f"/apis/networking.k8s.io/v1/{ROOT}/networkpolicies")
        server.empty(f"/apis/policy/v1/{ROOT}/poddisruptionbudgets")
        server.empty(f"/apis/discovery.k8s.io/v1/{ROOT}/endpointslices")
        server.empty(f"/apis/autoscaling/v2/{ROOT}/horizontalpodautoscalers")
        server.empty("/apis/scheduling.k8s.io/v1/priorityclasses")  # claims are not known to it
        allocatable = {"cpu": "64", "memory": "256Gi", "pods": "100"}
        ready = [{"type": "Ready", "status": "True"}]
        server.put(
            "/api/v1/nodes",
            "n1",
            "",
            spec={},
            status={"allocatable": allocatable, "conditions": ready},
        )
        server.service(placement={"accelerators": {"count": 0}})
        yield made


async def test_it_serves_what_is_there_and_ends_on_sigterm(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    release, alive = Elector._release, set[str]()

    async def listen(elector: Elector) -> None:
        alive.update(task.get_name() for task in asyncio.all_tasks())
        await release(elector)

    monkeypatch.setattr(Elector, "_release", listen)
    run = world.start()
    await world.until(world.served, run)
    assert world.lease()["holderIdentity"] == "me"
    assert world.server.find(f"{DEPLOYMENTS}/{KEY.name}") is not None
    os.kill(os.getpid(), signal.SIGTERM)
    async with asyncio.timeout(10):
        assert await run == 0
    assert world.lease()["holderIdentity"] == "", "the next one need not wait"
    writes = [seen.path for seen in world.server.seen if seen.method != "GET"]
    assert writes[-1] == f"{LEASES}/{LEASE_NAME}"
    assert "election" in alive
    assert not alive & {"controller", "placement", "scaling", "census"}, (
        "the Lease is freed when nothing can write any more"
    )


async def test_a_standby_writes_nothing(world: World) -> None:
    spec = {"holderIdentity": "other", "leaseDurationSeconds": 3600}
    world.server.put(LEASES, LEASE_NAME, "conch-system", spec=spec)
    run = world.start()
    await world.until(lambda: world.server.streams >= 7, run)
    world.operator._stop.set()
    async with asyncio.timeout(10):
        assert await run == 0
    assert [seen.path for seen in world.server.seen if seen.method != "GET"] == []
    assert world.lease()["holderIdentity"] == "other"


async def test_it_ends_when_the_lease_is_lost(world: World) -> None:
    run = world.start()
    await world.until(world.served, run)
    spec = {"holderIdentity": "other", "leaseDurationSeconds": 3600}
    world.server.put(LEASES, LEASE_NAME, "conch-system", spec=spec)
    async with asyncio.timeout(10):
        assert await run == 1
    assert world.lease()["holderIdentity"] == "other"


async def test_it_ends_when_a_loop_ends(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fail(_: ScalingLoop) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(ScalingLoop, "run", fail)
    async with asyncio.timeout(10):
        assert await world.start() == 1
    assert world.lease()["holderIdentity"] == ""


async def test_it_ends_when_kopf_ends(world: World) -> None:
    run = world.start()
    await world.until(world.served, run)
    world.kopf_ends.set()
    async with asyncio.timeout(10):
        assert await run == 1


async def test_nothing_is_decided_before_all_is_known(world: World) -> None:
    collection = f"{CUSTOM}/acceleratorclasses"
    known = world.server._objects.pop(collection)  # its CRD is not there yet
    run = world.start()
    await world.until(lambda: any(s.path == collection for s in world.server.seen), run)
    assert world.operator._state.services == {}
    world.server._objects[collection] = known
    await world.until(world.served, run)
    world.operator._stop.set()
    assert await run == 0


@pytest.mark.parametrize(
    ("path", "label"),
    [
        (f"{DEPLOYMENTS}/x", "deployments"),
        (f"{SERVICES}/x/status", "inferenceservices/status"),
        (EVENTS, "events"),
        ("/api/v1/nodes/n1", "nodes"),
        (f"{LEASES}/{LEASE_NAME}", "leases"),
    ],
)
def test_writes_are_counted_by_resource(path: str, label: str) -> None:
    assert _resource(path) == label
