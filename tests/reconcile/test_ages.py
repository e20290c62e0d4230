"""Replicas' ages by a clock that does not jump."""

from __future__ import annotations

from datetime import datetime

import pytest

from conch.reconcile.ages import Ages
from tests.reconcile.builders import NOW, UID, pod

MADE_S = datetime.fromisoformat(NOW).timestamp()


def test_the_date_counts_once() -> None:
    ages = Ages()
    assert ages.look(UID, [pod("a")], 100.0, MADE_S + 7) == {"uid-a": 7.0}
    assert ages.look(UID, [pod("a")], 102.0, MADE_S + 9) == {"uid-a": 9.0}


@pytest.mark.parametrize("ahead_s", [3600.0, 90.0, -3600.0])
def test_a_clock_that_is_set_makes_nobody_older_or_younger(ahead_s: float) -> None:
    ages = Ages()
    ages.look(UID, [pod("a")], 100.0, MADE_S + 7)
    assert ages.look(UID, [pod("a")], 102.0, MADE_S + 9 + ahead_s) == {"uid-a": 9.0}


def test_who_was_not_there_at_the_last_look_is_new_whatever_its_date() -> None:
    ages = Ages()
    ages.look(UID, [], 100.0, MADE_S)
    found = ages.look(UID, [pod("a")], 105.0, MADE_S + 3600)
    assert 5.0 <= found["uid-a"] <= 8.0


def test_nobody_is_younger_than_nothing() -> None:
    assert Ages().look(UID, [pod("a")], 100.0, MADE_S - 50) == {"uid-a": 0.0}


def test_services_and_pods_that_are_gone_are_forgotten() -> None:
    ages = Ages()
    ages.look(UID, [pod("a")], 100.0, MADE_S + 50)
    ages.look(UID, [], 102.0, MADE_S + 52)
    assert ages.look(UID, [pod("a")], 104.0, MADE_S + 54)["uid-a"] < 5.0  # the name came back
    ages.keep([])
    assert ages.look(UID, [pod("a")], 106.0, MADE_S + 56) == {"uid-a": 56.0}
