"""NodePools and NodeClaims on a real API server, as Karpenter would have them; it is not there."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import pytest

from conch.api import names
from conch.kube.transport import Api, Object, path
from tests.reconcile.added_nodes import CLASSES, GPU, OWN, POOL, accelerator, there, until
from tests.reconcile.builders import raw
from tests.running import connected, operating

if TYPE_CHECKING:
    from e2e.testbed import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(180)]

NAMESPACE = "node-pools"
GROUP = "karpenter.sh"
DEFINITIONS = path("apiextensions.k8s.io/v1", "customresourcedefinitions")
POOLS = path(f"{GROUP}/v1", "nodepools")
CLAIMS = path(f"{GROUP}/v1", "nodeclaims")
SERVICES = path(names.API_VERSION, "inferenceservices", NAMESPACE)


def definition(plural: str, kind: str) -> Object:
    """A kind that takes everything: what is looked at is ours, not Karpenter's."""
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {
        "name": "v1",
        "served": True,
        "storage": True,
        "schema": {"openAPIV3Schema": schema},
    }
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Cluster",
            "names": {"plural": plural, "singular": kind.lower(), "kind": kind},
            "versions": [version],
        },
    }


def of_karpenter(kind: str, name: str, **fields: Object) -> Object:
    return {"apiVersion": f"{GROUP}/v1", "kind": kind, "metadata": {"name": name}, **fields}


@pytest.fixture
async def api(cluster: Cluster) -> AsyncIterator[Api]:
    """With Karpenter's kinds, and the operator that has found them."""
    kinds = [definition("nodepools", "NodePool"), definition("nodeclaims", "NodeClaim")]
    async with (
        connected(cluster, NAMESPACE) as client,
        there(client, *((DEFINITIONS, kind) for kind in kinds)),
    ):

        async def served() -> bool:
            found = [await client.get(f"{DEFINITIONS}/{one['metadata']['name']}") for one in kinds]
            states = [one.get("status", {}) for one in found]
            told = [c for state in states for c in state.get("conditions") or ()]
            return [(c["type"], c["status"]) for c in told].count(("Established", "True")) == 2

        await until(served)
        async with operating(cluster, NAMESPACE) as process:
            yield client
            assert process.returncode is None, "the operator ended by itself"


async def test_a_pool_is_waited_for_and_its_claim_is_a_node_on_its_way(api: Api) -> None:
    placement = {
        "accelerators": {"classes": ["pooled"]},
        "tolerations": [{**OWN, "operator": "Exists"}],
    }
    made = raw({"placement": placement, "scaling": {"mode": "Fixed", "replicas": 1}})
    service = {**made, "metadata": {"name": "waits", "namespace": NAMESPACE}}
    paid = {"key": "karpenter.sh/capacity-type", "operator": "In", "values": ["on-demand"]}
    template = {"metadata": {}, "spec": {"requirements": [paid], "taints": [OWN]}}
    pool = of_karpenter("NodePool", "pooled", spec={"template": template, "limits": {GPU: "3"}})
    claim = of_karpenter(
        "NodeClaim",
        "pooled-1",
        spec={"requirements": []},
        status={
            "allocatable": {GPU: "1"},
            "conditions": [{"type": "Launched", "status": "True"}],
        },
    )
    claim["metadata"]["labels"] = {POOL: "pooled"}

    async def says(*words: str) -> bool:
        live = await api.get(f"{SERVICES}/waits")
        told = live.get("status", {}).get("conditions", [])
        (placed,) = [c for c in told if c["type"] == "Placed"] or [{"reason": "", "message": ""}]
        return all(word in f"{placed['reason']}: {placed['message']}" for word in words)

    async with there(api, (CLASSES, accelerator("pooled", added=False)), (SERVICES, service)):
        await until(lambda: says("no node"))
        async with there(api, (POOLS, pool)):
            await until(lambda: says("WaitingForNode", "0 nodes, up to 3 can be added"))
            async with there(api, (CLAIMS, claim)):
                await until(lambda: says("WaitingForNode", "1 starting"))
        # Whoever took the pool away: nothing more is promised.
        await until(lambda: says("no node"))
