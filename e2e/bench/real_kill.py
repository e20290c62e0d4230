"""kill_20_times_ok: the operator is killed again and again while the load goes up and down.

It may cost the promise some time; it must cost no request and no pod. After the last kill it goes
on, and with the load gone everything must be as it was before: the same objects, not equal ones.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from e2e.bench import real_world, services
from e2e.bench.audit import AuditLog
from e2e.bench.client import DEPLOYMENTS, PODS, SERVICES, Client, Object, Objects, is_ready
from e2e.bench.figure import Context, Figure, Result
from e2e.bench.inside import run
from e2e.bench.operator import Operator
from e2e.bench.real_load import Told, load
from e2e.testbed import Cluster, TestbedError

NAME = "kill"
KILLS = 20
# In stairs that the replicas there are can just bear: a step that is too much for them makes
# requests wait until clients give up, with or without an operator.
LOW_PER_S = 15
STAIRS_PER_S = (45, 75, 105)
SHORTEST_STAIR_S = 30  # a start on a busy machine, and the operator's own
# From before it has read anything to well after its first decisions.
SHORTEST_LIFE_S, LONGEST_LIFE_S = 0.5, 9.0
MOST_REPLICAS = 6
_SETTLE_LIMIT_S = 300.0
_OWNED = (
    DEPLOYMENTS,
    "/api/v1/namespaces/{}/services",
    "/apis/networking.k8s.io/v1/namespaces/{}/networkpolicies",
    "/apis/policy/v1/namespaces/{}/poddisruptionbudgets",
)


@dataclass(slots=True)
class Seen:
    """What watches saw of the service's Deployment and pods during the load."""

    asked: list[int] = field(default_factory=list)
    """Replicas asked for, one entry per change."""
    pods: dict[str, int] = field(default_factory=dict)
    """Restarts of the containers of each pod there ever was, by uid."""

    def deployments(self, there: Objects) -> bool:
        """Takes in the Deployments; never says that it has seen enough."""
        if NAME in there:
            asked, _ = real_world.counts(there[NAME])
            if not self.asked or self.asked[-1] != asked:
                self.asked.append(asked)
        return False

    def all_pods(self, there: Objects) -> bool:
        """Takes in the pods; never says that it has seen enough."""
        for pod in there.values():
            restarts = [
                one["restartCount"] for one in pod.get("status", {}).get("containerStatuses", [])
            ]
            uid = pod["metadata"]["uid"]
            self.pods[uid] = max(self.pods.get(uid, 0), sum(restarts))
        return False


@dataclass(frozen=True, slots=True)
class Killed:
    """What happened, and everything that should not have."""

    kills: int
    told: Told
    asked: Sequence[int]
    settled_s: float
    problems: Sequence[str]


def _measure(ctx: Context) -> Result:
    got = killed(ctx, KILLS)
    steps = " → ".join(map(str, got.asked))
    rates = " → ".join(f"{phase['rate']:g}" for phase in got.told.phases)
    return Result(
        float(not got.problems),
        f"{got.kills} kills while {rates} requests/s were sent, "
        f"replicas asked for {steps}, {got.told.failed} of {got.told.summary['sent']} requests "
        f"failed, {got.told.summary['share']:.1%} within the target, as before "
        f"{got.settled_s:.0f} s after the load"
        + ("" if not got.problems else f"; NOT ok: {'; '.join(got.problems)}"),
    )


def killed(ctx: Context, kills: int, name: str = real_world.CLUSTER.name) -> Killed:
    """Kill the operator that many times during a load."""
    cluster = real_world.prepared(ctx, name)
    operator = real_world.operator(ctx, cluster, "kill")
    limit_s = 2 * kills * LONGEST_LIFE_S + _SETTLE_LIMIT_S + real_world.READY_LIMIT_S
    with operator:
        return run(cluster, _kills(ctx, cluster, operator, kills), limit_s)


async def _kills(ctx: Context, cluster: Cluster, operator: Operator, kills: int) -> Killed:
    rng = random.Random(kills)
    lives_s = [rng.uniform(SHORTEST_LIFE_S, LONGEST_LIFE_S) for _ in range(kills)]
    # A start takes a moment, and the last one is to see the end of the load.
    stair_s = max(SHORTEST_STAIR_S, round((sum(lives_s) + 15) / len(STAIRS_PER_S)))
    phases = [f"{LOW_PER_S}x15", *(f"{rate}x{stair_s}" for rate in STAIRS_PER_S)]
    seen = Seen()
    async with Client(cluster) as client:
        address = await real_world.serve(client, NAME, minReplicas=1, maxReplicas=MOST_REPLICAS)
        before = await _state(client)
        log = AuditLog(cluster.audit_log)
        watches = [
            asyncio.create_task(client.until(path.format(services.NAMESPACE), takes_in))
            for path, takes_in in ((DEPLOYMENTS, seen.deployments), (PODS, seen.all_pods))
        ]
        sending = asyncio.create_task(load(cluster, address, ",".join(phases)))
        try:
            await asyncio.sleep(12)
            for number, life_s in enumerate(lives_s, 1):
                await asyncio.to_thread(operator.kill)
                operator.spawn()
                await asyncio.sleep(life_s)
                if not operator.running:
                    raise TestbedError(f"the operator ended by itself:\n{operator.last_words()}")
                ctx.progress(f"kill {number}: then {life_s:.1f} s; replicas {seen.asked}")
            await asyncio.to_thread(operator.wait_ready)
            if sending.done():
                raise TestbedError("the load ended before the last kill")
            told = await sending
            settled_s = await _until_one(client)
            after = await _state(client)
        finally:
            for task in (*watches, sending):
                task.cancel()
            await asyncio.gather(*watches, sending, return_exceptions=True)
        made = sum(w.created and w.resource == "pods" for w in log.new())
        await client.delete(f"{SERVICES.format(services.NAMESPACE)}/{NAME}")
    problems = [
        *differences(before, after),
        *pod_problems(seen, made),
        *([f"{told.failed} requests failed: {told.why}"] if told.failed else []),
        *(f"the operator's log: {line}" for line in operator.tracebacks()[:3]),
    ]
    return Killed(kills, told, tuple(seen.asked), settled_s, tuple(problems))


def pod_problems(seen: Seen, made: int) -> Iterable[str]:
    """Whether pods came only because more replicas were asked for, and none restarted."""
    restarts = sum(seen.pods.values())
    if restarts:
        yield f"containers restarted {restarts} times"
    more = sum(max(0, b - a) for a, b in zip(seen.asked, seen.asked[1:], strict=False))
    if made != more:
        yield f"{made} pods were made while {more} more replicas were asked for"


async def _until_one(client: Client) -> float:
    """Wait until the load is forgotten; seconds."""
    loop = asyncio.get_running_loop()
    start_s = loop.time()
    async with asyncio.timeout(_SETTLE_LIMIT_S):
        await real_world.until_replicas(client, NAME, lambda asked, ready: asked == ready == 1)
        await client.until(PODS.format(services.NAMESPACE), lambda there: len(there) == 1)
        await client.until(SERVICES.format(services.NAMESPACE), lambda there: _at_rest(there[NAME]))
    return loop.time() - start_s


def _at_rest(service: Object) -> bool:
    status = service.get("status", {})
    return is_ready(service) and status.get("desiredReplicas") == status.get("replicas") == 1


async def _state(client: Client) -> dict[str, Any]:
    """Everything of the service as far as it must be the same again, by kind and name."""
    state = {}
    for path in (*_OWNED, SERVICES):
        for one in await client.items(path.format(services.NAMESPACE)):
            state[f"{path.rpartition('/')[2]} {one['metadata']['name']}"] = masked(one)
    return state


def masked(one: Object) -> Object:
    """An object without its counters of changes and measurements; its uid stays."""
    kept = ("uid", "labels", "annotations", "ownerReferences", "finalizers")
    meta: Mapping[str, Any] = one["metadata"]
    conditions = one.get("status", {}).get("conditions", [])
    # A Deployment's conditions tell how it got here; an InferenceService's say how it is. Scaling
    # is always True here, for reasons that depend on how long there was nothing to do.
    ours = [] if "replicas" in one.get("spec", {}) else conditions
    return {
        "metadata": {key: meta[key] for key in kept if key in meta},
        "spec": one.get("spec"),
        "conditions": {c["type"]: c["status"] for c in ours},
    }


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """What is not the same, in a line each."""
    found = [f"{what} is gone" for what in before.keys() - after.keys()]
    found += [f"{what} is left over" for what in after.keys() - before.keys()]
    for what in before.keys() & after.keys():
        for part in before[what]:
            if before[what][part] != after[what][part]:
                found.append(f"{what}: {part} {before[what][part]} became {after[what][part]}")
    return sorted(found)


KILL = Figure(
    "kill_20_times_ok",
    "",
    1,
    "higher",
    "operator killed 20 times during a load: same end state, no pod restarted, no request lost",
    _measure,
)
