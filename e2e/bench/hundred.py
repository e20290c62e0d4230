"""ready_100_over_bare and writes_per_service: a hundred services from create to Ready.

The yardstick is the same Deployments and Services, made bare by the same client: what the cluster
itself takes. The two take turns, since a shared machine drifts.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from e2e.bench import services, world
from e2e.bench.audit import AuditLog, Write, count, spelled
from e2e.bench.client import DEPLOYMENTS, SERVICES, Client, Object, Objects, unready
from e2e.bench.figure import Context, Figure, Result
from e2e.bench.inside import run
from e2e.testbed import Cluster

COUNT = 100
TURNS = 3
_AT_ONCE = 8
_LIMIT_S = 180.0
_KUBE_SERVICES = "/api/v1/namespaces/{}/services"


@dataclass(frozen=True, slots=True)
class Hundred:
    """What the turns gave."""

    conch_s: tuple[float, ...]
    bare_s: tuple[float, ...]
    writes: tuple[Write, ...]
    """The operator's, of the first turn, until the last service was Ready."""
    later: tuple[Write, ...]
    """Those after that, until it was quiet."""


def _measured(ctx: Context) -> Hundred:
    return ctx.once("hundred", lambda: _turns(ctx))


def _turns(ctx: Context) -> Hundred:
    cluster = world.prepared(ctx)
    conch_s, bare_s = [], []
    writes: list[Write] = []
    later: list[Write] = []
    bare: list[tuple[str, Object]] = []
    for turn in range(TURNS):
        operator = world.operator(ctx, cluster, "hundred")
        took_s, before, after, made = world.measure(cluster, operator, _conch(cluster), _LIMIT_S)
        ctx.progress(f"turn {turn + 1}: conch {took_s:.1f} s")
        conch_s.append(took_s)
        if not turn:
            writes, later, bare = before, after, made
        took_s = run(cluster, _bare(cluster, bare), _LIMIT_S)
        ctx.progress(f"turn {turn + 1}: bare {took_s:.1f} s")
        bare_s.append(took_s)
    return Hundred(tuple(conch_s), tuple(bare_s), tuple(writes), tuple(later))


async def _conch(
    cluster: Cluster,
) -> tuple[float, list[Write], list[Write], list[tuple[str, Object]]]:
    names = services.names(COUNT)
    path = SERVICES.format(services.NAMESPACE)
    async with Client(cluster) as client:
        await world.sweep(client)
        log = AuditLog(cluster.audit_log)
        manifests = [(path, services.service(name)) for name in names]
        took_s = await _timed(client, manifests, path, lambda there: not unready(there, names))
        before = [w for w in log.new() if world.is_work(w)]
        after = await world.quiet(log, 5, 60, world.is_work)
        made = await _made(client)
        await world.sweep(client)
    return took_s, before, after, made


async def _bare(cluster: Cluster, manifests: Sequence[tuple[str, Object]]) -> float:
    def available(there: Objects) -> bool:
        return len(there) == COUNT and all(map(_is_available, there.values()))

    async with Client(cluster) as client:
        await world.sweep(client)
        watched = DEPLOYMENTS.format(services.NAMESPACE)
        took_s = await _timed(client, manifests, watched, available)
        await world.sweep(client)
    return took_s


async def _timed(
    client: Client,
    manifests: Sequence[tuple[str, Object]],
    watched: str,
    done: Callable[[Objects], bool],
) -> float:
    """Seconds from the first request until the watched collection is `done`."""
    start_s = time.monotonic()
    async with asyncio.TaskGroup() as group:
        seen = group.create_task(client.until(watched, done))
        await _eight_at_once([client.create(path, body) for path, body in manifests])
        await seen
    return time.monotonic() - start_s


async def _eight_at_once(work: Sequence[Coroutine[Any, Any, Any]]) -> None:
    free = asyncio.Semaphore(_AT_ONCE)

    async def one(part: Coroutine[Any, Any, Any]) -> None:
        async with free:
            await part

    await asyncio.gather(*map(one, work))


async def _made(client: Client) -> list[tuple[str, Object]]:
    """What Conch made of the services, as manifests of the same Deployments and Services."""
    paths = [p.format(services.NAMESPACE) for p in (DEPLOYMENTS, _KUBE_SERVICES)]
    found = [(path, one) for path in paths for one in await client.items(path)]
    found.sort(key=lambda each: each[1]["metadata"]["name"])  # a Deployment, then its Service
    return [(path, bare(one)) for path, one in found]


def bare(live: Object) -> Object:
    """The manifest of a live object without its owner, and without what the server filled in."""
    meta = live["metadata"]
    kept = {k: meta[k] for k in ("name", "namespace", "labels") if k in meta}
    served = ("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy")
    return {"metadata": kept, "spec": {k: v for k, v in live["spec"].items() if k not in served}}


def _is_available(deployment: Object) -> bool:
    status = deployment.get("status", {})
    wanted = deployment["spec"]["replicas"]
    return bool(
        status.get("observedGeneration") == deployment["metadata"]["generation"]
        and status.get("availableReplicas", 0) >= wanted
    )


def _ratio(ctx: Context) -> Result:
    got = _measured(ctx)
    conch_s, bare_s = median(got.conch_s), median(got.bare_s)
    turns = ", ".join(f"{c:.1f}/{b:.1f}" for c, b in zip(got.conch_s, got.bare_s, strict=True))
    return Result(
        conch_s / bare_s,
        f"medians of {TURNS}: {conch_s:.1f} s with Conch, {bare_s:.1f} s bare (in turn: {turns})",
    )


def _writes(ctx: Context) -> Result:
    got = _measured(ctx)
    return Result(
        len(got.writes) / COUNT,
        f"audit log, mean of {COUNT} until all were Ready: "
        f"{spelled(count(got.writes), COUNT)}; afterwards, until quiet, {len(got.later) / COUNT:g}"
        + (f" ({spelled(count(got.later), COUNT)})" if got.later else ""),
    )


READY_100 = Figure(
    "ready_100_over_bare",
    "×",
    1.5,
    "lower",
    "100 services, create-all → all Ready, over the same Deployments and Services bare",
    _ratio,
)
WRITES = Figure(
    "writes_per_service", "", 8, "lower", "the operator's API writes from create to Ready", _writes
)
