"""scrape_2000_cores: what looking at 2,000 model servers costs the operator, and deciding from it.

KWOK's pods on real API objects; a fleet answers for every one of them with traffic that moves, so
that statistics are read too. CPU of the operator's process alone, whatever else the machine does.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import cycle
from typing import Any, Final

from e2e.bench import services, world
from e2e.bench.client import PODS, SERVICES, Client, Objects, apply_crds, unready
from e2e.bench.figure import Context, Figure, Result
from e2e.bench.inside import run
from e2e.bench.operator import NAMESPACE, Operator, as_deployed
from e2e.testbed import Cluster, TestbedError
from e2e.testbed.layout import REPOSITORY

SERVED: Final = 40
EACH: Final = 50
PODS_IN_ALL: Final = SERVED * EACH
INTERVAL_S: Final = 5.0
WINDOW_S: Final = 60.0
RATE_PER_POD: Final = 1.0
# Five models of node in turn, 672 GPUs of each of the large and 336 of each of the small. Each
# service is told its class: what starts slowly would be moved to another, which is not measured.
CLASSES: Final = (*3 * services.LARGE, "l4", "t4")
CLUSTER: Final = replace(services.CLUSTER, name="scrape-kwok", kwok_nodes=420, audit=False)
_UP_LIMIT_S: Final = 600.0
# Looks made, of those wanted: with less the machine, which plays the pods too, is too busy to tell.
_LEAST_HELD: Final = 0.6


@dataclass(frozen=True, slots=True)
class Looked:
    """The operator in the window; ``cores`` as if it had held the interval all the time."""

    cores: float
    held: float  # looks made, of those wanted
    failed: float
    decided_s: float
    rss_mib: float


def _measure(ctx: Context) -> Result:
    cluster = ctx.cluster(CLUSTER)
    apply_crds(cluster)
    run(cluster, _namespaces(cluster), 30)
    fleet = cluster.popen(
        [sys.executable, "-m", "e2e.fleet", "--model", "m", "--rate", str(RATE_PER_POD)],
        cwd=REPOSITORY,
        stdout=subprocess.PIPE,
    )
    if fleet.stdout is None or not fleet.stdout.readline():
        raise TestbedError("the fleet did not start")
    log = ctx.folder / "operator-scrape.log"
    log.unlink(missing_ok=True)
    operator = Operator(
        cluster,
        kubeconfig=as_deployed(cluster),
        log=log,
        environment={"CONCH_SCRAPE_INTERVAL_S": f"{INTERVAL_S:g}"},
    )
    got = world.measure(cluster, operator, _window(ctx, cluster, operator), _UP_LIMIT_S + 200)
    return Result(
        got.cores,
        f"{PODS_IN_ALL} pods of {SERVED} services, each looked at every {INTERVAL_S:g} s with "
        f"{RATE_PER_POD:g} req/s: CPU of the operator in {WINDOW_S:.0f} s; {got.held:.0%} of the "
        f"looks were made, and what they lack is added ({got.failed:.0f} failed), deciding for all "
        f"took {got.decided_s:.2f} s a round, RSS {got.rss_mib:.0f} MiB",
    )


async def _namespaces(cluster: Cluster) -> None:
    async with Client(cluster) as client:
        for name in (NAMESPACE, services.NAMESPACE):
            await client.namespace(name)


async def _window(ctx: Context, cluster: Cluster, operator: Operator) -> Looked:
    names = services.names(SERVED)
    path = SERVICES.format(services.NAMESPACE)
    async with Client(cluster) as client:
        for name, kind in zip(names, cycle(CLASSES), strict=False):
            manifest = services.service(name, accelerator=kind, minReplicas=EACH, maxReplicas=EACH)
            await client.create(path, manifest)
        waiting = asyncio.create_task(_told(ctx, client, names))
        async with asyncio.timeout(_UP_LIMIT_S):
            await client.until(path, lambda there: not unready(there, names))
            await client.until(PODS.format(services.NAMESPACE), _all_ready)
        waiting.cancel()
        await asyncio.sleep(4 * INTERVAL_S)  # curves are learned, statuses are told
        before, cpu_s = _numbers(operator), operator.cpu_s()
        ctx.progress(f"{PODS_IN_ALL} pods are ready; {WINDOW_S:.0f} s of looks")
        await asyncio.sleep(WINDOW_S)
        after, used_s = _numbers(operator), operator.cpu_s() - cpu_s
    difference = {name: after[name] - before[name] for name in after}
    looks, wanted = difference["ok"] + difference["error"], PODS_IN_ALL * WINDOW_S / INTERVAL_S
    if looks < _LEAST_HELD * wanted:
        raise TestbedError(
            f"only {looks:.0f} looks in {WINDOW_S:.0f} s, {wanted:.0f} wanted: the machine is busy "
            f"with other things ({used_s / max(1.0, looks) * 1e3:.2f} ms of CPU a look)"
        )
    rounds = max(1.0, difference["rounds"])
    return Looked(
        used_s / looks * wanted / WINDOW_S,
        looks / wanted,
        difference["error"],
        difference["deciding"] / rounds,
        operator.rss_mib(),
    )


async def _told(ctx: Context, client: Client, names: list[str]) -> None:
    while True:
        await asyncio.sleep(20)
        pods = await client.items(PODS.format(services.NAMESPACE))
        found = await client.items(SERVICES.format(services.NAMESPACE))
        waiting = unready({service["metadata"]["name"]: service for service in found}, names)
        ready = sum(map(_is_ready, pods))
        ctx.progress(
            f"… {ready} of {len(pods)} pods are ready, {PODS_IN_ALL} are wanted; services that "
            f"are not: {', '.join(waiting[:3]) or 'none'}"
        )


def _all_ready(pods: Objects) -> bool:
    return len(pods) >= PODS_IN_ALL and all(map(_is_ready, pods.values()))


def _is_ready(pod: Mapping[str, Any]) -> bool:
    return any(
        c["type"] == "Ready" and c["status"] == "True" for c in pod["status"].get("conditions", [])
    )


_METRICS: Final = {
    'conch_scrapes_total{result="ok"}': "ok",
    'conch_scrapes_total{result="error"}': "error",
    "conch_scaling_round_duration_seconds_count": "rounds",
    "conch_scaling_deciding_seconds_total": "deciding",
}


def _numbers(operator: Operator) -> dict[str, float]:
    found = dict.fromkeys(_METRICS.values(), 0.0)
    for line in operator.metrics().splitlines():
        name, _, value = line.rpartition(" ")
        if name in _METRICS:
            found[_METRICS[name]] = float(value)
    return found


FIGURE = Figure(
    "scrape_2000_cores",
    "cores",
    0.5,
    "lower",
    "live, 2,000 simulated pods looked at every 5 s",
    _measure,
)
