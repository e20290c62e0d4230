"""What of a curve is remembered: only what is sure, only when it is news, and no nonsense."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conch.api.conditions import Reason
from conch.autoscale import ScalerState, step
from conch.autoscale.curve import Curve
from conch.autoscale.memory import BELIEVED, Learned, after, read
from conch.autoscale.state import ModelState
from conch.observe.types import ModelCounters, PodSample, ScalingObservation, ScalingPolicy
from conch.triton.sample import BatchStat

POLICY = ScalingPolicy(99, 0.4, 1, 10, ("m",), {"m": 4}, {})


def curve(**means_ms: float) -> Curve:
    """A curve of sizes k1, k2 … that were seen 100 times each."""
    seen = {int(k[1:]): BatchStat(100, ms / 10) for k, ms in means_ms.items()}
    return Curve().learned(seen, 0.0)


def remembered(found: Curve, *starts_s: float) -> Learned:
    learned = after(None, "team/web: m", found, starts_s, 7)
    assert learned is not None
    return learned


def test_text_gives_the_same_back() -> None:
    noisy = curve(k1=50, k4=80)
    for mean_ms in (52, 49, 51, 50, 53, 48):
        noisy = noisy.learned({1: BatchStat(10, mean_ms / 100)}, 1.0)
    before = remembered(noisy, 12.5, 40.0)
    found = read(before.text())
    assert found.curve.service_s(8) == pytest.approx(before.curve.service_s(8), rel=1e-3)
    assert found.curve.noise() == pytest.approx(before.curve.noise(), rel=1e-3)
    assert found.curve.noise() > 0
    assert (found.model, found.at, found.starts_s) == ("team/web: m", 7, (12.5, 40.0))
    assert read(found.text()) == found


@given(
    st.dictionaries(
        st.integers(1, 256),
        st.builds(BatchStat, st.integers(20, 10**7), st.floats(1e-3, 1e5)),
        min_size=1,
        max_size=99,
    ),
    st.lists(st.floats(0, 86400), max_size=20).map(tuple),
)
def test_whatever_is_remembered_can_be_read(
    seen: dict[int, BatchStat], starts_s: tuple[float, ...]
) -> None:
    learned = remembered(Curve().learned(seen, 0.0), *starts_s)
    found = read(learned.text())
    assert found.curve.sizes.keys() == learned.curve.sizes.keys()
    assert found.starts_s == pytest.approx(learned.starts_s, rel=1e-3)
    assert after(found, "m", learned.curve, starts_s, 8) is None, "rounding is no news"


def test_what_is_about_the_same_is_no_news() -> None:
    before = remembered(curve(k1=50, k4=80), 10.0)
    assert after(before, "m", curve(k1=54, k4=77), (10.9,), 8) is None
    assert after(before, "m", Curve(), (10.0,), 8) is None, "a quiet night forgets nothing"
    slow = after(before, "m", curve(k1=56), (10.0,), 8)
    assert slow is not None
    assert sorted(slow.curve.sizes) == [1, 4], "sizes that were not seen lately stay"
    assert after(before, "m", curve(k1=50, k2=60, k4=80), (10.0,), 8) is not None
    assert after(before, "m", curve(k1=50), (13.0,), 8) is not None


def test_only_what_is_sure_is_kept() -> None:
    few = Curve().learned({1: BatchStat(19, 1.0)}, 0.0)
    assert after(None, "m", few, (), 7) is None
    assert after(None, "m", Curve(), (10.0,), 7) is None
    many = Curve().learned({k: BatchStat(20 + k, 1.0) for k in range(1, 201)}, 0.0)
    learned = remembered(many, *range(1, 20))
    assert sorted(learned.curve.sizes) == list(range(137, 201))
    assert learned.starts_s == (15, 16, 17, 18, 19)
    assert len(learned.text()) < 4096


def good(**changes: Any) -> str:
    return json.dumps({"model": "m", "at": 1, "sizes": [[1, 50, 0.05, 0, 0]], **changes})


@pytest.mark.parametrize(
    "text",
    [
        "", "x", "[]", "null", "{}", '{"model": "m"}',
        good(sizes=[[0, 50, 0.05, 0, 0]]), good(sizes=[[1, 50, 0, 0, 0]]),
        good(sizes=[[1, 50, -1, 0, 0]]), good(sizes=[[1, 1e99, 0.05, 0, 0]]),
        good(sizes=[[1, 50, 1e9, 0, 0]]), good(sizes=[[1, 50, 0.05]]),
        good(sizes=[[1, 50, 0.05, 0, 0]] * 65), good(sizes=[["1", 50, 0.05, 0, 0]]),
        good(sizes=[[1, 50, 0.05, 0, 0]]).replace("0.05", "NaN"), good(starts=[-1]),
        good(starts=[1] * 6), good(model="m" * 600), good(extra=1), good(at=-1), "9" * 100_000,
        "[" * 100_000,
    ],
    ids=lambda text: text[:60],
)  # fmt: skip
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        read(text)
    assert read(good()).curve.largest == 1


def look(at_s: float, count: int) -> PodSample:
    stat = BatchStat(count, count * 0.05)
    counters = ModelCounters(count, 0, count, count, count * 0.05, 0.0, 0, None, {1: stat})
    return PodSample("p", at_s, {"m": counters})


def decided(state: ScalerState) -> list[Reason]:
    """The first decisions on a service with a request a second."""
    reasons = []
    for number in range(3):
        at_s = 2.0 * number
        sample = look(at_s, 100_000 + 2 * number)
        observation = ScalingObservation(at_s, 1, 1, (), (), 5, (sample,))
        state, decision = step(POLICY, state, observation)
        reasons.append(decision.reason)
    return reasons


def test_who_remembers_decides_with_the_second_look() -> None:
    """Two looks make a rate; without a memory, two requests are too few for a service time."""
    begun = ScalerState(models={"m": ModelState({"": read(good()).begin()})})
    assert decided(ScalerState())[1] is Reason.LEARNING
    assert decided(begun)[1] not in (Reason.LEARNING, Reason.NO_METRICS)


def test_what_is_seen_outweighs_what_is_remembered() -> None:
    begun = Learned("m", 0, curve(k1=500)).begin().curve
    assert begun.sizes[1].weight == BELIEVED
    now = begun.learned({1: BatchStat(200, 10.0)}, 2.0)
    assert now.service_s(1)[0] == pytest.approx(0.05, rel=0.9)
    assert now.service_s(1)[0] < 0.1
