"""The cluster with a real node that the figures of real servers share, and the service on it.

Everything here is real but the GPUs, which are counted and not there: the model is
`e2e/models/resnet`, one replica of which completes 50 requests a second at most and carries about
35 of them within the target.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from e2e.bench import services, world
from e2e.bench.client import DEPLOYMENTS, SERVICES, Client, Object, Objects, apply_crds, unready
from e2e.bench.figure import Context
from e2e.bench.inside import run
from e2e.bench.operator import NAMESPACE, Operator
from e2e.testbed import Cluster, ClusterSpec
from e2e.testbed.images import TAGS

# Many GPUs: what is leaving holds its own for half a minute, and must not be in the next one's way.
CLUSTER = ClusterSpec(name="real", gpus=16, images=("triton", "operator"), audit=True)
MODEL = "resnet"
TARGET_S = 0.4
DRAIN_S = 20
READY_LIMIT_S = 120.0
SETTINGS = {
    "CONCH_TRITON_IMAGE": TAGS["triton"],
    "CONCH_TRITON_RELEASE": "24.10",
    "CONCH_TRITON_BACKEND_DIRECTORY": "/opt/tritonserver/backends",
    "CONCH_FETCH_IMAGE": TAGS["operator"],
    "CONCH_DRAIN_S": str(DRAIN_S),
}
_KUBE_SERVICE = "/api/v1/namespaces/{}/services/{}"


def prepared(ctx: Context, name: str = CLUSTER.name, **different: Any) -> Cluster:
    """The cluster with our CRDs and the namespaces; nothing of an earlier figure in them.

    Whoever may run beside the bench gives it another `name`; `different` goes into its spec.
    """
    cluster = ctx.cluster(dataclasses.replace(CLUSTER, name=name, **different))

    async def cleared() -> None:
        async with Client(cluster) as client:
            for name in (NAMESPACE, services.NAMESPACE):
                await client.namespace(name)
            await world.sweep(client)

    apply_crds(cluster)
    run(cluster, cleared(), READY_LIMIT_S)
    return cluster


def operator(ctx: Context, cluster: Cluster, what: str) -> Operator:
    """An operator with the test bed's images, not yet running, that logs into the folder."""
    log = ctx.folder / f"operator-{what}.log"
    log.unlink(missing_ok=True)
    return Operator(cluster, log=log, environment=SETTINGS)


def service(name: str, **scaling: Any) -> Object:
    """The example of `examples/simple.yaml`; `scaling` goes into its spec."""
    return {
        "apiVersion": "conch.dev/v1alpha1",
        "kind": "InferenceService",
        "metadata": {"name": name, "namespace": services.NAMESPACE},
        "spec": {
            "models": [{"name": MODEL, "source": {"uri": "image:///opt/models/resnet"}}],
            "objectives": {"latency": {"target": f"{TARGET_S * 1000:g}ms"}},
            "scaling": scaling,
            "resources": {"cpu": "100m", "memory": "512Mi", "sharedMemory": "256Mi"},
        },
    }


async def serve(client: Client, name: str, sites: Sequence[str] = (), **scaling: Any) -> str:
    """Create the service, wait until it is Ready, and return its Service's address."""
    path = SERVICES.format(services.NAMESPACE)
    body = service(name, **scaling)
    if sites:
        body["spec"]["placement"] = {"sites": list(sites)}
    await client.create(path, body)
    await client.until(path, lambda there: not unready(there, [name]))
    found = await client.request("GET", _KUBE_SERVICE.format(services.NAMESPACE, name))
    address: str = found["spec"]["clusterIP"]
    return address


async def change(client: Client, name: str, spec: Object) -> None:
    """Merge into the service's spec, as a person who edits it."""
    path = f"{SERVICES.format(services.NAMESPACE)}/{name}"
    await client.patch(path, {"spec": spec})


async def until_replicas(
    client: Client, name: str, enough: Callable[[int, int], bool]
) -> tuple[int, int]:
    """Wait for `enough(replicas asked for, replicas ready)`, by the Deployment; returns both."""
    found = (0, 0)

    def done(there: Objects) -> bool:
        nonlocal found
        if name in there:
            found = counts(there[name])
        return name in there and enough(*found)

    await client.until(DEPLOYMENTS.format(services.NAMESPACE), done)
    return found


def counts(deployment: Object) -> tuple[int, int]:
    """Replicas a Deployment asks for, and how many are ready."""
    return deployment["spec"]["replicas"], deployment.get("status", {}).get("readyReplicas", 0)
