"""pending_over_10s in time that is not real: ten minutes of churn in half of one, seed by seed.

    python -m e2e.placement.virtual --seeds 10 --minutes 10

The placement loop, the controller and what wakes them are Conch's own; the cluster is `pretend`,
the disturbance and the judge are those of the figure. It finds causes; that nobody waits is for
the figure to say, on a real scheduler.
"""

from __future__ import annotations

import argparse
import asyncio
import copy
import json
import selectors
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

import msgspec

from conch.api import names
from conch.errors import NotFound
from conch.kube import compact
from conch.kube.reflector import Change
from conch.observe.state import ClusterState
from conch.observe.types import Key
from conch.reconcile import placement
from conch.reconcile.controller import Controller
from conch.reconcile.placement import PlacementLoop
from conch.reconcile.queue import WorkQueue
from conch.settings import Settings
from conch.telemetry.catalog import Metrics
from conch.wiring.changes import Changes
from conch.wiring.handlers import Feed
from e2e.bench.client import Object, Objects
from e2e.placement.churn import LIMIT_S, Judge
from e2e.placement.disturbance import STORM, USUAL, Disturbance, Weather
from e2e.placement.pretend import EPOCH_S, Pretend
from e2e.placement.pretend_client import Client

T = TypeVar("T")

_PLAN_S = 0.05  # what a plan takes
_WRITE_S = 0.01
_CHILDREN = {"Deployment": "deployments"}


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop whose clock jumps to what is due next."""

    def __init__(self) -> None:
        self.now_s = 0.0
        super().__init__(_Jump(self))

    def time(self) -> float:
        return self.now_s

    def run_in_executor(  # type: ignore[override]
        self, executor: Any, func: Callable[..., T], *arguments: Any
    ) -> asyncio.Future[T]:
        """Threads have no place in it: done at once, known a moment later."""
        future: asyncio.Future[T] = self.create_future()
        try:
            result = func(*arguments)
        except Exception as error:
            future.set_exception(error)
        else:
            self.call_later(_PLAN_S, _tell, future, result)
        return future


def _tell(future: asyncio.Future[T], result: T) -> None:
    if not future.done():
        future.set_result(result)


class _Jump(selectors.SelectSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> Any:
        if timeout is None:
            raise RuntimeError("nothing will ever happen")
        self._loop.now_s += max(0.0, timeout)
        return super().select(0)


class _Writer:
    """Conch's writes, into the cluster in memory."""

    def __init__(self, cluster: Pretend) -> None:
        self._cluster = cluster

    def _services(self) -> Objects:
        return self._cluster.collections["inferenceservices"]

    async def service_exists(self, key: Key, uid: str) -> bool:
        live = self._services().get(str(key))
        return live is not None and live["metadata"]["uid"] == uid

    async def read_child(self, child: Object) -> Object | None:
        name = f"{child['metadata']['namespace']}/{child['metadata']['name']}"
        return self._cluster.collections[_plural(child)].get(name)

    async def apply(self, child: Object, why: str, *, create: bool) -> Object:
        await asyncio.sleep(_WRITE_S)
        old = await self.read_child(child)
        made = copy.deepcopy(child)
        if child["kind"] == "Deployment":
            made["spec"]["replicas"] = old["spec"]["replicas"] if old else 1
            made |= {"status": old["status"]} if old and "status" in old else {}
        return self._cluster.put(_plural(child), made)

    async def scale(self, key: Key, replicas: int) -> Object:
        await asyncio.sleep(_WRITE_S)

        def change(deployment: Object) -> None:
            deployment["spec"]["replicas"] = replicas

        live = self._cluster.change("deployments", str(key), change)
        if live is None:
            raise NotFound(404, message=f"{key} is gone")
        return live

    async def delete(self, live: Object) -> None:
        await asyncio.sleep(_WRITE_S)
        name = f"{live['metadata']['namespace']}/{live['metadata']['name']}"
        self._cluster.remove(_plural(live), name)

    async def status(self, key: Key, uid: str, body: Any) -> Object:
        await asyncio.sleep(_WRITE_S)
        live = self._services().get(str(key))
        if live is None:
            raise NotFound(404, message=f"{key} is gone")
        return self._cluster.put("inferenceservices", {**live, "status": body}, spec=False)

    async def event(self, *_: Any, **__: Any) -> None:
        """Nobody reads them here."""


def _plural(child: Object) -> str:
    kind: str = child["kind"]
    return _CHILDREN.get(kind, kind)


class _Operator:
    """Conch's loops, and what watches tell them."""

    def __init__(self) -> None:
        settings, metrics = Settings(), Metrics()
        self.state, self.queue = ClusterState(), WorkQueue()
        self.placement = PlacementLoop(self.state, self.queue, settings, metrics)
        self._changes = Changes(self.state, self.queue, self.placement.trigger)
        self._feed = Feed(self.state, self.queue, self.placement.hurry)
        self._settings, self._metrics = settings, metrics
        self._pods, self._nodes = compact.pods(names.GROUP), compact.nodes()

    async def run(self, cluster: Pretend) -> None:
        writer: Any = _Writer(cluster)
        controller = Controller(
            self.state, self.queue, writer, self._settings, self._metrics,
            lambda: None, self.placement.trigger,
        )  # fmt: skip
        async with asyncio.TaskGroup() as group:
            group.create_task(self.placement.run())
            group.create_task(controller.run())

    def watch(self, plural: str, old: Object | None, new: Object | None) -> None:
        """A change as the reflectors and kopf tell of it."""
        if (some := new or old) is None:
            return
        if plural == "inferenceservices":
            self._feed.service(some, gone=new is None)
        elif plural == "pods":
            self._changes.on_pod(_change(old, new, self._pods))
        elif plural == "nodes":
            self._changes.on_node(_change(old, new, self._nodes))
        elif "kind" in some:
            self._changes.on_child(_change(old, new, msgspec.json.decode))


def _change(old: Object | None, new: Object | None, read: Callable[[bytes], T]) -> Change[T]:
    meta = (new or old or {})["metadata"]
    kind = "modified" if old and new else "added" if new else "deleted"

    def seen(one: Object | None) -> T | None:
        return None if one is None else read(json.dumps(one).encode())

    return Change(kind, meta.get("namespace", ""), meta["name"], seen(old), seen(new))  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Churn:
    """How much happens, to how much, and how long a replica may wait."""

    minutes: float = 10.0
    nodes: int = 100
    services: int = 20
    every_s: float = 0.6
    """From change to change."""
    weather: Weather = USUAL
    limit_s: float = LIMIT_S
    ready_s: float = 1.0
    """What a pod takes to start: what goes on meanwhile is longer under way."""


async def _churn(seed: int, what: Churn) -> Judge:
    operator, judge = _Operator(), Judge(what.limit_s)
    cluster = Pretend(operator.watch, seed, what.ready_s)
    client: Any = Client(cluster)
    disturbance = Disturbance(client, seed, what.weather)
    loop = asyncio.get_running_loop()
    tasks = [asyncio.create_task(cluster.run()), asyncio.create_task(operator.run(cluster))]
    await disturbance.prepare(what.nodes, what.services)
    await asyncio.sleep(5)
    end_s, look_s = loop.time() + what.minutes * 60, 0.0
    while (now_s := loop.time()) < end_s:
        kinds = ("nodes", "pods", "inferenceservices", "deployments")
        judge.nodes, judge.pods, judge.services, judge.deployments = (
            {obj["metadata"]["name"]: obj for obj in cluster.collections[kind].values()}
            for kind in kinds
        )
        if now_s >= look_s + 1:
            look_s = now_s
            judge.look(disturbance.services, now_s)
        await disturbance.change(now_s, judge.free(), judge.pods)
        for task in tasks:
            if task.done():
                task.result()
        await asyncio.sleep(what.every_s)
    for task in tasks:
        task.cancel()
    operator.queue.close()
    return judge


def run(seed: int, what: Churn) -> Judge:
    """Churn in the cluster in memory; the judge, with what it saw."""
    loop = VirtualLoop()

    def epoch_s() -> float:
        return EPOCH_S + loop.time()

    with (
        mock.patch.object(placement, "_epoch_s", epoch_s),
        asyncio.Runner(loop_factory=lambda: loop) as runner,
    ):
        return runner.run(_churn(seed, what))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m e2e.placement.virtual", description=__doc__)
    parser.add_argument("--seeds", type=int, default=5, help="how many")
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--nodes", type=int, default=100)
    parser.add_argument("--services", type=int, default=20)
    parser.add_argument("--every", type=float, default=0.6, help="seconds to a change")
    parser.add_argument("--storm", action="store_true", help="with less room")
    parser.add_argument("--limit", type=float, default=LIMIT_S, help="seconds to wait")
    parser.add_argument("--ready", type=float, default=1.0, help="seconds that a pod starts")
    parser.add_argument("--out", type=Path, help="where the cases go, as JSON")
    chosen = parser.parse_args()
    what = Churn(
        chosen.minutes,
        chosen.nodes,
        chosen.services,
        chosen.every,
        STORM if chosen.storm else USUAL,
        chosen.limit,
        chosen.ready,
    )
    cases = []
    for seed in range(chosen.first, chosen.first + chosen.seeds):
        judge = run(seed, what)
        found = judge.cases()
        cases += [{"seed": seed, **case} for case in found]
        print(
            f"seed {seed}: {judge.looks} looks, {judge.most_without} without a node, "
            f"{judge.most_waiting} of them with room, {judge.most_split} services split; longest "
            f"{judge.anywhere.longest_s:.1f} s, of a service {judge.service.longest_s:.1f} s; "
            f"over the limit: {len(judge.anywhere.over)}, {len(judge.service.over)}",
            flush=True,
        )
        if chosen.out:
            chosen.out.write_text(json.dumps(cases, indent=1) + "\n")
    return 1 if cases else 0


if __name__ == "__main__":
    sys.exit(main())
