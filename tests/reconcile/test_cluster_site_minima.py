"""A site with a minimum of its own, on a real API server: the Deployment controller and
kube-scheduler bring as many as it needs to it, and to each of the others what all have.

Nothing runs on the nodes: a few lines here tell of pods what a kubelet would.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from conch.api import names
from conch.kube.transport import Api, Object, path
from tests.reconcile.added_nodes import (
    CLASSES,
    NODES,
    OWN,
    accelerator,
    heartbeats,
    kubelet,
    node,
    nodes_of_ready,
    there,
    until,
)
from tests.reconcile.builders import raw

if TYPE_CHECKING:
    from e2e.testbed import Cluster

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(240)]

NAMESPACE = "site-minima"
SERVICES = path(names.API_VERSION, "inferenceservices", NAMESPACE)
DEPLOYMENTS = path("apps/v1", "deployments", NAMESPACE)
SMALL, LARGE = "minima-small", "minima-large"


def at(site: str, gpus: int) -> tuple[str, Object]:
    made = node(site, "minima-gpu", gpus)
    made["metadata"]["labels"][names.LABEL_SITE] = site
    return NODES, made


def service() -> tuple[str, Object]:
    placement = {
        "accelerators": {"classes": ["minima-gpu"]},
        "sites": [SMALL, LARGE],
        "minReplicasPerSite": 1,
        "siteMinReplicas": {LARGE: 3},
        "tolerations": [{**OWN, "operator": "Exists"}],
    }
    scaling = {"mode": "External", "replicas": 1, "minReplicas": 1, "maxReplicas": 6}
    made = raw({"placement": placement, "scaling": scaling})
    return SERVICES, {**made, "metadata": {"name": "shops", "namespace": NAMESPACE}}


async def test_each_site_has_its_own(cluster: Cluster, api: Api, operator: None) -> None:
    gpu = accelerator("minima-gpu", added=False)
    async with (
        there(api, (CLASSES, gpu), at(SMALL, 4), at(LARGE, 4), service()),
        asyncio.TaskGroup() as tasks,
    ):
        over = asyncio.Event()
        tasks.create_task(heartbeats(api, over))
        tasks.create_task(kubelet(api, cluster, NAMESPACE, over))

        async def settled() -> bool:
            here = Counter(await nodes_of_ready(api, NAMESPACE))
            live = await api.get(f"{SERVICES}/shops")
            told = live.get("status", {})
            sites = {s["name"]: (s["minReplicas"], s["held"]) for s in told.get("sites", ())}
            ready = {c["type"]: c["status"] for c in told.get("conditions", ())}.get("Ready")
            return bool(
                here == Counter({LARGE: 3, SMALL: 1})
                and sites == {SMALL: (1, True), LARGE: (3, True)}
                and ready == "True"
            )

        await until(settled)
        apart = await api.get(f"{DEPLOYMENTS}/shops-at-{LARGE}")
        assert apart["spec"]["replicas"] == 3
        over.set()
