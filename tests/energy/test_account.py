"""What a service has spent."""

import pytest

from conch.energy.account import Account, Step

START = 1_800_000_000.0 - 1_800_000_000 % 900


def spend(account: Account, steps: int, step: Step, start_s: float = START) -> float:
    for i in range(steps):
        account.add(step, 10.0, start_s + 10.0 * i)
    return start_s + 10.0 * steps


def test_rates_and_sums() -> None:
    account = Account()
    spend(account, 12, Step(2, 3.6, 100.0, 36.0, inferences=50, estimated=True))
    bill = account.bill("Average")
    assert bill is not None
    assert (bill.pods, bill.dollars_per_h, bill.estimated) == (2, 3.6, True)
    assert bill.watts == pytest.approx(100)
    assert bill.grams_per_h == pytest.approx(36)
    assert bill.carbon_kind == "Average"
    assert bill.inferences == 600
    assert bill.dollars == pytest.approx(0.12)
    assert bill.joules == pytest.approx(12_000)
    assert bill.grams == pytest.approx(1.2)


def test_nothing_before_the_first_step() -> None:
    assert Account().bill("") is None


def test_a_gap_makes_figures_unknown_until_it_has_left_the_window() -> None:
    account = Account()
    later_s = spend(account, 1, Step(1, 1.0, None, None, 10))
    later_s = spend(account, 5, Step(1, 1.0, 70.0, None, 10), later_s)
    bill = account.bill("")
    assert bill is not None
    assert bill.joules is None
    assert bill.dollars is not None
    assert bill.grams is None
    spend(account, 60, Step(1, 1.0, 70.0, None, 10), later_s)
    bill = account.bill("")
    assert bill is not None
    assert bill.joules == pytest.approx(70 * 600)


def test_the_window_is_ten_minutes() -> None:
    account = Account()
    spend(account, 360, Step(1, 1.0, 70.0, None, 1))
    bill = account.bill("")
    assert bill is not None
    assert bill.inferences == 60


def test_power_follows_the_number_of_pods_at_once() -> None:
    """A converged service must not be told of a mean that creeps up for minutes."""
    account = Account()
    later_s = spend(account, 30, Step(1, 1.0, 20.0, None, 0))
    spend(account, 1, Step(3, 3.0, 60.0, None, 0), later_s)
    bill = account.bill("")
    assert bill is not None
    assert bill.watts == pytest.approx(60)


def test_no_pods_draw_nothing() -> None:
    account = Account()
    later_s = spend(account, 3, Step(1, 1.0, 20.0, 5.0, 0))
    spend(account, 1, Step(0, 0.0, 0.0, 0.0, 0), later_s)
    bill = account.bill("Average")
    assert bill is not None
    assert (bill.watts, bill.grams_per_h, bill.dollars_per_h) == (0, 0, 0)


def test_the_last_day_is_kept_in_quarters_of_an_hour() -> None:
    account = Account()
    for i in range(200):
        account.add(Step(1, 1.0, 70.0, None, 1), 900.0, START + 900.0 * i)
    assert len(account.parts) == 96
    assert account.parts[-1].start_s == START + 900 * 199
    assert account.parts[-1].joules == pytest.approx(70 * 900)
