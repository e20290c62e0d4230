"""cr_to_deployment_p99_s: how long a new InferenceService waits for its Deployment.

From the API server receiving the InferenceService to it having answered the Deployment's creation,
both from the audit log.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Sequence

from e2e.bench import services, world
from e2e.bench.audit import AuditLog, Write
from e2e.bench.client import DEPLOYMENTS, SERVICES, Client
from e2e.bench.figure import Context, Figure, Result
from e2e.testbed import Cluster, TestbedError

COUNT = 200
# Below what two shared cores can carry: at 5/s Kubernetes itself queues, and its queue is measured.
RATE_PER_S = 2.5


def percentile(values: Iterable[float], percent: float) -> float:
    """Nearest rank: the smallest value that `percent` of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(percent / 100 * len(ordered)) - 1)]


def waits_s(writes: Sequence[Write]) -> dict[str, float]:
    """Seconds from each InferenceService to its Deployment; those without one are not there."""
    asked = {w.name: w for w in writes if w.resource == "inferenceservices" and w.verb == "create"}
    made = {w.name: w for w in writes if w.resource == "deployments" and w.created}
    return {n: made[n].answered_s - asked[n].received_s for n in asked.keys() & made.keys()}


def _measure(ctx: Context) -> Result:
    cluster = world.prepared(ctx)
    operator = world.operator(ctx, cluster, "arrivals")
    waits = world.measure(cluster, operator, _arrivals(cluster), 300)
    missing = set(services.names(COUNT)) - waits.keys()
    if missing:
        raise TestbedError(f"no Deployment was made for {', '.join(sorted(missing))}")
    values = list(waits.values())
    return Result(
        percentile(values, 99),
        f"{COUNT} services at {RATE_PER_S:g}/s, audit log: p50 {percentile(values, 50):.3f} s, "
        f"max {max(values):.3f} s",
    )


async def _arrivals(cluster: Cluster) -> dict[str, float]:
    async with Client(cluster) as client:
        await world.sweep(client)
        log = AuditLog(cluster.audit_log)
        path = SERVICES.format(services.NAMESPACE)
        names = services.names(COUNT)
        loop = asyncio.get_running_loop()
        start_s = loop.time()
        async with asyncio.TaskGroup() as group:
            for number, name in enumerate(names):
                # Open loop: a slow answer must not slow down the arrivals.
                await asyncio.sleep(start_s + number / RATE_PER_S - loop.time())
                group.create_task(client.create(path, services.service(name)))
        await client.until(
            DEPLOYMENTS.format(services.NAMESPACE), lambda there: len(there) == len(names)
        )
        waits = waits_s(list(log.new()))
        await world.sweep(client)
        return waits


CR_TO_DEPLOYMENT = Figure(
    "cr_to_deployment_p99_s",
    "s",
    0.5,
    "lower",
    "InferenceService created → Deployment created, p99",
    _measure,
)
