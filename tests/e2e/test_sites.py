"""Each site's own minimum, with the real scheduler and the real controllers: who is where.

KWOK's nodes, each case on a GPU model and on sites of its own, so that none takes from another.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest

from conch.api import names
from conch.errors import NotFound
from conch.kube.transport import path
from conch.kube.views import Object
from e2e.placement import live
from e2e.testbed.gpus import GpuModel
from tests.e2e.bed import Bed
from tests.e2e.cases import Cases
from tests.e2e.room import KWOK, LIMIT_S, Room, fake

pytestmark = [pytest.mark.node, pytest.mark.usefixtures("fleet"), pytest.mark.timeout(300)]

case = Cases()

A2000 = GpuModel("NVIDIA-RTX-A2000", 12282, "ampere", (8, 6), "a2000-machine", 1)
A4500 = GpuModel("NVIDIA-RTX-A4500", 20470, "ampere", (8, 6), "a4500-machine", 1)
A4000 = GpuModel("NVIDIA-RTX-A4000", 16376, "ampere", (8, 6), "a4000-machine", 1)
A5000 = GpuModel("NVIDIA-RTX-A5000", 24564, "ampere", (8, 6), "a5000-machine", 1)
# Far from the numbers that other tests' nodes have.
_FIRST = {A2000: 9700, A4500: 9720, A4000: 9740, A5000: 9760}
# Pods start at once here; what takes longer is a second look of everybody's.
_MOVED_S = 3 * LIMIT_S


def _body(model: GpuModel, number: int, site: str) -> Object:
    body = live.node(_FIRST[model] + number, model, 1)
    body["metadata"]["labels"][names.LABEL_SITE] = site
    return body


@asynccontextmanager
async def _nodes(room: Room, model: GpuModel, sites: Mapping[str, int]) -> AsyncIterator[None]:
    """So many nodes with one GPU each, at each site."""
    at = [site for site, count in sites.items() for _ in range(count)]
    bodies = [_body(model, number, site) for number, site in enumerate(at)]
    for body in bodies:
        await room.api.create(live.NODES, body)
    try:
        await _usable(room, {body["metadata"]["name"] for body in bodies})
        yield
    finally:
        for body in bodies:
            await _delete(room, path("v1", "nodes", None, body["metadata"]["name"]))


async def _usable(room: Room, names_: set[str]) -> None:
    """Wait until pods may go to the nodes."""

    async def usable() -> bool:
        nodes = await room.api.list(path("v1", "nodes"))
        taints = [n["spec"].get("taints", []) for n in nodes if n["metadata"]["name"] in names_]
        return all(len(on) == 1 for on in taints)  # KWOK's own

    room.now()
    await room.until(usable, LIMIT_S, room.nothing, "usable nodes")


async def _delete(room: Room, what: str) -> None:
    try:
        await room.api.delete(what)
    except NotFound:
        pass


def _service(class_name: str, *sites: str, scaling: Object | None = None) -> Object:
    placement = {
        "accelerators": {"classes": [class_name]},
        "tolerations": KWOK,
        "sites": list(sites),
        "minReplicasPerSite": 1,
    }
    return fake([class_name], placement=placement, scaling=scaling or {})


async def _here(room: Room) -> Counter[str]:
    """The service's ready pods by site."""
    nodes = {n["metadata"]["name"]: n for n in await room.api.list(path("v1", "nodes"))}
    return Counter(
        nodes[p["spec"]["nodeName"]]["metadata"]["labels"][names.LABEL_SITE]
        for p in await _pods(room)
        if live.is_ready(p) and p["spec"]["nodeName"] in nodes
    )


async def _pods(room: Room) -> list[Object]:
    """The service's pods: there may be somebody else's."""
    return [p for p in await room.pods() if names.LABEL_SERVICE in p["metadata"].get("labels", {})]


async def _stand(room: Room, within_s: float = _MOVED_S, **sites: int) -> None:
    """Wait until so many pods are ready at each site, and no others are."""

    async def stand() -> bool:
        return dict(await _here(room)) == sites and len(await _pods(room)) == sum(sites.values())

    async def otherwise() -> str:
        return str(dict(await _here(room)))

    await room.until(stand, within_s, otherwise, f"pods at {sites}")


async def _tells(room: Room, name: str, **held: bool) -> None:
    """Wait until the status says which sites hold their minimum of one."""

    async def tells() -> bool:
        sites = (await room.get(name))["status"]["sites"]
        assert {site["minReplicas"] for site in sites} == {1}
        return {site["name"]: site["held"] for site in sites} == held

    await room.until(tells, _MOVED_S, room.nothing, f"told {held}")


@case
async def one_at_each_site(room: Room) -> None:
    """Nobody asks for anything, and there is no other minimum than the sites' own."""
    async with _nodes(room, A2000, {"one-a": 2, "one-b": 2, "one-c": 2}):
        await room.create("web", _service("rtx-a2000", "one-a", "one-b", "one-c"))
        await room.ready("web")
        await _stand(room, **{"one-a": 1, "one-b": 1, "one-c": 1})
        await room.reports("web", "Scaling", "True", "NoTraffic", "one-a, one-b, one-c need 1 each")
        await _tells(room, "web", **{"one-a": True, "one-b": True, "one-c": True})


@case
async def a_full_site_is_named_and_takes_nothing_from_others(room: Room) -> None:
    sites = {"full-a": 2, "full-b": 1, "full-c": 2}
    async with _nodes(room, A4500, sites):
        node = _body(A4500, 2, "full-b")["metadata"]["name"]
        await room.add("Pod", "foreign", _foreign(node))
        await room.create("web", _service("rtx-a4500", *sites))
        await room.ready("web")
        await _stand(room, **{"full-a": 1, "full-c": 1})
        says = "Site full-b needs 1 and has 0: no rtx-a4500 is free there."
        await room.reports("web", "Scaling", "False", "NoRoom", says)
        await _tells(room, "web", **{"full-a": True, "full-b": False, "full-c": True})
        await room.delete("foreign", "Pod")
        await _stand(room, **{"full-a": 1, "full-b": 1, "full-c": 1})
        await room.reports("web", "Scaling", "True", "NoTraffic")
        await _tells(room, "web", **{"full-a": True, "full-b": True, "full-c": True})


def _foreign(node: str) -> Object:
    """Somebody else's pod, on a node's only GPU."""
    gpu = {"requests": {"nvidia.com/gpu": "1"}, "limits": {"nvidia.com/gpu": "1"}}
    container = {"name": "c", "image": "none", "resources": gpu}
    return {"spec": {"nodeName": node, "tolerations": KWOK, "containers": [container]}}


@case
async def a_site_that_gets_its_first_node_later_gets_its_replica(room: Room) -> None:
    """All that were asked for are elsewhere by then: one more is made, and none is taken away."""
    scaling = {"mode": "Fixed", "replicas": 3}
    async with _nodes(room, A4000, {"late-a": 2, "late-c": 2}):
        await room.create(
            "web", _service("rtx-a4000", "late-a", "late-b", "late-c", scaling=scaling)
        )
        await room.whole("web")
        says = "Site late-b needs 1 and has 0: no rtx-a4000 node there can be used."
        await room.reports("web", "Scaling", "False", "NoRoom", says)
        before = {p["metadata"]["uid"] for p in await room.pods()}
        body = _body(A4000, 9, "late-b")
        room.now()
        await room.api.create(live.NODES, body)
        try:
            await _held(room, "late-b")
            pods = {p["metadata"]["uid"] for p in await room.pods()}
            assert before < pods
            assert len(pods) == 4
            await room.reports("web", "Scaling", "True", "Fixed")
        finally:
            await _delete(room, path("v1", "nodes", None, body["metadata"]["name"]))


async def _held(room: Room, *sites: str) -> None:
    """Wait until there is a ready pod at each of them."""

    async def held() -> bool:
        here = await _here(room)
        return all(here[site] for site in sites)

    await room.until(held, _MOVED_S, room.nothing, f"a replica at {', '.join(sites)}")


@case
async def scaled_down_to_the_minimum_every_site_keeps_its_own(room: Room) -> None:
    """Kubernetes chooses which pods end; where it takes a site's last, the site gets another."""
    sites = {"down-a": 2, "down-b": 2, "down-c": 2}
    scaling = {"mode": "External", "replicas": 6, "minReplicas": 1, "maxReplicas": 6}
    async with _nodes(room, A5000, sites):
        await room.create("web", _service("rtx-a5000", *sites, scaling=scaling))
        await room.ready("web")
        await _stand(room, **sites)
        await room.change("web", {"spec": {"scaling": {"replicas": 1}}})

        async def fewer() -> bool:
            return len(await room.pods()) < 6

        await room.until(fewer, LIMIT_S, room.nothing, "fewer pods")
        await _held(room, *sites)
        assert (await room.get("web"))["status"]["desiredReplicas"] == 3
        says = ("(asked for 1), within 3 to 6", "down-a, down-b, down-c need 1 each")
        await room.reports("web", "Scaling", "True", "External", *says)


@pytest.mark.parametrize("name", case.names)
def test_sites(name: str, bed: Bed, request: pytest.FixtureRequest) -> None:
    case.judge(name, bed, request)
