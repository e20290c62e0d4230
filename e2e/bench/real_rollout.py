"""rollout_failed_requests: a new revision under load at two replicas, seen by real clients.

Two rollouts: with a free GPU (a new pod comes first) and without one (an old pod makes room).
Clients as docs/clients.md asks for are counted: HTTP with a connection per request, HTTP with
connections recycled every ten seconds, gRPC on long-lived channels. One that breaks the rule, HTTP
that holds on to its connections, is reported beside them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from e2e.bench import real_world, services
from e2e.bench.client import DEPLOYMENTS, PODS, SERVICES, Client, Object, Objects, unready
from e2e.bench.figure import Context, Figure, Result
from e2e.bench.inside import run
from e2e.bench.real_load import Told, load
from e2e.testbed import Cluster, TestbedError
from e2e.testbed.gpus import RESOURCE
from e2e.testbed.images import TAGS

NAME = "rollout"
REPLICAS = 2
# Together less than one replica completes: without a free GPU one serves alone for a while.
RATE_PER_S = 7
BEFORE_S = 10.0
# A rollout in place waits for each old pod to have left, surging does not.
SURGE_LOAD_S, IN_PLACE_LOAD_S = 85, 110
HOLDS_ON = "http held"
CLIENTS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "http once": ("http", ("--keep", "0")),
    "http 10 s": ("http", ("--keep", "10")),
    "grpc": ("grpc", ("--channels", "8")),
    HOLDS_ON: ("http", ("--keep", "3600")),
}
_LIMIT_S = 300.0


@dataclass(frozen=True, slots=True)
class Rollout:
    """One rollout: what each client saw, and how long it took until no old pod was left."""

    way: str
    seconds: float
    told: Mapping[str, Told]

    @property
    def failed(self) -> int:
        """Failed requests of clients that follow the rule."""
        return sum(told.failed for name, told in self.told.items() if name != HOLDS_ON)

    def __str__(self) -> str:
        seen = ", ".join(
            f"{name} {told.failed} of {told.summary['sent']}" for name, told in self.told.items()
        )
        why = "; ".join(f"{name}: {told.why}" for name, told in self.told.items() if told.failed)
        return f"{self.way}, {self.seconds:.0f} s: {seen}" + (f" ({why})" if why else "")


def _measure(ctx: Context) -> Result:
    rollouts = [rolled(ctx, free=True), rolled(ctx, free=False)]
    return Result(
        sum(each.failed for each in rollouts),
        f"failed of sent, “{HOLDS_ON}” not counted: " + "; ".join(map(str, rollouts)),
    )


def rolled(ctx: Context, *, free: bool, name: str = real_world.CLUSTER.name) -> Rollout:
    """Roll a new revision out under load, with or without a `free` GPU."""
    cluster = real_world.prepared(ctx, name)
    with real_world.operator(ctx, cluster, f"rollout-{'surge' if free else 'in-place'}"):
        rollout = run(cluster, _roll(ctx, cluster, free), _LIMIT_S)
    ctx.progress(str(rollout))
    return rollout


async def _roll(ctx: Context, cluster: Cluster, free: bool) -> Rollout:
    async with Client(cluster) as client:
        if not free:
            await client.create(PODS.format(services.NAMESPACE), _taker())
        address = await real_world.serve(client, NAME, mode="Fixed", replicas=REPLICAS)
        old = await _pods(client)
        async with asyncio.TaskGroup() as group:
            loads = {
                name: group.create_task(
                    load(
                        cluster,
                        address,
                        f"{RATE_PER_S}x{SURGE_LOAD_S if free else IN_PLACE_LOAD_S}",
                        protocol=protocol,
                        options=options,
                        seed=seed,
                    )
                )
                for seed, (name, (protocol, options)) in enumerate(CLIENTS.items())
            }
            await asyncio.sleep(BEFORE_S)  # channels and connections are open and busy
            took_s = await _revise(client, old)
            ctx.progress(f"rolled out in {took_s:.0f} s; the load goes on to its end")
            if any(each.done() for each in loads.values()):
                raise TestbedError(f"the rollout took {took_s:.0f} s, longer than the load")
        way = await _way(client)
        if (way == "surge") is not free:
            raise TestbedError(f"the rollout was done by {way}")
        await client.delete(f"{SERVICES.format(services.NAMESPACE)}/{NAME}")
        if not free:
            await client.delete(f"{PODS.format(services.NAMESPACE)}/taker")
        return Rollout(way, took_s, {name: each.result() for name, each in loads.items()})


async def _revise(client: Client, old: frozenset[str]) -> float:
    """Change the spec; seconds until it is Ready and no pod of the old revision is left."""
    loop = asyncio.get_running_loop()
    start_s = loop.time()
    await real_world.change(client, NAME, {"resources": {"memory": "544Mi"}})
    path = SERVICES.format(services.NAMESPACE)
    await client.until(path, lambda there: not unready(there, [NAME]))
    gone = PODS.format(services.NAMESPACE)
    await client.until(gone, lambda there: not old & _uids(there))
    if len(await _pods(client)) != REPLICAS:
        raise TestbedError("there are not as many pods after the rollout as before")
    return loop.time() - start_s


async def _pods(client: Client) -> frozenset[str]:
    items = await client.items(PODS.format(services.NAMESPACE))
    return _uids({one["metadata"]["name"]: one for one in items})


def _uids(pods: Objects) -> frozenset[str]:
    return frozenset(
        pod["metadata"]["uid"] for name, pod in pods.items() if name.startswith(f"{NAME}-")
    )


async def _way(client: Client) -> str:
    deployment = await client.request("GET", f"{DEPLOYMENTS.format(services.NAMESPACE)}/{NAME}")
    bounds: dict[str, Any] = deployment["spec"]["strategy"]["rollingUpdate"]
    return "surge" if bounds["maxSurge"] else "in place"


def _taker() -> Object:
    """A pod that holds all GPUs but those of the replicas."""
    left = real_world.CLUSTER.gpus - REPLICAS
    return {
        "metadata": {"name": "taker"},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "automountServiceAccountToken": False,
            "containers": [
                {
                    "name": "taker",
                    "image": TAGS["triton"],
                    "args": ["sleep", "infinity"],
                    "resources": {"limits": {RESOURCE: str(left)}},
                }
            ],
        },
    }


ROLLOUT = Figure(
    "rollout_failed_requests",
    "",
    0,
    "lower",
    "failed requests while a new revision rolls out at 2 replicas, HTTP and gRPC",
    _measure,
)
