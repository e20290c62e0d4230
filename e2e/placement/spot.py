"""spot_replace_s: from the provider's notice to the pod that will stand in.

Three replicas on nodes of their own, and room for more. The node of one gets a notice, as the
provider's own component writes it. Timed is the watch's word of the new pod, from just before the
notice is written. Then the node is drained and deleted, as it would be: there must never be fewer
than three ready, three in the end, and the service's status must have said what went on.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from e2e.bench import services, world
from e2e.bench.client import DEPLOYMENTS, SERVICES, Client, Object, Objects, unready
from e2e.bench.figure import Context, Figure, Result
from e2e.placement import live
from e2e.testbed import Cluster, TestbedError, gpus

REPLICAS = 3
# Each replica has a node to itself, and there is one to spare for each.
NODES = 6
# What writes them: aws-node-termination-handler pkg/node; Karpenter's termination controller;
# GKE's maintenance handler.
NOTICES: tuple[Object, ...] = (
    {"key": "aws-node-termination-handler/spot-itn", "value": "1", "effect": "NoSchedule"},
    {"key": "karpenter.sh/disrupted", "effect": "NoSchedule"},
    {"key": "cloud.google.com/impending-node-termination", "effect": "NoSchedule"},
)
TURNS = 5
_NAME = "web"
_SERVICES = SERVICES.format(services.NAMESPACE)
_STEP_LIMIT_S = 60.0


@dataclass(frozen=True, slots=True)
class Turn:
    """One node reclaimed."""

    notice: str
    replaced_s: float
    """Until there was a pod more."""
    ready_s: float
    """Until as many as wanted were ready elsewhere."""
    told_s: float
    """Until the status said so."""
    least_ready: int
    """At any moment of the turn."""
    most_pods: int


def _measure(ctx: Context) -> Result:
    cluster = world.prepared(ctx, live.CLUSTER)
    operator = world.operator(ctx, cluster, "spot")
    turns = world.measure(cluster, operator, _turns(ctx, cluster), 120 + TURNS * _STEP_LIMIT_S)
    return Result(max(t.replaced_s for t in turns), _how(turns))


def _how(turns: list[Turn]) -> str:
    replaced = ", ".join(f"{t.replaced_s:.2f}" for t in turns)
    return (
        f"{len(turns)} turns ({replaced} s; {len({t.notice for t in turns})} providers' notices), "
        f"{REPLICAS} replicas; "
        f"ready elsewhere after {max(t.ready_s for t in turns):.2f} s, said in the status after "
        f"{max(t.told_s for t in turns):.2f} s; never fewer than "
        f"{min(t.least_ready for t in turns)} ready while the node was drained and deleted; "
        f"at most {max(t.most_pods for t in turns)} pods at once"
    )


async def _turns(ctx: Context, cluster: Cluster) -> list[Turn]:
    nodes = {b["metadata"]["name"]: b for b in (live.node(i, gpus.L4, 1) for i in range(NODES))}
    turns = []
    async with Client(cluster) as client:
        await world.sweep(client)
        await live.clear_nodes(client)
        await live.at_once(client.create(live.NODES, body) for body in nodes.values())
        body = services.service(_NAME, accelerator="l4", mode="Fixed", replicas=REPLICAS)
        await client.create(_SERVICES, body)
        async with asyncio.timeout(_STEP_LIMIT_S):
            await client.until(_SERVICES, lambda there: not unready(there, [_NAME]))
            await client.until(live.OWN_PODS, lambda pods: len(_ready(pods)) == REPLICAS)
        for number in range(TURNS):
            async with asyncio.timeout(_STEP_LIMIT_S):
                turn = await _turn(client, NOTICES[number % len(NOTICES)], nodes)
            ctx.progress(f"turn {number + 1}: {turn}")
            turns.append(turn)
        await world.sweep(client)
        await live.clear_nodes(client)
    return turns


async def _turn(client: Client, notice: Object, nodes: Objects) -> Turn:
    least, most = REPLICAS, REPLICAS

    def look(pods: Objects) -> bool:
        nonlocal least, most
        least = min(least, len(_ready(pods)))
        most = max(most, sum(map(live.alive, pods.values())))
        return False

    before = {p["metadata"]["name"]: p for p in await client.items(live.OWN_PODS)}
    name = _ready(before)[0]
    node = before[name]["spec"]["nodeName"]
    async with asyncio.TaskGroup() as group:
        watched = group.create_task(client.until(live.OWN_PODS, look))
        replaced, ready, told = (
            group.create_task(_seen_s(client, path, done))
            for path, done in (
                (live.OWN_PODS, lambda pods: bool(pods.keys() - before.keys())),
                (live.OWN_PODS, lambda pods: len(_ready(pods, node)) >= REPLICAS),
                (_SERVICES, lambda there: _is_told(there[_NAME], node)),
            )
        )
        await _watching(client)
        start_s = time.monotonic()
        await client.patch(f"{live.NODES}/{node}", live.taints(notice))
        took_s = [at_s - start_s for at_s in await asyncio.gather(replaced, ready, told)]
        # What follows is what the provider's component does next.
        await _evict(client, name)
        await client.until(live.OWN_PODS, lambda pods: name not in pods)
        await client.delete(f"{live.NODES}/{node}")
        await _settled(client)
        watched.cancel()
    await client.create(live.NODES, nodes[node])
    if least < REPLICAS:
        raise TestbedError(f"at a moment only {least} of {REPLICAS} were ready: {notice['key']}")
    return Turn(notice["key"], took_s[0], took_s[1], took_s[2], least, most)


async def _seen_s(client: Client, path: str, done: Callable[[Objects], bool]) -> float:
    """When a watch told that it is done."""
    await client.until(path, done)
    return time.monotonic()


async def _watching(client: Client) -> None:
    """Give the watches time to stand; one that lists later sees all the same, only not as soon."""
    for _ in range(3):
        await client.items(live.OWN_PODS)


async def _evict(client: Client, name: str) -> None:
    """As kubectl drain does: asked again while the disruption budget says no."""
    body = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": name}}
    while True:
        try:
            await client.create(f"{live.OWN_PODS}/{name}/eviction", body)
        except TestbedError as error:
            if ": 429:" not in str(error):
                raise
            await asyncio.sleep(0.2)
        else:
            return


async def _settled(client: Client) -> None:
    """As many pods as wanted, all ready, and nothing about a node in the status any more."""
    await client.until(
        DEPLOYMENTS.format(services.NAMESPACE),
        lambda there: there[_NAME]["spec"]["replicas"] == REPLICAS,
    )
    await client.until(live.OWN_PODS, lambda pods: len(pods) == REPLICAS == len(_ready(pods)))
    await client.until(_SERVICES, lambda there: _available(there[_NAME])["reason"] == "Available")
    events = await client.items(f"/api/v1/namespaces/{services.NAMESPACE}/events")
    if not any(event["reason"] == "NodeLeaving" for event in events):
        raise TestbedError("no event told of the node")


def _ready(pods: Objects, without: str = "") -> list[str]:
    """Names of those that serve, and are not on that node."""
    return sorted(
        name
        for name, pod in pods.items()
        if live.is_ready(pod) and pod["spec"].get("nodeName") != without
    )


def _available(service: Object) -> Object:
    conditions: list[Object] = service["status"]["conditions"]
    return next(c for c in conditions if c["type"] == "Available")


def _is_told(service: Object, node: str) -> bool:
    found = _available(service)
    return found["reason"] == "NodeLeaving" and node in found["message"]


SPOT = Figure(
    "spot_replace_s", "s", 2, "lower", "notice that a spot node goes → pod in its stead", _measure
)
