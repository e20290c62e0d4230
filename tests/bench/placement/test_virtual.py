"""The churn of pending_over_10s in virtual time, and the cluster in memory that it runs on."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from e2e.bench.client import Object
from e2e.placement import live
from e2e.placement.disturbance import STORM
from e2e.placement.pretend import Pretend
from e2e.placement.pretend_client import Client
from e2e.placement.virtual import Churn, VirtualLoop, run
from e2e.testbed import gpus

LABELS = {"app": "web"}


@pytest.mark.simulation
def test_nobody_waits_long_beside_room_in_a_storm() -> None:
    judge = run(2, Churn(minutes=2, nodes=60, services=12, every_s=0.5, weather=STORM))
    assert judge.anywhere.over == {}
    assert judge.most_without > 10, "or there was nothing to wait for"
    assert judge.most_split > 0


def deployment(replicas: int, image: str = "a", surge: int = 1) -> Object:
    """Of pods with one L4 each."""
    container = {"name": "w", "image": image, "resources": {"requests": {gpus.RESOURCE: "1"}}}
    spec = {
        "containers": [container],
        "nodeSelector": {"nvidia.com/gpu.product": gpus.L4.product},
        "tolerations": [{"operator": "Exists"}],
    }
    bounds = {"maxSurge": surge, "maxUnavailable": 0 if surge else 1}
    return {
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "n", "labels": LABELS},
        "spec": {
            "replicas": replicas,
            "strategy": {"rollingUpdate": bounds},
            "template": {"metadata": {"labels": LABELS}, "spec": spec},
        },
    }


class Bed:
    """A cluster in memory, and what became of it; time passes when it is told to."""

    def __init__(self) -> None:
        self.events: list[str] = []
        self.cluster = Pretend(lambda plural, _, __: self.events.append(plural), seed=1)
        self.fewest = 1000

    async def nodes(self, *units: int, model: gpus.GpuModel = gpus.L4) -> None:
        for number, count in enumerate(units, len(self.cluster.collections["nodes"])):
            await Client(self.cluster).create(live.NODES, live.node(number, model, count))

    async def settle(self, seconds: float = 30) -> list[str]:
        """Let time pass; the images of those that are ready then."""
        acting = asyncio.create_task(self.cluster.run())
        self.fewest = 1000
        for _ in range(int(seconds * 10)):
            await asyncio.sleep(0.1)
            self.fewest = min(self.fewest, len(self.ready()))
        acting.cancel()
        return self.ready()

    def ready(self) -> list[str]:
        pods = self.cluster.collections["pods"].values()
        return sorted(p["spec"]["containers"][0]["image"] for p in pods if live.is_ready(p))


def virtually(work: Any) -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(work)


def test_a_rollout_never_has_fewer_than_it_may() -> None:
    async def work() -> None:
        bed = Bed()
        await bed.nodes(2, 2)
        bed.cluster.put("deployments", deployment(3))
        assert await bed.settle() == ["a"] * 3
        bed.cluster.put("deployments", deployment(3, "b"))
        assert await bed.settle() == ["b"] * 3
        assert bed.fewest == 3
        bed.cluster.put("deployments", deployment(3, "c", surge=0))
        assert await bed.settle() == ["c"] * 3
        assert bed.fewest == 2

    virtually(work())


def test_a_rollout_without_room_for_one_more_stands_still() -> None:
    async def work() -> None:
        bed = Bed()
        await bed.nodes(2, 1)
        bed.cluster.put("deployments", deployment(3))
        await bed.settle()
        bed.cluster.put("deployments", deployment(3, "b"))
        assert await bed.settle() == ["a"] * 3
        bed.cluster.put("deployments", deployment(2, "b"))
        assert await bed.settle() == ["b"] * 2, "one fewer is wanted, so there is room"

    virtually(work())


def test_pods_go_to_nodes_of_their_class_that_take_them() -> None:
    async def work() -> None:
        bed = Bed()
        await bed.nodes(2)
        await bed.nodes(4, model=gpus.T4)
        bed.cluster.put("deployments", deployment(3))
        assert await bed.settle() == ["a"] * 2
        client = Client(bed.cluster)
        await client.patch(f"{live.NODES}/kwok-gpu-0000", {"spec": {"unschedulable": True}})
        await bed.nodes(1)
        assert await bed.settle() == ["a"] * 3, "those that are there stay"
        await client.delete(f"{live.NODES}/kwok-gpu-0000")
        assert await bed.settle(60) == ["a"], "what was on it is collected in the end"

    virtually(work())
