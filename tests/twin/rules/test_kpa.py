"""Against autoscaler.go; numbers by hand."""

import pytest

from conch.twin.rules.kpa import RULE, Panic, concurrency, scale

from .sights import SETTING, counters, sight


@pytest.mark.parametrize(
    ("stable", "panicking", "ready", "panic", "expected"),
    [
        (30.0, 30.0, 4, Panic(), (3, Panic())),  # ceil(30/10)
        (30.1, 30.1, 4, Panic(), (4, Panic())),
        # Down by half a tick at most: floor(9/2).
        (10.0, 10.0, 9, Panic(), (4, Panic())),
        # Panic at twice the pods: ceil(80/10)/4 = 2.
        (30.0, 80.0, 4, Panic(), (8, Panic(100.0, 8))),
        (30.0, 70.0, 4, Panic(), (3, Panic())),
        # In panic never down, …
        (30.0, 30.0, 8, Panic(50.0, 8), (8, Panic(50.0, 8))),
        # … up with either window, …
        (95.0, 30.0, 8, Panic(50.0, 8), (10, Panic(50.0, 10))),
        # … and out of it after a stable window below the threshold.
        (30.0, 30.0, 8, Panic(39.0, 8), (4, Panic())),
        (30.0, 30.0, 8, Panic(40.0, 8), (8, Panic(40.0, 8))),
        (0.0, 0.0, 0, Panic(), (0, Panic())),
    ],
)
def test_scale(
    stable: float, panicking: float, ready: int, panic: Panic, expected: tuple[int, Panic]
) -> None:
    assert scale(stable, panicking, 10.0, ready, 100.0, panic) == expected


def test_windows_of_six_and_sixty_seconds() -> None:
    kpa = concurrency(SETTING, 10.0)
    replicas = 1
    for tick in range(31):
        flight = 5.0 if tick < 28 else 60.0
        seen = sight(2.0 * tick, [counters(0)], replicas=replicas, in_flight=[flight])
        replicas = kpa.decide(seen).replicas
        if tick == 27:
            assert replicas == 1
        if tick == 28:  # the last three ticks: (5+5+60)/3 = 23.3 → 3 of 1 pod: panic
            assert replicas == 3
    assert replicas == 6  # 60 in the panic window


def test_pods_that_don_t_report_count_as_the_others() -> None:
    kpa = concurrency(SETTING, 10.0)
    seen = sight(0, [counters(0)] * 4, in_flight=[10.0, 10.0])
    assert kpa.decide(seen).replicas == 4


def test_no_data_keeps_the_size_and_the_default_is_seventy() -> None:
    assert concurrency(SETTING, 10.0).decide(sight(0, [counters(0)] * 3)).replicas == 3
    assert RULE.untouched(SETTING).name == "kpa 70"
    assert list(RULE.row(SETTING)) == sorted(RULE.row(SETTING), reverse=True)
