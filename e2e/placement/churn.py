"""pending_over_10s: a thousand nodes, scarcity that moves, and nobody who waits beside free room.

For ten minutes services come, go and change size, nodes are cordoned, deleted, made and reclaimed,
and somebody else's pods take and free GPUs. Once a second the judge (`pending`) looks at who has no
node although there is room.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass

from e2e.bench import services, world
from e2e.bench.client import Client, Objects
from e2e.bench.figure import Context, Figure, Result
from e2e.bench.operator import Operator
from e2e.placement import live, pending
from e2e.placement.diary import Diary
from e2e.placement.disturbance import OTHERS, Disturbance
from e2e.testbed import Cluster

NODES = 1000
SERVICES = 60
MINUTES = float(os.environ.get("CONCH_BENCH_CHURN_MINUTES", "10"))
"""For a look that is shorter than the figure."""
SEED = int(os.environ.get("CONCH_BENCH_CHURN_SEED", "20261122"))
EVERY_S = float(os.environ.get("CONCH_BENCH_CHURN_EVERY_S", "0.3"))
"""One change; less makes it harder."""
LIMIT_S = 10.0
_LOOK_EVERY_S = 1.0
_PREPARE_S = 300.0
_SETTLE_S = 60.0
_ALL_PODS = "/api/v1/pods"


@dataclass(frozen=True, slots=True)
class Seen:
    """What the judge saw in all the time."""

    anywhere: pending.Tally
    """Waits with room for that replica."""
    whole: pending.Tally
    """The same, with room for its whole service."""
    looks: int
    most_without: int
    """Replicas without a node at once, with or without room."""
    most_waiting: int
    """Of them with room for each at once."""
    changes: Mapping[str, int]
    cpu_share: float
    """Of a core, what the operator used."""


class Judge:
    """The world as watches tell of it, and the tallies."""

    def __init__(self) -> None:
        self.nodes: Objects = {}
        self.pods: Objects = {}
        self.services: Objects = {}
        self.deployments: Objects = {}
        self.diary = Diary()
        self.pages: dict[str, list[str]] = {}
        """What the diary said when the limit was passed."""
        self.anywhere = pending.Tally(LIMIT_S)
        self.whole = pending.Tally(LIMIT_S)
        self.looks = self.most_without = self.most_waiting = 0

    def see_nodes(self, nodes: Objects) -> bool:
        self.nodes = nodes
        return False

    def see_pods(self, pods: Objects) -> bool:
        self.pods = pods
        return False

    def see_services(self, found: Objects) -> bool:
        self.services = found
        return False

    def see_deployments(self, found: Objects) -> bool:
        self.deployments = found
        return False

    def free(self) -> dict[str, list[int]]:
        """Free GPUs of every node that takes pods, by class."""
        return pending.free_units(self.nodes.values(), self.pods.values())

    def look(self, wanted: Mapping[str, pending.Wanted], now_s: float) -> None:
        """One second's look; nothing is judged before the watches have told anything."""
        if not (self.nodes and self.pods):
            return
        found = pending.waiting(wanted.values(), self.pods.values(), self.free())
        self.diary.write(
            wanted.values(), self.services, self.deployments.values(), self.pods.values(), now_s
        )
        self.anywhere.look(found, now_s)
        self.whole.look((one for one in found if one.for_service), now_s)
        self.looks += 1
        self.most_waiting = max(self.most_waiting, len(found))
        self.most_without = max(self.most_without, self.without())
        for one in found:
            if one.who in self.anywhere.over:
                self.pages[one.who] = self.diary.pages(one.service)

    def without(self) -> int:
        """Replicas without a node."""
        return sum(
            not pod["spec"].get("nodeName")
            for pod in self.pods.values()
            if pod["metadata"]["namespace"] == services.NAMESPACE
        )


def _measured(ctx: Context) -> Seen:
    cluster = world.prepared(ctx, live.CLUSTER)
    operator = world.operator(ctx, cluster, "churn")
    limit_s = _PREPARE_S + MINUTES * 60 + 2 * _SETTLE_S
    return world.measure(cluster, operator, _churn(ctx, cluster, operator), limit_s)


async def _churn(ctx: Context, cluster: Cluster, operator: Operator) -> Seen:
    loop = asyncio.get_running_loop()
    judge = Judge()
    async with Client(cluster) as client:
        await world.sweep(client)
        await live.clear_nodes(client)
        disturbance = Disturbance(client, SEED)
        await disturbance.prepare(NODES, SERVICES)
        async with asyncio.TaskGroup() as group:
            watches = [
                group.create_task(client.until(live.NODES, judge.see_nodes)),
                group.create_task(client.until(_ALL_PODS, judge.see_pods)),
                group.create_task(client.until(live.OWN_SERVICES, judge.see_services)),
                group.create_task(client.until(live.OWN_DEPLOYMENTS, judge.see_deployments)),
            ]
            start_s, cpu_s = loop.time(), operator.cpu_s()
            end_s, told_s = start_s + MINUTES * 60, start_s
            looks = group.create_task(_look(judge, disturbance))
            while (now_s := loop.time()) < end_s:
                await disturbance.change(now_s, judge.free(), judge.pods)
                if now_s - told_s > 30:
                    told_s = now_s
                    ctx.progress(_progress(judge, end_s - now_s))
                await asyncio.sleep(max(0.0, now_s + EVERY_S - loop.time()))
            cpu_share = (operator.cpu_s() - cpu_s) / (loop.time() - start_s)
            for task in (*watches, looks):
                task.cancel()
        _write(ctx, judge)
        await world.sweep(client)
        await client.delete(f"/api/v1/namespaces/{OTHERS}/pods")
        await live.clear_nodes(client)
    return Seen(
        judge.anywhere,
        judge.whole,
        judge.looks,
        judge.most_without,
        judge.most_waiting,
        disturbance.made,
        cpu_share,
    )


async def _look(judge: Judge, disturbance: Disturbance) -> None:
    loop = asyncio.get_running_loop()
    while True:
        judge.look(disturbance.services, loop.time())
        await asyncio.sleep(_LOOK_EVERY_S)


def _progress(judge: Judge, left_s: float) -> str:
    free = {name: sum(units) for name, units in judge.free().items()}
    return (
        f"… {left_s:.0f} s left; free {free}; {judge.without()} replicas without a node; "
        f"over {LIMIT_S:.0f} s so far: {len(judge.anywhere.over)} with room for the replica, "
        f"{len(judge.whole.over)} for the service"
    )


def _write(ctx: Context, judge: Judge) -> None:
    """The cases, for whoever looks into them."""
    cases = [
        {"who": who, "waited_s": round(s, 1), "whole_service_s": judge.whole.over.get(who),
         "told": judge.anywhere.told[who], "seen": judge.pages[who]}
        for who, s in sorted(judge.anywhere.over.items(), key=lambda item: -item[1])
    ]  # fmt: skip
    (ctx.folder / "pending-over-10s.json").write_text(json.dumps(cases, indent=1) + "\n")


def _measure(ctx: Context) -> Result:
    seen = _measured(ctx)
    made = ", ".join(f"{number} {what}" for what, number in sorted(seen.changes.items()))
    return Result(
        len(seen.anywhere.over),
        f"{NODES} nodes, {SERVICES} services, {MINUTES:g} min, {seen.looks} looks; {made}. "
        f"At most {seen.most_without} pods without a node at once, {seen.most_waiting} of them "
        f"wanted, with room; over {LIMIT_S:.0f} s without a break: {len(seen.anywhere.over)} with "
        f"room for the replica in some allowed class (longest {seen.anywhere.longest_s:.1f} s), "
        f"{len(seen.whole.over)} with room for the whole service in one class "
        f"(longest {seen.whole.longest_s:.1f} s); the operator used {seen.cpu_share:.0%} of a core",
    )


PENDING = Figure(
    "pending_over_10s",
    "",
    0,
    "lower",
    "replicas Pending for more than 10 s beside room in an allowed class",
    _measure,
)
