"""The catalogue of conditions, and how a list of them is brought up to date."""

from __future__ import annotations

import re
from typing import Any

import pytest

from conch.api.conditions import Condition, ConditionType, Reason, merge

THEN, NOW = "2026-01-01T00:00:00Z", "2026-01-01T00:10:00Z"


@pytest.mark.parametrize("member", [*ConditionType, *Reason], ids=str)
def test_catalogue(member: ConditionType | Reason) -> None:
    assert re.fullmatch(r"[A-Z][A-Za-z]{1,62}", member.value)
    assert member.doc.endswith(".")


def ready(status: Any, reason: Reason = Reason.READY, message: str = "") -> Condition:
    return Condition(ConditionType.READY, status, reason, message)


def test_transition_time_moves_with_the_status_only() -> None:
    first = merge([], [ready("False", Reason.PROGRESSING)], 1, THEN)
    assert first[0]["lastTransitionTime"] == THEN
    same = merge(first, [ready("False", Reason.NO_CAPACITY, "0 of 4 GPUs free")], 2, NOW)
    assert same == [
        {
            "type": "Ready",
            "status": "False",
            "reason": "NoCapacity",
            "message": "0 of 4 GPUs free",
            "observedGeneration": 2,
            "lastTransitionTime": THEN,
        }
    ]
    assert merge(same, [ready("True")], 2, NOW)[0]["lastTransitionTime"] == NOW


def test_merging_the_same_changes_nothing() -> None:
    wanted = [ready("True"), Condition(ConditionType.PLACED, "True", Reason.PLACED, "l4")]
    once = merge([], wanted, 1, THEN)
    assert merge(once, wanted, 1, NOW) == once


def test_order_and_membership_are_those_of_the_new_list() -> None:
    old = merge([], [Condition(ConditionType.SERVING, "True", Reason.IDLE), ready("True")], 1, THEN)
    merged = merge(old, [ready("True")], 1, NOW)
    assert [condition["type"] for condition in merged] == ["Ready"]


def test_messages_fit_the_schema() -> None:
    (condition,) = merge([], [ready("False", message="x" * 5000)], 1, NOW)
    assert len(str(condition["message"])) == 1024
