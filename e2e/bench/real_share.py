"""real_in_target_share: the promise kept on real servers, under a load that needs several.

Steady random arrivals through the Service, an HTTP connection per request. A warm-up first, in
which the service scales from one replica; what is counted comes after it. A failed request and one
that was never answered count as late.
"""

from __future__ import annotations

from e2e.bench import real_world
from e2e.bench.client import Client
from e2e.bench.figure import Context, Figure, Result
from e2e.bench.inside import run
from e2e.bench.real_load import Told, load
from e2e.testbed import Cluster, TestbedError

NAME = "share"
RATE_PER_S = 90
COUNTED_S = 90
# To learn at a load that one replica carries, to scale from there, and for the backlog to drain.
PHASES = f"15x20,{RATE_PER_S}x50,{RATE_PER_S}x{COUNTED_S}"
NEEDED = 3
_LIMIT_S = 400.0


def _measure(ctx: Context) -> Result:
    cluster = real_world.prepared(ctx)
    with real_world.operator(ctx, cluster, "share"):
        told, (asked, ready) = run(cluster, _load(cluster), _LIMIT_S)
    (ctx.folder / "load-share.jsonl").write_text("\n".join(told.lines) + "\n")
    if ready < NEEDED:
        raise TestbedError(f"{ready} of {asked} replicas were ready, not {NEEDED} or more")
    counted = told.phases[-1]
    return Result(
        counted["within"] / counted["sent"],
        f"{counted['within']} of {counted['sent']} requests within {real_world.TARGET_S * 1000:g} "
        f"ms at {RATE_PER_S}/s for {COUNTED_S} s, p50 {counted['p50_ms']:.0f} ms, p99 "
        f"{counted['p99_ms']:.0f} ms, {counted['failed']} failed, {ready} of {asked} replicas "
        f"ready; in the warm-up {told.phases[1]['share']:.1%}",
    )


async def _load(cluster: Cluster) -> tuple[Told, tuple[int, int]]:
    async with Client(cluster) as client:
        address = await real_world.serve(client, NAME, minReplicas=1, maxReplicas=8)
        told = await load(cluster, address, PHASES)
        return told, await real_world.until_replicas(client, NAME, lambda *_: True)


IN_TARGET = Figure(
    "real_in_target_share",
    "",
    0.99,
    "higher",
    "requests within the target on real Triton, load for 3 replicas or more, after warm-up",
    _measure,
)
