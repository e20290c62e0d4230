"""Idleness in the scaling loop: what is remembered, and who is woken from zero."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from conch.api import v1alpha1
from conch.api.conditions import Reason
from conch.observe.activation import Listening
from conch.observe.state import ClusterState
from conch.observe.types import Decision, ModelCounters, PodSample
from conch.reconcile.policy import policy_of
from conch.reconcile.queue import WorkQueue
from conch.reconcile.scaling import ScalingLoop
from conch.reconcile.to_zero import ToZero
from conch.settings import Settings
from conch.telemetry.catalog import Metrics
from tests.reconcile.builders import KEY, MOMENT, UID, build, decision, raw, state

TO_ZERO = {"scaling": {"minReplicas": 0, "maxReplicas": 4, "idle": {"toZeroAfter": "1m"}}}
SCALER = decision(1, Reason.NO_TRAFFIC)


def world(replicas: int) -> ClusterState:
    cluster = state(raw(TO_ZERO))
    cluster.activation.looked = True
    build(cluster, replicas=replicas)
    return cluster


def listen(cluster: ClusterState, held: int = 0) -> None:
    book = cluster.activation
    book.seen("a", "10.0.0.1", leaving=False)
    found = book.of(KEY)
    assert found is not None
    book.told("a", {str(KEY): Listening((found.port, found.port + 1), held)})


def service(cluster: ClusterState) -> v1alpha1.InferenceService:
    found = cluster.services[KEY].service
    assert found is not None
    return found


def look(total: float = 0) -> list[PodSample]:
    return [PodSample("p", 0.0, {"m": ModelCounters(total, 0, total, total, 0.0, 0.0, 0)})]


class Watched:
    """A ToZero that is handed looks at times of the test's choice."""

    def __init__(self, cluster: ClusterState, replicas: int) -> None:
        self.cluster = cluster
        self.replicas = replicas
        self.memory = ToZero(cluster)

    def at(self, now_s: float, samples: list[PodSample] | None = None) -> Decision:
        return self.memory.decide(
            KEY, service(self.cluster), SCALER, samples or [], self.replicas, now_s
        )


def test_it_goes_after_a_minute_of_quiet() -> None:
    cluster = world(1)
    listen(cluster)
    watched = Watched(cluster, 1)
    given = [watched.at(now_s, look(3)).replicas for now_s in range(0, 80, 10)]
    assert given == [1, 1, 1, 1, 1, 1, 0, 0]
    assert watched.at(80, look(4)).replicas == 1


def test_a_namesake_starts_anew() -> None:
    cluster = world(1)
    listen(cluster)
    watched = Watched(cluster, 1)
    watched.at(0, look())
    watched.at(55, look())
    watched.memory.keep({UID})
    assert watched.at(60, look()).replicas == 0
    watched.memory.keep({"another"})
    assert watched.at(61, look()).replicas == 1


def test_without_idle_it_is_the_scalers_decision() -> None:
    cluster = state()
    build(cluster)
    watched = Watched(cluster, 1)
    assert [watched.at(now_s, look()) for now_s in (0, 1e6)] == [SCALER, SCALER]


def test_a_moment_without_activators_starts_nothing_and_a_while_does() -> None:
    watched = Watched(world(0), 0)
    assert [watched.at(now_s).replicas for now_s in (0, 5, 9.9, 10)] == [0, 0, 0, 1]
    listen(watched.cluster)
    assert watched.at(11).replicas == 0
    watched.cluster.activation.gone("a")
    assert watched.at(12).replicas == 0


def test_the_scaler_knows_no_zero() -> None:
    assert policy_of(world(1).services[KEY], MOMENT).min_replicas == 1


@pytest.fixture
async def loop() -> Any:
    made: list[WorkQueue] = []

    def begin(cluster: ClusterState) -> tuple[ScalingLoop, WorkQueue]:
        queue = WorkQueue()
        made.append(queue)
        return ScalingLoop(cluster, queue, Settings(), Metrics()), queue

    yield begin
    for queue in made:
        queue.close()


async def test_a_waiting_request_wakes_the_service_at_once(loop: Any) -> None:
    cluster = world(0)
    scaling, queue = loop(cluster)
    listen(cluster, held=2)
    scaling.wake(KEY)
    assert cluster.decisions[KEY].replicas == 1
    assert cluster.decisions[KEY].reason is Reason.FROM_ZERO
    async with asyncio.timeout(1):
        assert await queue.get() == KEY


async def test_above_zero_news_of_activators_decide_nothing(loop: Any) -> None:
    cluster = world(1)
    scaling, queue = loop(cluster)
    listen(cluster, held=2)
    scaling.wake(KEY)
    assert KEY not in cluster.decisions
    assert await queue.get() == KEY  # who listens may have to be written
