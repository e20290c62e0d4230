"""from_zero_lost: a service goes to zero and comes back, again and again; no request is lost.

Everything is real: the chart's operator and both its activators as pods, kube-proxy, Triton. Every
cycle sends requests at the worst moments: all at once while there is no server, steadily while the
first one becomes ready and the activator leaves the path, and one by one around the moment at
which the last replica goes. In between an activator is killed, the operator is killed while
requests wait, and both activators are replaced while requests wait at them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import subprocess
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import aiohttp

from e2e.autoscale_live.requests import KINDS, PATIENCE_S, Fate, Senders
from e2e.bench import real_world, services
from e2e.bench.client import DEPLOYMENTS, PODS, SERVICES, Client, Object, Objects, unready
from e2e.bench.figure import Context, Figure, Result
from e2e.bench.inside import run
from e2e.testbed import Cluster, ClusterSpec, TestbedError
from e2e.testbed.images import TAGS
from e2e.testbed.layout import REPOSITORY

NAME: Final = "sleeper"
SLOW: Final = "slow"
"""Its model takes 20 s to load: longer than gRPC's clients wait for a server to show itself."""
OPERATOR_NAMESPACE: Final = "conch-system"
CLUSTER = ClusterSpec(name="from-zero", images=("triton", "operator"))
TO_ZERO_S: Final = 10
DRAIN_S: Final = 8
BURST: Final = 8
"""Requests of each kind that are sent at once at zero."""
STEADY_PER_S: Final = 4
"""Requests of each kind per second while the first replica starts and after."""
AFTER_S: Final = 5.0
"""For how long requests go on after those that waited are answered: the activator leaves."""
AT_ZERO: Final = "at zero"
_LABEL: Final = "conch.dev/service"
_LIMIT_S: Final = 600.0
CALM, ACTIVATOR, OPERATOR = "calm", "an activator killed before", "the operator killed meanwhile"
ROLLOUT: Final = "a slow start with the activators replaced meanwhile"
CYCLES: Final = ((NAME, CALM), (NAME, ACTIVATOR), (NAME, OPERATOR), (SLOW, ROLLOUT))
_SOURCES: Final = {
    NAME: "image:///opt/models/resnet",
    SLOW: "image:///opt/models-faulty/slow-load",
}


@dataclass(slots=True)
class Cycle:
    """One way to zero and back."""

    policy: str
    began_s: float = 0.0
    pod_ready_s: float | None = None
    fates: list[Fate] = field(default_factory=list)

    passed: float = 0.0
    """Connections that went through an activator."""
    lingering: float = 0.0
    """Those of them that were still open when the requests had ended."""

    @property
    def first_answer_s(self) -> float:
        """When the first answer came of those that waited on a connection of their own.

        Others may have had one to a server that was leaving.
        """
        waited = [f for f in self.fates if f.what == AT_ZERO and f.kind == "http"]
        return min((f.done_s for f in waited if not f.problem), default=float("nan"))

    @property
    def overhead_s(self) -> float | None:
        """From the pod being seen Ready to the first answer; below zero: before that."""
        return None if self.pod_ready_s is None else self.first_answer_s - self.pod_ready_s


def _install(cluster: Cluster) -> None:
    repository, tag = TAGS["operator"].rsplit(":", 1)
    values = {
        "replicas": 1,
        "image": {"repository": repository, "tag": tag},
        "runtime": {"image": TAGS["triton"], "release": "24.10"},
        "drainSeconds": DRAIN_S,
        "resources": {"requests": {"cpu": "10m", "memory": "128Mi"}},
        "activator": {"resources": {"requests": {"cpu": "10m", "memory": "64Mi"}}},
        "logFormat": "text",
    }
    command = ["helm", "upgrade", "--install", "conch", str(REPOSITORY / "charts" / "conch")]
    command += ["-n", OPERATOR_NAMESPACE, "--create-namespace", "--wait", "--timeout=120s"]
    done = cluster.run(
        [*command, "-f", "-"], input=json.dumps(values), capture_output=True, text=True
    )
    if done.returncode != 0:
        raise TestbedError(f"helm: {done.stderr[-1000:]}")


def _measure(ctx: Context) -> Result:
    return measure(ctx, CYCLES)


def measure(ctx: Context, wanted: Sequence[tuple[str, str]]) -> Result:
    """These cycles, each a service and what happens to it."""
    cluster = ctx.cluster(CLUSTER)
    _install(cluster)
    try:
        cycles = run(cluster, _cycles(ctx, cluster, wanted), _LIMIT_S)
    finally:
        _keep_logs(ctx, cluster)
    fates = [fate for cycle in cycles for fate in cycle.fates]
    lost = [fate for fate in fates if fate.problem]
    overheads = [c.overhead_s for c in cycles if c.overhead_s is not None]
    starts = [c.first_answer_s - c.began_s for c in cycles]
    answer = (
        f"{len(fates)} requests ({', '.join(KINDS)}) in {len(cycles)} ways to zero and back, "
        f"{', '.join(c.policy for c in cycles)}; the first answer after "
        f"{', '.join(f'{s:.1f}' for s in starts)} s, that is "
        f"{', '.join(f'{o:+.2f}' for o in overheads)} s after the pod was seen Ready; "
        f"{sum(c.passed for c in cycles):.0f} connections went through an activator, "
        f"{cycles[-1].lingering:.0f} of them were open at the end"
    )
    if lost:
        answer += "; LOST: " + "; ".join(
            f"{f.kind}, {f.what}, after {f.took_s:.1f} s: {f.problem}" for f in lost[:6]
        )
    return Result(float(len(lost)), answer)


async def _cycles(ctx: Context, cluster: Cluster, wanted: Sequence[tuple[str, str]]) -> list[Cycle]:
    rng = random.Random(1)
    cycles = []
    async with Client(cluster) as client, contextlib.AsyncExitStack() as stack:
        senders = {
            name: await stack.enter_async_context(Senders(address, real_world.MODEL))
            for name, address in (await _serve(client, {name for name, _ in wanted})).items()
        }
        for index, (name, policy) in enumerate(wanted, 1):
            cycle = Cycle(policy)
            before = len(senders[name].fates)
            await _until_zero(client, name, senders[name], rng, gone=index % 2 == 1)
            ctx.progress(f"cycle {index} of {len(wanted)}, {policy}: at zero")
            await _back(cluster, client, name, senders[name], cycle)
            cycle.fates = senders[name].fates[before:]
            cycles.append(cycle)
            ctx.progress(f"cycle {index}: {_summary(cycle)}")
        for name in senders:
            await client.delete(f"{SERVICES.format(services.NAMESPACE)}/{name}")
    return cycles


async def _serve(client: Client, wanted: Collection[str]) -> dict[str, str]:
    """Create the services, wait until they are Ready; their Services' addresses."""
    await client.namespace(services.NAMESPACE)
    path = SERVICES.format(services.NAMESPACE)
    for name in wanted:
        body = real_world.service(
            name, minReplicas=0, maxReplicas=2, idle={"toZeroAfter": f"{TO_ZERO_S}s"}
        )
        body["spec"]["models"][0]["source"]["uri"] = _SOURCES[name]
        await client.create(path, body)
    async with asyncio.timeout(real_world.READY_LIMIT_S):
        await client.until(path, lambda there: not unready(there, list(wanted)))
    kube = f"/api/v1/namespaces/{services.NAMESPACE}/services"
    found = {name: await client.request("GET", f"{kube}/{name}") for name in wanted}
    return {name: service["spec"]["clusterIP"] for name, service in found.items()}


async def _until_zero(
    client: Client, name: str, senders: Senders, rng: random.Random, *, gone: bool
) -> None:
    """Until it asks for no replica, or until the last pod is `gone`, too.

    One request of each kind arrives around the moment of the decision.
    """

    def at_zero(there: Objects) -> bool:
        return name in there and there[name]["spec"]["replicas"] == 0

    deployments = DEPLOYMENTS.format(services.NAMESPACE)
    first = asyncio.create_task(client.until(deployments, at_zero))
    async with asyncio.timeout(_LIMIT_S / 3):
        await asyncio.sleep(TO_ZERO_S + 1)
        for kind in KINDS:
            if first.done():
                break
            await asyncio.sleep(rng.uniform(0.0, 1.5))
            await senders.send(kind, "around the decision for zero")
        await first
        await client.until(deployments, at_zero)  # one that came too late woke it again
        if gone:
            await client.until(
                PODS.format(services.NAMESPACE), lambda there: not _of_service(there, name)
            )


async def _back(
    cluster: Cluster, client: Client, name: str, senders: Senders, cycle: Cycle
) -> None:
    """All at once while there is nothing, then steadily until the activator has left the path."""
    if cycle.policy == ACTIVATOR:
        _kill(cluster, "activator")
        await asyncio.sleep(2.0)
    passed = await _activators(client, "conch_activator_connections_total", 'result="passed"')
    cycle.began_s = time.time()
    ready = asyncio.create_task(_pod_ready(client, name))
    burst = [
        asyncio.create_task(senders.send(kind, AT_ZERO)) for kind in KINDS for _ in range(BURST)
    ]
    steady = asyncio.create_task(_steadily(senders))
    if cycle.policy == OPERATOR:
        _kill(cluster, "operator")
    if cycle.policy == ROLLOUT:
        await asyncio.sleep(1.0)
        deployment = "deployment/conch-activator"
        cluster.kubectl("-n", OPERATOR_NAMESPACE, "rollout", "restart", deployment)
    try:
        async with asyncio.timeout(PATIENCE_S + 10):
            await asyncio.wait(burst)
            await asyncio.sleep(AFTER_S)
    finally:
        steady.cancel()
        await asyncio.gather(steady, return_exceptions=True)
        if ready.done():
            cycle.pod_ready_s = ready.result()
        ready.cancel()
    cycle.passed = await _activators(client, "conch_activator_connections_total", 'result="passed"')
    cycle.passed -= passed
    cycle.lingering = await _activators(client, "conch_activator_passed_connections")


async def _steadily(senders: Senders) -> None:
    sending: set[asyncio.Task[Fate]] = set()
    try:
        while True:
            await asyncio.sleep(1 / STEADY_PER_S)
            sending |= {
                asyncio.create_task(senders.send(kind, "as the first replica comes"))
                for kind in KINDS
            }
    finally:
        # Those that are under way are answered, or lost.
        await asyncio.wait(sending, timeout=PATIENCE_S)


def _of_service(there: Objects, name: str) -> list[Object]:
    return [pod for pod in there.values() if pod["metadata"]["labels"].get(_LABEL) == name]


async def _pod_ready(client: Client, name: str) -> float:
    """When a pod of the service is seen Ready, by the wall clock."""

    def ready(there: Objects) -> bool:
        return any(_is_ready(pod) for pod in _of_service(there, name))

    await client.until(PODS.format(services.NAMESPACE), ready)
    return time.time()


async def _activators(client: Client, metric: str, label: str = "") -> float:
    """The sum of a metric over the activators there are."""
    pods = await client.items(PODS.format(OPERATOR_NAMESPACE))
    total = 0.0
    async with aiohttp.ClientSession() as session:
        for pod in pods:
            labels = pod["metadata"]["labels"]
            if labels.get("app.kubernetes.io/component") != "activator" or not _is_ready(pod):
                continue
            async with session.get(f"http://{pod['status']['podIP']}:9091/metrics") as answer:
                for line in (await answer.text()).splitlines():
                    if line.startswith(metric + "{") and label in line:
                        total += float(line.rsplit(" ", 1)[1])
    return total


def _is_ready(pod: Object) -> bool:
    conditions: list[dict[str, Any]] = pod.get("status", {}).get("conditions", [])
    return "deletionTimestamp" not in pod["metadata"] and any(
        c["type"] == "Ready" and c["status"] == "True" for c in conditions
    )


def _kill(cluster: Cluster, component: str) -> None:
    """One pod of that component, without a chance to say goodbye."""
    selector = f"-lapp.kubernetes.io/component={component}"
    found = cluster.kubectl("-n", OPERATOR_NAMESPACE, "get", "pods", selector, "-o", "name")
    first = found.split()[0]
    cluster.kubectl(
        "-n", OPERATOR_NAMESPACE, "delete", first, "--grace-period=0", "--force", "--wait=false"
    )


def _summary(cycle: Cycle) -> str:
    lost = sum(bool(f.problem) for f in cycle.fates)
    overhead = "?" if cycle.overhead_s is None else f"{cycle.overhead_s:+.2f} s"
    return (
        f"{len(cycle.fates)} requests, {lost} lost, first answer after "
        f"{cycle.first_answer_s - cycle.began_s:.1f} s ({overhead} after Ready), "
        f"{cycle.passed:.0f} connections through an activator, {cycle.lingering:.0f} still open"
    )


def _keep_logs(ctx: Context, cluster: Cluster) -> None:
    ctx.folder.mkdir(parents=True, exist_ok=True)
    for component in ("operator", "activator"):
        selector = f"-lapp.kubernetes.io/component={component}"
        command = ["kubectl", "-n", OPERATOR_NAMESPACE, "logs", selector, "--tail=2000", "--prefix"]
        done: subprocess.CompletedProcess[str] = cluster.run(
            command, capture_output=True, text=True
        )
        (ctx.folder / f"from-zero-{component}.log").write_text(done.stdout + done.stderr)


FIGURE = Figure(
    "from_zero_lost",
    "",
    0,
    "lower",
    "from zero: requests lost",
    _measure,
)
