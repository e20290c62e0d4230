"""What news of our own resources wakes, and that kopf is kept quiet."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import islice
from typing import Any

import kopf
import pytest

from conch.kube.credentials import Credentials
from conch.observe.state import ClusterState
from conch.reconcile.queue import WorkQueue
from conch.wiring import handlers
from conch.wiring.handlers import EndlessBackoff, Feed
from conch.wiring.storage import NoDiffBase, NoProgress
from tests.reconcile.builders import KEY, NOW, UID, raw, state


class World:
    def __init__(self, cluster: ClusterState) -> None:
        self.cluster = cluster
        self.queue = WorkQueue()
        self.plans = 0
        self.feed = Feed(cluster, self.queue, self._replan)

    def _replan(self) -> None:
        self.plans += 1

    async def woken(self) -> int:
        """How many services were woken since the last call."""
        count = len(self.queue)
        while len(self.queue):
            self.queue.done(await self.queue.get())
        return count


@pytest.fixture
async def world() -> AsyncIterator[World]:
    made = World(state(raw(generation=1, resourceVersion="10")))
    yield made
    made.queue.close()


def newer(**changes: Any) -> dict[str, Any]:
    """The service of the world as a later event shows it."""
    return raw(**{"generation": 1, "resourceVersion": "11", **changes})


async def test_a_service_seen_for_the_first_time_is_planned_and_woken(world: World) -> None:
    world.feed.service(raw(name="new", uid="u2"), gone=False)
    assert (world.plans, await world.woken()) == (1, 1)


@pytest.mark.parametrize(
    ("event", "news"),
    [
        pytest.param(newer(generation=2), True, id="the spec"),
        pytest.param(newer(deletionTimestamp=NOW), True, id="deletion"),
        pytest.param({**newer(), "status": {"replicas": 7}}, True, id="somebody wrote the status"),
        pytest.param(newer(uid="u2"), True, id="a namesake"),
        pytest.param(newer(annotations={"a": "b"}), False, id="an annotation"),
        pytest.param(newer(resourceVersion="10"), False, id="the same version"),
    ],
)
async def test_what_is_news_of_a_service(world: World, event: dict[str, Any], news: bool) -> None:
    world.feed.service(event, gone=False)
    assert (world.plans, await world.woken()) == (int(news), int(news))
    assert world.cluster.services[KEY].raw is event


async def test_our_own_status_write_coming_back_is_no_news(world: World) -> None:
    answer = {**newer(), "status": {"replicas": 1}}
    world.cluster.set_service(answer)
    world.feed.service(dict(answer), gone=False)
    assert (world.plans, await world.woken()) == (0, 0)


async def test_a_deleted_service_is_forgotten_and_its_place_is_free(world: World) -> None:
    world.feed.service(newer(), gone=True)
    assert (world.plans, await world.woken()) == (1, 1)
    assert world.cluster.services == {}


async def test_a_late_deletion_of_a_namesake_removes_nothing(world: World) -> None:
    world.feed.service(newer(uid="an earlier one"), gone=True)
    assert world.cluster.services[KEY].raw["metadata"]["uid"] == UID


def other(version: int, **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "x", "uid": "x", "resourceVersion": str(version)}, "spec": spec}


async def test_a_runtime_concerns_every_service(world: World) -> None:
    runtime = {"image": "x", "release": "24.10"}
    world.feed.runtime(other(1, **runtime), gone=False)
    assert (world.plans, await world.woken()) == (1, 1)
    world.feed.runtime(other(2, **runtime), gone=True)
    assert (world.plans, await world.woken()) == (2, 1)
    assert world.cluster.runtimes == {}
    world.feed.runtime(other(1, **runtime), gone=False)
    assert (world.plans, await world.woken()) == (2, 0), "older than what is known"


async def test_a_class_concerns_placement_alone(world: World) -> None:
    spec = {"nodeSelector": {"gpu": "x"}, "resourceName": "nvidia.com/gpu", "memory": "1Gi"}
    world.feed.accelerator(other(1, **spec), gone=False)
    assert (world.plans, set(world.cluster.classes)) == (1, {"x"})
    world.feed.accelerator(other(2, **spec), gone=True)
    assert (world.plans, set(world.cluster.classes)) == (2, set())
    assert await world.woken() == 0


def test_kopf_writes_nothing_and_never_gives_up() -> None:
    target = kopf.OperatorSettings()
    handlers.settings(target)
    assert target.posting.enabled is False
    assert isinstance(target.persistence.diffbase_storage, NoDiffBase)
    assert isinstance(target.persistence.progress_storage, NoProgress)
    delays_s = list(islice(iter(EndlessBackoff()), 1000))
    assert len(delays_s) == 1000
    assert max(delays_s) <= 30.0


async def test_every_handler_only_listens(world: World) -> None:
    made = handlers.registry(world.feed, Credentials.anonymous("http://127.0.0.1:1"))
    assert len(made._watching.get_all_handlers()) == 3
    assert made._changing.get_all_handlers() == []
    assert made._spawning.get_all_handlers() == []
