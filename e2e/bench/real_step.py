"""load_step_to_patch_s: how soon the replicas follow a step of the load, on real servers.

From the moment the step's first request was due to the API server having answered the patch of
`replicas`, by the audit log. A new service takes the step each time: one that has
seen it before expects it.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median

from e2e.bench import real_world, world
from e2e.bench.audit import AuditLog, Write
from e2e.bench.client import Client
from e2e.bench.figure import Context, Figure, Result
from e2e.bench.inside import run
from e2e.bench.real_load import load
from e2e.testbed import Cluster, TestbedError

NAME = "step"
TURNS = 5
LOW_PER_S, HIGH_PER_S = 15, 105
# The second part of a turn is longer than any answer that would still count.
PHASES = f"{LOW_PER_S}x20,{HIGH_PER_S}x12"
WARM_UP = f"{LOW_PER_S}x15"
MOST_REPLICAS = 6
NEEDED = 3
_LIMIT_S = 600.0


@dataclass(frozen=True, slots=True)
class Step:
    """One turn."""

    patch_s: float
    """From the step to the first patch of `replicas`."""
    enough_s: float
    """From the step to the patch after which nothing more was asked for."""
    replicas: int


def patches_s(writes: list[Write], name: str, since_s: float) -> list[float]:
    """When the operator's patches of that Deployment were answered, seconds after `since_s`."""
    return [
        w.answered_s - since_s
        for w in writes
        if w.by_operator
        and w.verb == "patch"
        and w.resource == "deployments"
        and w.name == name
        and w.code == 200
        and w.received_s >= since_s
    ]


def _measure(ctx: Context) -> Result:
    cluster = real_world.prepared(ctx)
    with real_world.operator(ctx, cluster, "step"):
        steps = run(cluster, _turns(ctx, cluster), _LIMIT_S)
    waits = [step.patch_s for step in steps]
    asked = ", ".join(f"{s.patch_s:.1f} ({s.replicas} by {s.enough_s:.1f})" for s in steps)
    return Result(
        max(waits),
        f"the longest of {len(waits)}, median {median(waits):.1f} s; {LOW_PER_S} → {HIGH_PER_S} "
        f"requests/s at one replica; s to the first patch (replicas asked for by s): {asked}",
    )


async def _turns(ctx: Context, cluster: Cluster) -> list[Step]:
    steps = []
    async with Client(cluster) as client:
        for turn in range(TURNS):
            address = await real_world.serve(client, NAME, minReplicas=1, maxReplicas=1)
            # How large its batches can be is learned from them: before, one replica seems too few.
            await load(cluster, address, WARM_UP, seed=turn)
            await real_world.change(client, NAME, {"scaling": {"maxReplicas": MOST_REPLICAS}})
            steps.append(await _step(cluster, client, address, seed=turn))
            ctx.progress(f"turn {turn + 1} of {TURNS}: {steps[-1]}")
            await world.sweep(client)
    return steps


async def _step(cluster: Cluster, client: Client, address: str, seed: int) -> Step:
    log = AuditLog(cluster.audit_log)
    told = await load(cluster, address, PHASES, seed=seed)
    asked, _ = await real_world.until_replicas(client, NAME, lambda *_: True)
    writes = list(log.new())
    early = patches_s(writes, NAME, 0)
    after = patches_s(writes, NAME, told.phase_began_s(1))
    if len(early) != len(after):
        raise TestbedError(f"replicas were patched before the step at {LOW_PER_S} requests/s")
    if asked < NEEDED:
        raise TestbedError(
            f"{asked} replicas were asked for at {HIGH_PER_S} requests/s, not {NEEDED} or more"
        )
    return Step(after[0], after[-1], asked)


LOAD_STEP = Figure(
    "load_step_to_patch_s",
    "s",
    6,
    "lower",
    "load step on real Triton → replica patch",
    _measure,
)
