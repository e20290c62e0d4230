"""The status' cost block: told in two digits, and told again only when it is news."""

from dataclasses import replace
from typing import Any

import pytest

from conch.observe.types import Bill
from conch.reconcile.steps import cost

BILL = Bill(
    pods=2,
    dollars_per_h=2.14,
    watts=141.0,
    grams_per_h=80.2,
    carbon_kind="Average",
    estimated=True,
    inferences=100_000,
    dollars=1.43,
    joules=14_400.0,
    grams=2.28,
)
TOLD = {
    "perHour": "$2.1",
    "perMillionInferences": "$14",
    "power": "140W",
    "energyPerInference": "0.14J",
    "carbonPerHour": "80g",
    "carbonPerMillionInferences": "23g",
    "carbonKind": "Average",
    "estimated": True,
}


def block(before: dict[str, Any], bill: Bill | None) -> dict[str, Any]:
    found: dict[str, Any] = cost.block(before, bill).get("cost", {})
    return found


def test_all_of_it() -> None:
    assert block({}, BILL) == TOLD


def test_told_again_it_stays() -> None:
    assert block(TOLD, BILL) == TOLD
    near = replace(BILL, watts=165.0, grams_per_h=70.0, joules=16_500.0)
    assert block(TOLD, near) == TOLD


def test_news_is_told() -> None:
    assert block(TOLD, replace(BILL, watts=190.0))["power"] == "190W"
    assert block(TOLD, replace(BILL, dollars_per_h=3.2))["perHour"] == "$3.2"
    assert block(TOLD, replace(BILL, joules=20_000.0))["energyPerInference"] == "0.20J"


def test_few_inferences_are_chance_and_change_nothing() -> None:
    few = replace(BILL, inferences=60, dollars=0.0006, joules=12.0, grams=0.0)
    assert block(TOLD, few)["energyPerInference"] == "0.14J"
    none = replace(BILL, inferences=3, dollars=1.0, joules=900.0, grams=1.0)
    assert block(TOLD, none) == TOLD
    assert "energyPerInference" not in block({}, none)


def test_an_operator_that_has_just_started_keeps_what_was_told() -> None:
    assert block(TOLD, None) == TOLD
    assert cost.block({}, None) == {}


def test_what_is_not_known_is_not_told() -> None:
    unknown = replace(BILL, dollars_per_h=None, dollars=None, grams_per_h=None, grams=None)
    assert block(TOLD, replace(unknown, carbon_kind="")) == {
        "power": "140W",
        "energyPerInference": "0.14J",
        "estimated": True,
    }
    assert block(TOLD, replace(unknown, watts=None, joules=None)) == {}


def test_no_replica_costs_nothing_and_is_no_news_without_a_price() -> None:
    zero = Bill(0, 0.0, 0.0, 0.0, "", False, 0, 0.0, 0.0, 0.0)
    assert block({}, zero) == {}
    told = block(TOLD, zero)
    assert (told["perHour"], told["power"]) == ("$0", "0W")
    assert told["perMillionInferences"] == "$14"  # as last measured


@pytest.mark.parametrize("nonsense", ["", "much", "$", "NaNW", 7, None])
def test_whatever_stands_there_is_replaced(nonsense: object) -> None:
    assert block({"power": nonsense}, BILL)["power"] == "140W"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.00123, "0.0012"), (1.44, "1.4"), (9.96, "10"), (23.4, "23"), (1234.0, "1200")],
)
def test_two_significant_digits(value: float, text: str) -> None:
    assert cost.short(value) == text
