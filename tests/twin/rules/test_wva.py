"""Against the saturation analyser's thresholds; numbers by hand."""

import pytest

from conch.twin.rules.wva import rule, saturation

from .sights import SETTING, counters, sight


@pytest.mark.parametrize(
    ("used", "waiting", "starting", "expected"),
    [
        ([0.5, 0.5], [0, 0], 0, 2),  # spare 0.3; on one: 0.8 - 1.0 < 0.1: stay
        ([0.71, 0.71], [0, 0], 0, 3),  # spare 0.09
        ([0.1, 0.1], [2.1, 2.1], 0, 3),  # spare queue 2.9
        ([0.3, 0.3], [0.5, 0.5], 0, 1),  # on one: 0.6 and 1.0: spares 0.2 and 4
        ([0.3, 0.3], [1.1, 1.1], 0, 2),  # on one the queue keeps only 2.8
        ([0.9, 0.9], [0, 0], 0, 3),  # all saturated
        # The saturated one is left out: 0.4 alone: spare 0.4: stay (one open replica).
        ([0.9, 0.4], [0, 0], 0, 2),
        ([0.9, 0.9], [9, 9], 1, 2),  # while one starts, nothing
        ([0.1], [0.0], 0, 2),
    ],
)
def test_saturation(used: list[float], waiting: list[float], starting: int, expected: int) -> None:
    assert saturation(used, waiting, 2, starting) == expected


def test_no_samples_keep_the_size() -> None:
    assert saturation([], [], 3, 0) == 3


def test_places_are_the_batch_and_the_queue_is_triton_s() -> None:
    # 8 places; 12 in flight of which 6 wait: 6/8 = 0.75 used: spare 0.05: one more.
    seen = sight(0, [counters(0, pending=2.0)] * 2, in_flight=[8.0, 8.0])
    assert rule(SETTING, 5.0).decide(seen).replicas == 3
    # 3 in flight, none waiting: 0.375 used: on one 0.75: stay.
    seen = sight(60, [counters(0)] * 2, in_flight=[3.0, 3.0])
    assert rule(SETTING, 5.0).decide(seen).replicas == 2
    # 2 in flight: 0.25: on one 0.5: one fewer.
    seen = sight(60, [counters(0)] * 2, in_flight=[2.0, 2.0])
    assert rule(SETTING, 5.0).decide(seen).replicas == 1
