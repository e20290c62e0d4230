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
from dataclasses import dataclass, replace

from conch.api import names
from e2e.bench import services, world
from e2e.bench.client import Client, Object, Objects
from e2e.bench.figure import Context, Figure, Result
from e2e.bench.operator import Operator
from e2e.placement import live, pending
from e2e.placement.diary import Diary
from e2e.placement.disturbance import OTHERS, STORM, USUAL, Disturbance
from e2e.testbed import Cluster

NODES = 1000
SERVICES = 60
MINUTES = float(os.environ.get("CONCH_BENCH_CHURN_MINUTES", "10"))
"""For a look that is shorter than the figure."""
SEED = int(os.environ.get("CONCH_BENCH_CHURN_SEED", "20261122"))
EVERY_S = float(os.environ.get("CONCH_BENCH_CHURN_EVERY_S", "0.3"))
"""One change; less makes it harder."""
WEATHER = STORM if os.environ.get("CONCH_BENCH_CHURN_STORM") else USUAL
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
    service: pending.Tally
    """How long a service had such a replica, whichever it was: a rollout makes new ones."""
    looks: int
    most_without: int
    """Replicas without a node at once, with or without room."""
    most_waiting: int
    """Of them with room for each at once."""
    most_split: int
    """Services on several classes at once."""
    changes: Mapping[str, int]
    cpu_share: float
    """Of a core, what the operator used."""


class Judge:
    """The world as watches tell of it, and the tallies."""

    def __init__(self, limit_s: float = LIMIT_S) -> None:
        self.nodes: Objects = {}
        self.pods: Objects = {}
        self.services: Objects = {}
        self.deployments: Objects = {}
        self.diary = Diary()
        self.pages: dict[str, list[str]] = {}
        """What the diary said when the limit was passed."""
        self.anywhere = pending.Tally(limit_s)
        self.whole = pending.Tally(limit_s)
        self.service = pending.Tally(limit_s)
        self.looks = self.most_without = self.most_waiting = self.most_split = 0

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
        self.service.look((replace(one, who=one.service) for one in found), now_s)
        self.looks += 1
        self.most_waiting = max(self.most_waiting, len(found))
        self.most_without = max(self.most_without, self.without())
        self.most_split = max(self.most_split, self.split())
        for one in found:
            for tally, who in ((self.anywhere, one.who), (self.service, one.service)):
                if who in tally.over:
                    self.pages[who] = self.diary.pages(one.service)

    def cases(self) -> list[Object]:
        """Who waited longer than the limit, for whoever looks into it."""
        return [
            {"who": who, "waited_s": round(s, 1), "whole_service_s": self.whole.over.get(who),
             "told": tally.told[who], "seen": self.pages[who]}
            for tally in (self.anywhere, self.service)
            for who, s in sorted(tally.over.items(), key=lambda item: -item[1])
        ]  # fmt: skip

    def split(self) -> int:
        """Services that have a further Deployment with replicas on another class."""
        return len(
            {
                deployment["metadata"]["labels"][names.LABEL_SERVICE]
                for deployment in self.deployments.values()
                if names.LABEL_PART in deployment["metadata"]["labels"]
                and deployment["spec"]["replicas"]
            }
        )

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
        disturbance = Disturbance(client, SEED, WEATHER)
        await disturbance.prepare(NODES, SERVICES)
        await disturbance.begun()
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
        judge.service,
        judge.looks,
        judge.most_without,
        judge.most_waiting,
        judge.most_split,
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
    (ctx.folder / "pending-over-10s.json").write_text(json.dumps(judge.cases(), indent=1) + "\n")


def _measure(ctx: Context) -> Result:
    seen = _measured(ctx)
    made = ", ".join(f"{number} {what}" for what, number in sorted(seen.changes.items()))
    return Result(
        len(seen.anywhere.over),
        f"{NODES} nodes, {SERVICES} services, {MINUTES:g} min, {seen.looks} looks; {made}. "
        f"At most {seen.most_without} pods without a node at once, {seen.most_waiting} of them "
        f"wanted, with room, and {seen.most_split} services on several classes; over "
        f"{LIMIT_S:.0f} s without a break: {len(seen.anywhere.over)} with "
        f"room for the replica in some allowed class (longest {seen.anywhere.longest_s:.1f} s), "
        f"{len(seen.whole.over)} with room for the whole service in one class "
        f"(longest {seen.whole.longest_s:.1f} s); a service had one of them or another for "
        f"{seen.service.longest_s:.1f} s at most; the operator used {seen.cpu_share:.0%} of a core",
    )


PENDING = Figure(
    "pending_over_10s",
    "",
    0,
    "lower",
    "replicas Pending for more than 10 s beside room in an allowed class",
    _measure,
)
