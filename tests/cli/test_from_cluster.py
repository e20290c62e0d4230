"""A running service is asked for batch times, batch limit and cold starts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from conch.cli.from_cluster import ask
from conch.errors import ApiUnreachable, ConchError, Forbidden
from tests.cli.conftest import FakeCluster, pod
from tests.cli.test_trace import Cluster

PODS = "/api/v1/namespaces/demo/pods"
CLASSES = "/apis/conch.dev/v1alpha1/acceleratorclasses"


def stats(**batches: tuple[int, float]) -> bytes:
    """batch size → (executions, seconds of one)."""
    found = [
        {
            "batch_size": int(size[1:]),
            "compute_input": {"count": count, "ns": 0},
            "compute_infer": {"count": count, "ns": int(count * each_s * 1e9)},
            "compute_output": {"count": count, "ns": 0},
        }
        for size, (count, each_s) in batches.items()
    ]
    return json.dumps({"model_stats": [{"name": "resnet", "batch_stats": found}]}).encode()


def started(name: str, after: str, **more: Any) -> dict[str, Any]:
    """A pod created at 12:00:00, ready at ``after``."""
    made = pod(name, **more)
    made["status"]["conditions"][0]["lastTransitionTime"] = f"2026-11-22T12:{after}Z"
    return made


@pytest.fixture
def running(cluster: FakeCluster, service: dict[str, Any]) -> Cluster:
    made = Cluster(cluster)
    source = {"uri": "image:///opt/models/resnet"}
    service["spec"]["models"] = [{"name": "resnet", "source": source}]
    made.collections[PODS] = [started("a", "00:30"), started("b", "00:50"), started("c", "00:40")]
    config = json.dumps({"max_batch_size": 4, "instance_group": [{"count": 2}], "name": "resnet"})
    for name in "abc":
        base = f"/api/v1/namespaces/demo/pods/{name}%3A8000/proxy/v2/models/resnet"
        made.bodies[f"{base}/stats"] = stats(b1=(900, 0.06), b4=(900, 0.12))
        made.bodies[f"{base}/config"] = config.encode()
    return made


async def test_what_the_servers_know(running: Cluster) -> None:
    learned = await ask(running, "demo", "resnet", None)
    assert learned.curve_s(4) == pytest.approx((0.06, 0.08, 0.10, 0.12), rel=0.02)
    assert (learned.max_batch, learned.instances, learned.cold_starts_s) == (
        4,
        2,
        (30.0, 50.0, 40.0),
    )


async def test_restarted_and_unready_pods_say_nothing_of_cold_starts(running: Cluster) -> None:
    crashed = started("a", "10:00")
    crashed["status"]["containerStatuses"] = [{"name": "triton", "restartCount": 1}]
    running.collections[PODS] = [crashed, started("b", "00:20"), started("c", "20:00", ready=False)]
    learned = await ask(running, "demo", "resnet", None)
    assert learned.cold_starts_s == (20.0,)


async def test_servers_that_have_done_nothing(running: Cluster) -> None:
    for path in list(running.bodies):
        if path.endswith("/stats"):
            running.bodies[path] = stats()
    learned = await ask(running, "demo", "resnet", None)
    assert learned.curve_s(4) == ()


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Forbidden(403), "pods/proxy in namespace demo"),
        (ApiUnreachable("no route"), "pod [abc] can't be asked: no route"),
        (b"<html>", "statistics cannot be read"),
    ],
)
async def test_servers_that_cannot_be_asked(
    running: Cluster, error: bytes | Exception, said: str
) -> None:
    for path in running.bodies:
        running.bodies[path] = error
    with pytest.raises(ConchError, match=said):
        await ask(running, "demo", "resnet", None)


async def test_a_configuration_that_is_nonsense_is_one_sentence(running: Cluster) -> None:
    for path in running.bodies:
        if path.endswith("/config"):
            running.bodies[path] = b'{"x":' + 100_000 * b"["
    with pytest.raises(ConchError, match="its model's configuration can't be read"):
        await ask(running, "demo", "resnet", None)


async def test_the_price_stands_on_the_class(running: Cluster, service: dict[str, Any]) -> None:
    async def price_per_h() -> float | None:
        return (await ask(running, "demo", "resnet", None)).price_per_h

    assert await price_per_h() is None  # only discovered
    spec: dict[str, Any] = {"memory": "24Gi"}
    running.collections[CLASSES] = [{"metadata": {"name": "l4"}, "spec": spec}]
    assert await price_per_h() is None
    spec["pricePerHour"] = {"onDemand": 0.8, "spot": 0.3}
    assert await price_per_h() == 0.8
    service["spec"]["placement"] = {"accelerators": {"count": 3}}
    assert await price_per_h() == pytest.approx(2.4)
    spec["pricePerHour"] = {"onDemand": "dear"}  # of a version that we do not know
    assert await price_per_h() is None
    running.forbidden = {CLASSES}
    assert await price_per_h() is None


async def test_nobody_to_ask(running: Cluster) -> None:
    running.collections[PODS] = [started("a", "00:30", ready=False)]
    with pytest.raises(ConchError, match="no ready replica"):
        await ask(running, "demo", "resnet", None)
    running.forbidden = {PODS}
    with pytest.raises(Forbidden, match="list pods"):
        await ask(running, "demo", "resnet", None)
