import pytest

from conch.autoscale.budget import HIGHEST, LOWEST, Budget


def spent(
    share: float, minutes: float, trusted: bool = True, expected: float | None = None
) -> Budget:
    """``share`` of the requests is late; by default it is what the model expects."""
    budget = Budget()
    foreseen = share if expected is None else expected
    for _ in range(int(minutes * 12)):
        budget = budget.after(5.0, 500.0, 500.0 * share, 500.0 * foreseen, 0.01, trusted)
    return budget


def test_a_fresh_budget_allows_what_the_objective_does() -> None:
    assert Budget().left(0.01) == 0.01
    assert Budget().trim == 1.0


def test_an_overspent_budget_allows_little_and_never_nothing() -> None:
    assert spent(0.05, 20).left(0.01) == pytest.approx(0.001)
    assert spent(0.011, 20).left(0.01) < spent(0.009, 20).left(0.01)


def test_what_is_unspent_is_not_spent_at_once() -> None:
    assert spent(0.0, 60).left(0.01) == pytest.approx(0.01)


def test_little_is_spent_before_much_was_seen() -> None:
    assert spent(0.0, 3).left(0.01) < 0.005


def test_lateness_that_was_expected_says_nothing_about_capacity() -> None:
    assert spent(0.2, 60).trim == 1.0


def test_less_lateness_than_expected_is_more_capacity_than_believed() -> None:
    assert 0.9 < spent(0.0, 10, expected=0.01).trim < 0.98
    assert spent(0.0, 600, expected=0.01).trim == LOWEST


def test_lateness_that_cannot_be_seen_is_no_reason_to_believe_in_more() -> None:
    assert spent(0.0, 120, trusted=False, expected=0.01).trim == 1.0


def test_more_lateness_than_expected_is_less_capacity_up_to_a_limit() -> None:
    assert spent(0.05, 5, expected=0.005).trim > 1.05
    assert spent(0.5, 300, expected=0.0).trim == HIGHEST


def test_old_lateness_is_forgotten() -> None:
    budget = spent(0.05, 20)
    for _ in range(12 * 60 * 12):
        budget = budget.after(5.0, 500.0, 0.0, 0.0, 0.01, trusted=True)
    assert budget.left(0.01) > 0.008


def test_no_requests_change_nothing() -> None:
    assert Budget().after(5.0, 0.0, 0.0, 0.0, 0.01, trusted=True).trim == 1.0
