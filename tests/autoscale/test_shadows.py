import pytest

from conch.autoscale.fleet import Fleet
from conch.autoscale.forecast import LEVELS, Forecast
from conch.autoscale.shadows import FIRST, HOLDS_S, SETTINGS, Setting, Shadows, smoothed

FLEET = Fleet(0.8, True, 1.0, 0.01, reject=True)


def play(
    demand: list[float],
    fleet: Fleet = FLEET,
    cold_start_s: float = 20.0,
    allowed: float = 0.009,
    lag_s: float = 0.0,
) -> Shadows:
    forecast, shadows = Forecast(), Shadows()
    for turn, busy in enumerate(demand):
        forecast = forecast.after(5.0 * turn, busy, busy, cold_start_s + 5)
        shadows = shadows.after(
            5.0 * turn, busy, forecast, fleet, cold_start_s, lag_s, 0.2, 1.0, 1, 50, allowed
        )
    return shadows


def of(shadows: Shadows, base: int, quantile: float, hold_s: float) -> tuple[float, float]:
    number = SETTINGS.index(Setting(base, LEVELS.index((quantile, 1.0)), HOLDS_S.index(hold_s)))
    return shadows.cost[number], shadows.late[number]


def test_the_first_setting_is_followed_until_others_had_a_trial() -> None:
    assert play([3.0] * 45).chosen == FIRST


def test_constant_demand_costs_what_it_needs() -> None:
    found = play([3.0] * 400)
    needed = FLEET.needed(3.0, 50)
    cost, late = of(found, 0, 0.5, 15.0)
    # Sums are forgotten: an average is their quotient with what arrived.
    assert cost / found.arrived * 3.0 == pytest.approx(needed, rel=0.03)
    assert late / found.arrived < 0.01


def test_more_replicas_are_never_later_and_never_cheaper() -> None:
    waves = [3.0 + (turn // 20 % 2) for turn in range(400)]
    found = play(waves)
    low, high = of(found, 0, 0.15, 15.0), of(found, 0, 0.95, 15.0)
    assert low[0] <= high[0]
    assert low[1] >= high[1]
    short, long = of(found, 0, 0.5, 15.0), of(found, 0, 0.5, 300.0)
    assert short[0] <= long[0]
    assert short[1] >= long[1]


@pytest.mark.slow
def test_boldness_is_earned() -> None:
    busy = FLEET.carries(3) * 1.01  # three would nearly do
    young, old = (play([busy] * slots, cold_start_s=80.0) for slots in (90, 700))
    assert young.setting.boldness > old.setting.boldness


def test_a_rise_is_late_for_a_cold_start() -> None:
    rise = [2.0] * 100 + [8.0] * 50
    fast, slow = play(rise, cold_start_s=10.0), play(rise, cold_start_s=100.0)
    assert of(slow, 0, 0.5, 15.0)[1] > 3 * of(fast, 0, 0.5, 15.0)[1]


def test_what_is_looked_at_late_is_late_for_longer() -> None:
    rise = [2.0] * 100 + [8.0] * 50
    assert of(play(rise, lag_s=20.0), 0, 0.5, 15.0)[1] > 1.5 * of(play(rise), 0, 0.5, 15.0)[1]


def test_starts_are_counted_beside_the_cost() -> None:
    number = SETTINGS.index(Setting(0, LEVELS.index((0.5, 1.0)), 0))
    calm, waves = play([3.0] * 300), play([3.0 + 3 * (turn // 20 % 2) for turn in range(300)])
    assert calm.starts[number] < 3
    assert waves.starts[number] > 10


def test_without_rejecting_a_backlog_makes_later_ones_late_too() -> None:
    rise = [2.0] * 100 + [8.0] * 20 + [4.0] * 30
    patient = Fleet(0.8, True, 1.0, 0.01, reject=False)
    assert of(play(rise, patient), 0, 0.5, 15.0)[1] > of(play(rise), 0, 0.5, 15.0)[1]


def test_a_long_hold_is_not_chosen_while_nothing_has_fallen() -> None:
    found = play([2.0 + 0.01 * turn for turn in range(240)])
    assert found.hold_s < HOLDS_S[-1]


@pytest.mark.slow
def test_gaps_that_a_long_hold_bridges_are_bridged() -> None:
    bursts = play([6.0 if turn % 24 < 4 else 0.5 for turn in range(500)], cold_start_s=60.0)
    assert bursts.held(5.0 * 500 - 300) >= FLEET.needed(6.0, 50)


@pytest.mark.slow
def test_calm_demand_is_followed_closely_and_jumpy_demand_with_more() -> None:
    calm = play([3.0] * 300)
    jumpy = play([3.0 if turn // 10 % 2 else 4.5 for turn in range(300)], cold_start_s=60.0)
    assert calm.held(1500.0) <= FLEET.needed(3.0, 50)
    assert jumpy.held(1500.0) >= FLEET.needed(4.5, 50)  # in the trough, too


def test_the_hold_keeps_the_highest_wish_and_then_lets_go() -> None:
    found = play([6.0] * 10 + [2.0] * 2)
    assert found.held(55.0) >= FLEET.needed(6.0, 50)
    later = play([6.0] * 10 + [2.0] * 10)
    assert later.held(95.0) < FLEET.needed(6.0, 50)


def test_memory_is_bounded() -> None:
    found = play([3.0] * 600)
    assert len(found.at_s) == len(found.wishes) == len(found.asked) <= 70


def test_a_pause_is_no_free_time() -> None:
    shadows = play([3.0] * 100)
    forecast = Forecast().after(1000.0, 3.0, 3.0, 20.0)
    after = shadows.after(1000.0, 3.0, forecast, FLEET, 20.0, 0.0, 0.2, 1.0, 1, 50, 0.01)
    assert after.watched_s - shadows.watched_s == 30.0


def test_a_setting_beside_one_that_was_late_was_lucky() -> None:
    late = [0.0] * len(SETTINGS)
    late[SETTINGS.index(Setting(0, 3, 1))] = 0.04
    found = smoothed(late)
    assert found[SETTINGS.index(Setting(0, 4, 1))] == pytest.approx(0.01)  # less bold
    assert found[SETTINGS.index(Setting(0, 3, 2))] == pytest.approx(0.01)  # held for longer
    assert found[SETTINGS.index(Setting(0, 3, 1))] == pytest.approx(0.04)
    assert sum(found) == pytest.approx(0.06)


def test_the_boldest_is_as_lucky_as_the_next_one_suggests() -> None:
    late = [0.0] * len(SETTINGS)
    late[SETTINGS.index(Setting(0, 0, 0))] = 0.04
    assert smoothed(late)[SETTINGS.index(Setting(0, 0, 0))] == pytest.approx(0.05)
