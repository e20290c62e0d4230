"""idle_writes and rss_100_services_mib: what a converged operator does and holds.

100 services with three replicas each and nothing to do, for five minutes.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from e2e.bench import services, world
from e2e.bench.audit import AuditLog, Write, count, spelled
from e2e.bench.client import PODS, SERVICES, Client, Object, Objects, unready
from e2e.bench.figure import Context, Figure, Result
from e2e.bench.operator import Operator
from e2e.testbed import Cluster, TestbedError

COUNT = 100
REPLICAS = 3
WINDOW_S = 300.0
_PART_S = 20.0
# Longer than what the status waits with numbers that nobody waits for.
_QUIET_S = 35.0
_SETTLE_LIMIT_S = 240.0


@dataclass(frozen=True, slots=True)
class Steady:
    """What was seen in the window."""

    work: tuple[Write, ...]
    leases: int
    rss_mib: float
    """The most that was seen in the window."""
    peak_rss_mib: float
    """The most since the process began: while the services came up."""
    cpu_share: float
    """Of one core, in the window."""
    pods: int


def _measured(ctx: Context) -> Steady:
    return ctx.once("steady", lambda: _steady(ctx))


def _steady(ctx: Context) -> Steady:
    cluster = world.prepared(ctx)
    operator = world.operator(ctx, cluster, "steady")
    limit_s = _SETTLE_LIMIT_S * 3 + WINDOW_S
    return world.measure(cluster, operator, _window(ctx, cluster, operator), limit_s)


async def _window(ctx: Context, cluster: Cluster, operator: Operator) -> Steady:
    names = services.names(COUNT)
    path = SERVICES.format(services.NAMESPACE)
    async with Client(cluster) as client:
        await world.sweep(client)
        for number, name in enumerate(names):
            await client.create(path, _service(number, name))
        async with asyncio.timeout(_SETTLE_LIMIT_S):
            await client.until(path, lambda there: not unready(there, names))
            await client.until(PODS.format(services.NAMESPACE), _all_ready)
        log = AuditLog(cluster.audit_log)
        await world.quiet(log, _QUIET_S, _SETTLE_LIMIT_S, world.is_work)
        pods = len(await client.items(PODS.format(services.NAMESPACE)))
        ctx.progress(f"{COUNT} services and {pods} pods converged; {WINDOW_S:.0f} s of nothing")
        rss_mib, cpu_s = [operator.rss_mib()], operator.cpu_s()
        loop = asyncio.get_running_loop()
        end_s = loop.time() + WINDOW_S
        while (left_s := end_s - loop.time()) > 0:
            await asyncio.sleep(min(_PART_S, left_s))
            rss_mib.append(operator.rss_mib())
            ctx.progress(f"… {end_s - loop.time():.0f} s left, RSS {rss_mib[-1]:.1f} MiB")
        cpu_share = (operator.cpu_s() - cpu_s) / WINDOW_S
        writes = [w for w in log.new() if w.by_operator]
        if not any(w.resource == "leases" for w in writes):
            raise TestbedError("not even the Lease was renewed: was this operator the leader?")
        peak_mib = operator.peak_rss_mib()
        await world.sweep(client)
    work = tuple(w for w in writes if world.is_work(w))
    details = [f"{w.answered_s:.1f} {w.verb} {w.resource} {w.name}" for w in work]
    (ctx.folder / "idle-writes.txt").write_text("\n".join(details) + "\n")
    return Steady(work, len(writes) - len(work), max(rss_mib), peak_mib, cpu_share, pods)


def _service(number: int, name: str) -> Object:
    """Always three replicas, on a class that has room for all of those on it."""
    return services.service(
        name,
        accelerator=services.LARGE[number % len(services.LARGE)],
        minReplicas=REPLICAS,
        maxReplicas=REPLICAS,
    )


def _all_ready(pods: Objects) -> bool:
    return len(pods) == COUNT * REPLICAS and all(map(_is_ready, pods.values()))


def _is_ready(pod: Object) -> bool:
    conditions = pod["status"].get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


def _idle(ctx: Context) -> Result:
    got = _measured(ctx)
    made = f" ({spelled(count(got.work))})" if got.work else ""
    return Result(
        len(got.work),
        f"{COUNT} services, {got.pods} pods, {WINDOW_S:.0f} s of the audit log{made}; besides it "
        f"{got.leases} renewals of the Lease; {got.cpu_share:.1%} of a core",
    )


def _rss(ctx: Context) -> Result:
    got = _measured(ctx)
    return Result(
        got.rss_mib,
        f"{COUNT} services, {got.pods} pods, most in {WINDOW_S:.0f} s; "
        f"{got.peak_rss_mib:.0f} MiB at the most while they came up",
    )


IDLE_WRITES = Figure(
    "idle_writes", "", 0, "lower", "the operator's API writes in 5 minutes, converged", _idle
)
RSS = Figure(
    "rss_100_services_mib", "MiB", 150, "lower", "operator RSS, 100 services, 300 pods", _rss
)
