"""Pods first, Prometheus while they cannot be reached, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from conch.observe.types import PodSample, ScalingPolicy
from conch.reconcile import sources
from conch.reconcile.sources import Sources
from conch.settings import Settings
from tests.reconcile.builders import KEY

POLICY = ScalingPolicy(99, 0.1, 1, 10, ("resnet",), {}, {})
AWAY = "http://10.0.0.1:8002/metrics did not answer"


class World:
    """Pods and a Prometheus that say who was asked."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> None:
        self.asked: list[str] = []
        self.unreachable: list[bool] = [False, False]
        self.error = ""
        self.now_s = 0.0
        self.closed = False
        world = self

        class Prometheus:
            def __init__(self, *_: object) -> None:
                pass

            async def look(
                self, namespace: str, pods: Mapping[str, str], *_: object
            ) -> tuple[PodSample, ...]:
                assert namespace == KEY.namespace
                world.asked.append("prometheus")
                return tuple(PodSample(uid, world.now_s, {}) for uid in pods.values())

            async def aclose(self) -> None:
                world.closed = True

        monkeypatch.setattr(sources, "Prometheus", Prometheus)
        settings.setdefault("prometheus_url", "http://prometheus:9090")
        self.sources = Sources(Settings(**settings))

    async def directly(self) -> list[PodSample]:
        self.asked.append("pods")
        return [
            PodSample(f"uid-{n}", self.now_s, {}, AWAY if away else self.error, unreachable=away)
            for n, away in enumerate(self.unreachable)
        ]

    async def round(self, uid: str = "uid") -> tuple[PodSample, ...]:
        self.asked.clear()
        self.now_s += 2.0
        pods = {f"pod-{n}": f"uid-{n}" for n in range(len(self.unreachable))}
        return await self.sources.look(
            KEY, uid, pods, POLICY, {}, lambda: self.now_s, self.directly
        )


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


async def rounds(world: World, count: int) -> list[str]:
    asked = []
    for _ in range(count):
        await world.round()
        asked.append("+".join(world.asked))
    return asked


async def test_pods_are_asked_while_they_can_be_reached(world: World) -> None:
    assert await rounds(world, 10) == ["pods"] * 10


async def test_prometheus_is_asked_when_most_pods_stay_out_of_reach(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.unreachable = [True, True]
    assert await rounds(world, 4) == ["pods"] * 4
    assert await rounds(world, 3) == ["pods+prometheus", "prometheus", "prometheus"]
    assert not any(s.error for s in await world.round())
    assert AWAY in caplog.text


async def test_one_pod_of_two_out_of_reach_is_one_pods_trouble(world: World) -> None:
    world.unreachable = [True, False]
    assert await rounds(world, 10) == ["pods"] * 10


async def test_nonsense_from_the_pods_is_no_reason_to_ask_elsewhere(world: World) -> None:
    world.error = "nv_inference_count of model resnet is nan"
    assert await rounds(world, 10) == ["pods"] * 10


async def test_rounds_must_fail_in_a_row(world: World) -> None:
    for _ in range(3):
        world.unreachable = [True, True]
        await rounds(world, 4)
        world.unreachable = [False, False]
        assert await rounds(world, 1) == ["pods"]


async def test_pods_are_tried_again_and_taken_when_they_answer(world: World) -> None:
    world.unreachable = [True, True]
    await rounds(world, 5)
    asked = await rounds(world, 15)
    assert asked == ["prometheus"] * 14 + ["pods+prometheus"]
    world.unreachable = [False, False]
    asked = await rounds(world, 16)
    assert asked == ["prometheus"] * 14 + ["pods"] * 2


async def test_a_namesake_starts_anew(world: World) -> None:
    world.unreachable = [True, True]
    await rounds(world, 5)
    world.sources.keep({"other"})
    assert await rounds(world, 1) == ["pods"]


@pytest.mark.parametrize(
    ("source", "asked"), [("Pods", ["pods"] * 8), ("Prometheus", ["prometheus"] * 8)]
)
async def test_what_is_forced(
    monkeypatch: pytest.MonkeyPatch, source: str, asked: list[str]
) -> None:
    world = World(monkeypatch, scrape_source=source)
    world.unreachable = [True, True]
    assert await rounds(world, 8) == asked


async def test_without_a_prometheus(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(monkeypatch, prometheus_url="")
    world.unreachable = [True, True]
    assert await rounds(world, 8) == ["pods"] * 8
    await world.sources.aclose()
    assert not world.closed


async def test_closing_ends_its_connections(world: World) -> None:
    await world.sources.aclose()
    assert world.closed
