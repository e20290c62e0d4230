"""The count of our own resources: whole at the start, and right again after what nobody told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from conch.api import names
from conch.errors import ApiError
from conch.kube.credentials import Credentials
from conch.kube.transport import Api
from conch.observe.state import ClusterState
from conch.observe.types import Key
from conch.reconcile.queue import WorkQueue
from conch.wiring import census
from tests.kube.fake_api import FakeApi, status, until
from tests.reconcile.builders import raw

ROOT = f"/apis/{names.API_VERSION}"
SERVICES = f"{ROOT}/inferenceservices"
RUNTIMES = f"{ROOT}/tritonruntimes"
CLASSES = f"{ROOT}/acceleratorclasses"
RUNTIME = {"image": "x", "release": "24.10"}
CLASS = {"nodeSelector": {"gpu": "x"}, "resourceName": "nvidia.com/gpu", "memory": "1Gi"}


class World:
    def __init__(self, server: FakeApi, api: Api) -> None:
        self.server = server
        self.api = api
        self.cluster = ClusterState()
        self.queue = WorkQueue()
        self.plans = 0

    def replan(self) -> None:
        self.plans += 1

    def service(self, name: str, collection: str = SERVICES, namespace: str = "ns") -> None:
        self.server.put(collection, name, namespace, spec=raw()["spec"])

    async def learn(self, *namespaces: str) -> None:
        await census.learn(self.api, self.cluster, self.queue, namespaces)

    async def forget_gone(self) -> None:
        await census.forget_gone(self.api, self.cluster, self.queue, self.replan, ())


@pytest.fixture
async def world(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[World]:
    monkeypatch.setattr(census, "_FIRST_RETRY_S", 0.001)
    async with FakeApi() as server, Api(Credentials.anonymous(server.url)) as api:
        server.put(RUNTIMES, "r", "", spec=RUNTIME)
        server.put(CLASSES, "c", "", spec=CLASS)
        made = World(server, api)
        made.service("a")
        yield made
        made.queue.close()


async def test_all_is_known_before_anything_is_decided(world: World) -> None:
    await world.learn()
    assert set(world.cluster.services) == {Key("ns", "a")}
    assert (set(world.cluster.runtimes), set(world.cluster.classes)) == ({"r"}, {"c"})
    assert len(world.queue) == 1


async def test_only_the_served_namespaces_are_listed(world: World) -> None:
    for namespace in ("one", "two", "three"):
        collection = f"{ROOT}/namespaces/{namespace}/inferenceservices"
        world.service("a", collection, namespace)
    await world.learn("one", "two")
    assert set(world.cluster.services) == {Key("one", "a"), Key("two", "a")}


async def test_learning_waits_for_a_server_that_refuses(world: World) -> None:
    world.server.answer("GET", status(404, "NotFound"), status(503))
    await world.learn()
    assert set(world.cluster.services) == {Key("ns", "a")}


async def test_what_is_there_is_left_alone(world: World) -> None:
    await world.learn()
    before = dict(world.cluster.services)
    await world.forget_gone()
    assert world.cluster.services == before
    assert world.plans == 0


async def test_what_is_gone_unnoticed_is_forgotten(world: World) -> None:
    world.server.put(RUNTIMES, "broken", "", spec={})
    world.service("b")
    await world.learn()
    for collection, name, namespace in (
        (SERVICES, "a", "ns"),
        (RUNTIMES, "r", ""),
        (RUNTIMES, "broken", ""),
        (CLASSES, "c", ""),
    ):
        world.server.remove(collection, name, namespace)
    await world.forget_gone()
    cluster = world.cluster
    assert set(cluster.services) == {Key("ns", "b")}
    assert (cluster.runtimes, cluster.broken_runtimes, cluster.classes) == ({}, {}, {})
    assert world.plans == 1
    assert len(world.queue) == 2, "a, to drop what is kept of it, and b, which is left"


async def test_what_came_while_the_list_was_made_is_kept(world: World) -> None:
    await world.learn()
    world.server.remove(SERVICES, "a")
    gate = world.server.hold("GET")
    before = len(world.server.seen)
    counting = asyncio.create_task(world.forget_gone())
    await until(lambda: len(world.server.seen) > before)
    new = raw(name="late", namespace="ns", uid="u9", resourceVersion="999")
    world.cluster.set_service(new)
    again = raw(name="a", namespace="ns", uid="u8", resourceVersion="998")
    world.cluster.set_service(again)
    gate.set()
    await counting
    uids = {key.name: r.raw["metadata"]["uid"] for key, r in world.cluster.services.items()}
    assert uids == {"late": "u9", "a": "u8"}


async def test_a_census_that_fails_forgets_nothing(world: World) -> None:
    await world.learn()
    world.server.answer("GET", status(503))
    with pytest.raises(ApiError):
        await world.forget_gone()
    assert set(world.cluster.services) == {Key("ns", "a")}


async def test_it_is_made_again_and_again_whatever_happens(world: World) -> None:
    await world.learn()
    world.server.answer("GET", status(503))
    keeping = asyncio.create_task(
        census.keep(world.api, world.cluster, world.queue, world.replan, (), 0.001)
    )
    world.server.remove(SERVICES, "a")
    await until(lambda: not world.cluster.services)
    keeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await keeping
