import pytest

from conch.autoscale.budget import Budget, exposure


def spent(share: float, minutes: float) -> Budget:
    """``share`` of the requests is late."""
    budget = Budget()
    for _ in range(int(minutes * 12)):
        budget = budget.after(5.0, 500.0, 500.0 * share)
    return budget


def test_a_fresh_budget_allows_what_the_objective_does() -> None:
    assert Budget().left(0.01, 40.0, True) == 0.01


def test_an_overspent_budget_allows_little_and_never_nothing() -> None:
    assert spent(0.05, 20).left(0.01, 40.0, True) == pytest.approx(0.001)
    assert spent(0.011, 20).left(0.01, 40.0, True) < spent(0.009, 20).left(0.01, 40.0, True)


def test_what_is_unspent_is_not_spent_at_once() -> None:
    assert spent(0.0, 60).left(0.01, 40.0, True) == pytest.approx(0.01)


def test_little_is_spent_before_much_was_seen() -> None:
    assert spent(0.0, 3).left(0.01, 120.0, True) < 0.007
    assert spent(0.0, 3).left(0.01, 120.0, True) < spent(0.0, 20).left(0.01, 120.0, True)


def test_less_is_spent_where_a_surprise_lasts_for_longer() -> None:
    budget = spent(0.008, 60)
    short, middle, long, longest = (budget.left(0.01, s, True) for s in (10.0, 60.0, 120.0, 600.0))
    assert long < middle < short
    assert longest == long  # and no less than this


def test_a_cold_start_twice_as_long_is_four_times_the_exposure() -> None:
    assert exposure(120.0, True) == 1
    assert exposure(60.0, True) == pytest.approx(0.25)


def test_what_waits_has_to_be_worked_off() -> None:
    assert exposure(10.0, False) == 1
    assert exposure(240.0, False) == exposure(240.0, True) == 4
    budget = spent(0.005, 60)
    assert budget.left(0.01, 10.0, False) < budget.left(0.01, 10.0, True)


def test_old_lateness_is_forgotten() -> None:
    budget = spent(0.05, 20)
    for _ in range(12 * 60 * 12):
        budget = budget.after(5.0, 500.0, 0.0)
    assert budget.left(0.01, 40.0, True) > 0.008
