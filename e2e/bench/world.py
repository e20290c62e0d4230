"""The cluster of KWOK nodes that most figures share: made ready, and swept between measurements."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from e2e.bench import services
from e2e.bench.audit import AuditLog, Write
from e2e.bench.client import DEPLOYMENTS, PODS, POLICIES, SERVICES, Client, Objects, apply_crds
from e2e.bench.figure import Context
from e2e.bench.inside import run
from e2e.bench.operator import NAMESPACE, Operator, as_deployed
from e2e.testbed import Cluster, ClusterSpec, TestbedError
from e2e.testbed.layout import REPOSITORY

T = TypeVar("T")

# Of every pod: none. What is idle gets no requests, and a status follows what is measured.
REQUESTS_PER_S = 0.0


def prepared(ctx: Context, spec: ClusterSpec = services.CLUSTER) -> Cluster:
    """The cluster with our CRDs and the namespaces, and a fleet that answers for its pods."""
    cluster = ctx.cluster(spec)
    ctx.once(f"fleet of {id(cluster)}", lambda: _prepare(ctx, cluster))
    return cluster


def _prepare(ctx: Context, cluster: Cluster) -> subprocess.Popen[bytes]:

    async def namespaces() -> None:
        async with Client(cluster) as client:
            for name in (NAMESPACE, services.NAMESPACE):
                await client.namespace(name)

    apply_crds(cluster)
    run(cluster, namespaces(), 30)
    return _fleet(ctx, cluster)


def _fleet(ctx: Context, cluster: Cluster) -> subprocess.Popen[bytes]:
    """One process that plays Triton on every address of KWOK's pods; it ends with the cluster."""
    ctx.folder.mkdir(parents=True, exist_ok=True)
    with (ctx.folder / "fleet.log").open("wb") as log:
        fleet = cluster.popen(
            [sys.executable, "-m", "e2e.fleet", "--model", "m", "--rate", str(REQUESTS_PER_S)],
            cwd=REPOSITORY,
            stdout=subprocess.PIPE,
            stderr=log,
        )
    if fleet.stdout is None or not fleet.stdout.readline():
        raise TestbedError(f"the fleet did not start, see {ctx.folder}/fleet.log")
    return fleet


def operator(ctx: Context, cluster: Cluster, what: str) -> Operator:
    """An operator, not yet running, that logs into the bench's folder."""
    log = ctx.folder / f"operator-{what}.log"
    log.unlink(missing_ok=True)
    kubeconfig = ctx.once(f"rights in {id(cluster)}", lambda: as_deployed(cluster))
    return Operator(cluster, kubeconfig=kubeconfig, log=log)


def measure(
    cluster: Cluster, operator: Operator, work: Coroutine[Any, Any, T], limit_s: float
) -> T:
    """Run `work` in the cluster's network while the operator runs; it is ended afterwards.

    Raises TestbedError with the operator's last words when it ends by itself: waiting for what it
    will never do would only cost the time limit.
    """

    async def watched() -> T:
        task = asyncio.ensure_future(work)
        while not task.done():
            await asyncio.wait({task}, timeout=0.5)
            if not operator.running:
                task.cancel()
                raise TestbedError(f"the operator ended:\n{operator.last_words()}")
        return task.result()

    with operator:
        return run(cluster, watched(), limit_s)


async def sweep(client: Client) -> None:
    """Delete everything of the services' namespace that was measured, and wait until it is gone."""
    bare = f"/api/v1/namespaces/{services.NAMESPACE}/services"
    for path in (SERVICES.format(services.NAMESPACE), DEPLOYMENTS.format(services.NAMESPACE), bare):
        await client.delete(path)
    # Network policies are the garbage collector's: left to it, they would be the next turn's load.
    for path in (DEPLOYMENTS, PODS, SERVICES, POLICIES):
        await client.until(path.format(services.NAMESPACE), _none)


def _none(objects: Objects) -> bool:
    return not objects


async def quiet(
    log: AuditLog, for_s: float, limit_s: float, counts: Callable[[Write], bool]
) -> list[Write]:
    """Wait until no write that `counts` was made for a while; returns those made meanwhile.

    Raises TestbedError naming the last ones when it does not get quiet.
    """
    seen: list[Write] = []
    now_s = time.monotonic()
    end_s, since_s = now_s + limit_s, now_s
    while time.monotonic() < since_s + for_s:
        if time.monotonic() > end_s:
            last = ", ".join(f"{w.verb} {w.resource} {w.name}" for w in seen[-5:])
            raise TestbedError(f"still writing after {limit_s:.0f} s: {last}")
        await asyncio.sleep(0.2)
        fresh = [w for w in log.new() if counts(w)]
        if fresh:
            since_s = time.monotonic()
            seen += fresh
    return seen


def is_work(write: Write) -> bool:
    """A write of the operator other than the election's heartbeat."""
    return write.by_operator and write.resource != "leases"
