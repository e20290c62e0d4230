"""Looks that are seldom new, as through a Prometheus: the pod says how long each one holds."""

from __future__ import annotations

from dataclasses import replace

import pytest

from conch.api.conditions import Reason
from conch.observe.types import Decision, PodSample

from .worlds import World, counters, sample

FRESH_S = {15.0: 27.5, 30.0: 50.0}  # by the period, as triton.prometheus says


def serve(world: World, rate: float, seconds: float, period_s: float) -> list[Decision]:
    """Steps every 2 s, of which only one in ``period_s`` sees something new."""
    decisions = []
    shown: dict[str, PodSample] = dict(world.state.baselines)
    for _ in range(int(seconds / 2)):
        at_s = world.now_s + 2 - 1.5  # scraped, stored, asked for
        for number, (pod, before) in enumerate(list(world.pods.items())):
            world.pods[pod] = counters(before.success + 2 * rate)
            if (at_s + 7 * number) % period_s < 2 or pod not in shown:
                new = sample(pod, at_s, world.pods[pod])
                shown[pod] = replace(new, fresh_s=FRESH_S[period_s])
        decisions.append(world.look(tuple(shown[pod] for pod in world.pods)))
        world.replicas = decisions[-1].replicas
    return decisions


@pytest.mark.parametrize("period_s", [15.0, 30.0])
def test_a_steady_load_is_held_without_going_blind(period_s: float) -> None:
    world = World(pods=2)
    decisions = serve(world, 30, 600, period_s)
    settled = decisions[60:]
    assert {d.replicas for d in settled} == {2}
    assert {d.reason for d in settled} == {Reason.WITHIN_OBJECTIVE}
    assert settled[-1].demand_rps == pytest.approx(60, rel=0.1)


def test_a_rise_is_followed_once_it_is_seen() -> None:
    world = World(pods=2)
    serve(world, 20, 200, 15.0)
    decisions = serve(world, 55, 40, 15.0)
    assert decisions[-1].replicas > 2


def test_looks_that_stop_hold_and_say_so() -> None:
    world = World(pods=2)
    serve(world, 30, 300, 15.0)
    old = tuple(world.state.baselines.values())
    decision = world.look(old)
    for _ in range(20):
        decision = world.look(old)
    assert (decision.reason, decision.replicas) == (Reason.NO_METRICS, 2)
