"""twin_error_pp, twin_hours_error, twin_p99_error: the same requests and the same replicas, on real
servers and simulated.

The load comes in three steps, the middle one too much for the replica there is; more are asked for
while it lasts, and some are given back at the end, by changing the service's limits. The twin is
given what anybody can measure beforehand: the arrivals, s(b) from the servers' own statistics, the
mean cold start, the drain that is configured, and when the Deployment was changed. Connections are
new for each request: kube-proxy picks a pod at random, the twin another; its numbers are means of
several seeds.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from statistics import mean

import aiohttp
import numpy as np

from conch.api.conditions import Reason
from conch.observe.types import BatchStat, Decision
from conch.triton import statistics
from conch.twin.controller import Sight
from conch.twin.result import Result as Simulated
from conch.twin.service import ServiceModel
from conch.twin.traces import of_times
from conch.twin.world import Scenario, World
from e2e.bench import real_world, services
from e2e.bench.client import PODS, Client, Object
from e2e.bench.figure import Context, Figure, Result
from e2e.bench.inside import run
from e2e.bench.real_load import Told, load
from e2e.load.arrivals import arrivals, parse
from e2e.testbed import Cluster, TestbedError

NAME = "twin"
PHASES = "25x40,65x110,30x70"
LENGTH_S = 220.0
STEPS = ((45.0, 3), (150.0, 2))  # seconds after the load began, replicas
BATCH = 4
QUEUE_DELAY_S = 0.002  # of the example model
SEEDS = 20
LEAVING_S = 30.0
_LIMIT_S = 420.0
_LOOK_S = 0.2


@dataclass(slots=True)
class Life:
    """One pod, in seconds since the epoch; None: not (yet)."""

    created_s: float
    ready_s: float | None = None
    gone_s: float | None = None


@dataclass(frozen=True, slots=True)
class Seen:
    """What happened on the real servers."""

    told: Told
    steps: list[tuple[float, int]]  # seconds since the load began, replicas asked for
    lives: dict[str, Life]
    batches: dict[int, BatchStat]


@dataclass(slots=True)
class Plan:
    """Asks for replicas at given times; looks often enough to be on time."""

    steps: Sequence[tuple[float, int]]
    name: str = "plan"
    interval_s: float = 0.1
    first: int = 1

    def decide(self, sight: Sight) -> Decision:
        """The last step that has come."""
        now_s = sight.observation.now_s
        wanted = [self.first, *(n for at_s, n in self.steps if at_s <= now_s)][-1]
        return Decision(wanted, Reason.WITHIN_OBJECTIVE, "")


async def _watch(client: Client, lives: dict[str, Life]) -> None:
    """Note when pods come, are ready and go; until cancelled."""
    while True:
        now_s = time.time()
        there = {p["metadata"]["uid"]: p for p in await client.items(_pods())}
        for uid, pod in there.items():
            life = lives.setdefault(uid, Life(now_s))
            if life.ready_s is None and _is_ready(pod):
                life.ready_s = now_s
        for uid, life in lives.items():
            if uid not in there and life.gone_s is None:
                life.gone_s = now_s
        await asyncio.sleep(_LOOK_S)


def _pods() -> str:
    return PODS.format(services.NAMESPACE)


def _is_ready(pod: Object) -> bool:
    conditions = pod.get("status", {}).get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


async def _seen(cluster: Cluster) -> Seen:
    async with Client(cluster) as client:
        address = await real_world.serve(client, NAME, minReplicas=1, maxReplicas=1)
        lives: dict[str, Life] = {}
        watching = asyncio.create_task(_watch(client, lives))
        loading = asyncio.create_task(load(cluster, address, PHASES))
        began_s = time.time()
        changed: list[tuple[float, int]] = []
        for at_s, replicas in STEPS:
            await asyncio.sleep(began_s + at_s - time.time())
            limits = {"minReplicas": replicas, "maxReplicas": replicas}
            await real_world.change(client, NAME, {"scaling": limits})
            await real_world.until_replicas(client, NAME, partial(_asked, replicas))
            changed.append((time.time(), replicas))
        told = await loading
        await asyncio.sleep(max(0.0, changed[-1][0] + LEAVING_S - time.time()))
        batches = await _batches(client)
        watching.cancel()
    steps = [(at_s - told.started_s, n) for at_s, n in changed]
    return Seen(told, steps, lives, batches)


def _asked(wanted: int, asked: int, ready: int) -> bool:
    return asked == wanted


async def _batches(client: Client) -> dict[int, BatchStat]:
    """Executions per batch size, over all pods that are still there."""
    total: dict[int, BatchStat] = {}
    async with aiohttp.ClientSession() as session:
        for pod in await client.items(_pods()):
            url = f"http://{pod['status']['podIP']}:8000/v2/models/stats"
            async with session.get(url) as answer:
                found = statistics.parse(await answer.read(), [real_world.MODEL])
            for size, stat in found[real_world.MODEL].items():
                old = total.get(size, BatchStat(0, 0.0))
                total[size] = BatchStat(old.count + stat.count, old.compute_s + stat.compute_s)
    return total


def curve(batches: dict[int, BatchStat], limit: int) -> tuple[float, ...]:
    """s(1) … s(limit): the means measured; sizes never seen from a line through the others."""
    sizes = sorted(batches)
    if not sizes:
        raise TestbedError("the servers' statistics name no batch")
    means = [batches[size].compute_s / batches[size].count for size in sizes]
    weights = [batches[size].count ** 0.5 for size in sizes]
    line = np.polyfit(sizes, means, min(1, len(sizes) - 1), w=weights)
    known = dict(zip(sizes, means, strict=True))
    return tuple(float(known.get(k, np.polyval(line, k))) for k in range(1, limit + 1))


def real_hours(seen: Seen) -> float:
    """Pod lives within the load, from creation to the last look at which they were there."""
    start_s, end_s = seen.told.started_s, seen.told.started_s + LENGTH_S
    lives = seen.lives.values()
    return (
        sum(
            max(0.0, min(life.gone_s or end_s, end_s) - max(life.created_s, start_s))
            for life in lives
        )
        / 3600
    )


def cold_start_s(seen: Seen) -> float:
    """Mean time from a pod's creation to Ready, of those that started under the load."""
    took_s = [
        life.ready_s - life.created_s
        for life in seen.lives.values()
        if life.ready_s is not None and life.created_s > seen.told.started_s
    ]
    if not took_s:
        raise TestbedError("no replica became ready under the load")
    return mean(took_s)


def simulated(seen: Seen, seeds: int) -> list[Simulated]:
    """The twin of what was seen, once per seed."""
    times_s = [at_s for at_s, _ in arrivals(parse(PHASES), seen.told.seed)]
    scenario = Scenario(
        service=ServiceModel(
            curve(seen.batches, BATCH), noise=0.01, max_queue_delay_s=QUEUE_DELAY_S
        ),
        cold_start_s=cold_start_s(seen),
        cold_start_spread=0.0,
        target_s=real_world.TARGET_S,
        max_replicas=max(n for _, n in seen.steps),
        routing="random",
        drain_s=float(real_world.DRAIN_S),
        scrape_interval_s=0.0,
        lag_s=(1e3, 1e3),  # this scaler looks at nothing
    )
    trace = of_times("validation", times_s, LENGTH_S)
    return [
        World(dataclasses.replace(scenario, seed=seed), trace).run(Plan(seen.steps))
        for seed in range(seeds)
    ]


@dataclass(frozen=True, slots=True)
class Compared:
    """What the twin is off by, against the real servers; ``how`` it came about."""

    late_pp: float
    hours: float  # relative
    p99: float  # relative
    how: str


def _measured(ctx: Context) -> Compared:
    def measure() -> Compared:
        cluster = real_world.prepared(ctx, "twin")
        with real_world.operator(ctx, cluster, "twin"):
            seen = run(cluster, _seen(cluster), _LIMIT_S)
        (ctx.folder / "twin-real.json").write_text(json.dumps(dataclasses.asdict(seen), indent=1))
        return compared(seen)

    return ctx.once("twin against real servers", measure)


def compared(seen: Seen) -> Compared:
    """The twin's mean over the seeds beside what was seen."""
    runs = simulated(seen, SEEDS)
    summary = seen.told.summary
    late = 1 - summary["within"] / summary["sent"]
    shares = [r.late_share for r in runs]
    hours, real = mean(r.replica_hours for r in runs), real_hours(seen)
    p99_s, real_p99_s = mean(r.p99_s for r in runs), summary["p99_ms"] / 1000
    times = ", ".join(f"{1000 * s:.1f}" for s in curve(seen.batches, BATCH))
    return Compared(
        late_pp=100 * abs(mean(shares) - late),
        hours=abs(hours / real - 1),
        p99=abs(p99_s / real_p99_s - 1),
        how=f"late: real {late:.2%}, twin {mean(shares):.2%} ({min(shares):.2%} to "
        f"{max(shares):.2%} of {SEEDS} seeds); p99 {real_p99_s:.2f} and {p99_s:.2f} s "
        f"({p99_s / real_p99_s - 1:+.1%}); replica-hours {real:.4f} and {hours:.4f} "
        f"({hours / real - 1:+.1%}); {summary['sent']} requests, {summary['failed']} failed, "
        f"cold start {cold_start_s(seen):.1f} s, s(b) {times} ms",
    )


def _late(ctx: Context) -> Result:
    found = _measured(ctx)
    return Result(found.late_pp, found.how)


def _hours(ctx: Context) -> Result:
    return Result(_measured(ctx).hours, "the same load: see twin_error_pp")


def _p99(ctx: Context) -> Result:
    return Result(_measured(ctx).p99, "the same load: see twin_error_pp")


FIGURES = (
    Figure(
        "twin_error_pp",
        "pp",
        1.0,
        "lower",
        "late share, twin against real tritonserver under the same load",
        _late,
    ),
    Figure("twin_hours_error", "", 0.05, "lower", "replica-hours, relative error", _hours),
    Figure("twin_p99_error", "", 0.15, "lower", "p99, relative error", _p99),
)
