"""Ensembles and streams: a model has more or less than the whole target for itself."""

from __future__ import annotations

from dataclasses import replace

import pytest

from conch.api.conditions import Reason
from conch.observe.types import Decision, ModelCounters, ScalingPolicy
from conch.triton.configuration import ModelConfig

from .worlds import MODEL, POLICY, World, counters, sample


def serve(
    world: World, rate: float, seconds: float, beside_s: float, batch_s: float = 0.08
) -> Decision:
    """Every pod answers ``rate`` requests/s; all say the same of what a client waits beside."""
    decision = None
    for _ in range(int(seconds / 2)):
        for pod, before in world.pods.items():
            done = counters(before.success + 2 * rate, batch_s=batch_s)
            world.pods[pod] = replace(done, beside_s=beside_s)
        decision = world.look()
    assert decision is not None
    return decision


def capacity(beside_s: float, **policy: object) -> float:
    world = World(2, replace(POLICY, **policy))  # type: ignore[arg-type]
    found = serve(world, 20, 120, beside_s).capacity_rps
    assert found is not None
    return found


def test_time_spent_in_other_members_leaves_less_for_this_one() -> None:
    assert capacity(0.2) < 0.97 * capacity(0.0)
    assert capacity(0.0) < capacity(-0.2)


def test_members_that_use_up_the_target_make_it_unreachable() -> None:
    assert serve(World(2), 20, 120, 0.38).reason is Reason.TARGET_UNREACHABLE


def test_a_stream_longer_than_the_target_is_sized_by_its_first_response() -> None:
    slow: dict[str, object] = {"target_s": 0.2}
    stream = World(2, replace(POLICY, **slow))  # type: ignore[arg-type]
    decision = serve(stream, 2, 200, beside_s=-0.9, batch_s=1.0)
    assert decision.reason is not Reason.TARGET_UNREACHABLE
    whole = World(2, replace(POLICY, **slow))  # type: ignore[arg-type]
    assert serve(whole, 2, 200, 0.0, batch_s=1.0).reason is Reason.TARGET_UNREACHABLE


@pytest.mark.parametrize(
    ("beside_s", "wait_s"),
    [
        (0.0, 0.4 - 1.2 * 0.08),
        (0.1, 0.4 - 0.1 - 1.2 * 0.08),
        (-0.05, 0.4 - 1.2 * 0.03),
    ],
)
def test_the_longest_useful_wait_counts_it(beside_s: float, wait_s: float) -> None:
    world = World(2, replace(POLICY, late_reject=True))
    decision = serve(world, 20, 120, beside_s)
    assert decision.reject_after_s == pytest.approx(wait_s, rel=0.05)


def test_an_ensembles_own_series_add_nothing() -> None:
    policy: ScalingPolicy = replace(POLICY, models=("pipe", MODEL))
    world = World(2, policy)
    decision = None
    for _ in range(60):
        for pod, before in world.pods.items():
            world.pods[pod] = counters(before.success + 60)
        looks: dict[str, ModelCounters] = world.pods
        decision = world.look(
            tuple(
                replace(sample(pod, world.now_s + 2, c), configs={"pipe": ModelConfig((MODEL,))})
                for pod, c in looks.items()
            )
        )
    assert decision is not None
    assert decision.reason is Reason.WITHIN_OBJECTIVE
    assert decision.demand_rps == pytest.approx(60)
