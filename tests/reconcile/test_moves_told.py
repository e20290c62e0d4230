"""What of moves stands in the status, for a new operator to go on from."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import pytest

from conch.observe.types import Key, Moved
from conch.reconcile import plan as planning
from conch.reconcile.moves import FORGET_S, REST_S, Moves
from conch.reconcile.moves_told import MOST_CLASSES, read, shown
from tests.reconcile.builders import KEY, OPTIONS, build, observe, placed, raw, state

NOW = "2026-03-01T12:00:00Z"
NOW_S = datetime.fromisoformat(NOW).timestamp()
TOLD = {
    "moves": {
        "last": "2026-03-01T11:30:00Z",
        "leftAlone": [{"accelerator": "t4", "until": "2026-03-02T06:00:00Z"}],
    }
}


def test_what_was_told_is_read_back() -> None:
    last_s, failed = read(TOLD, NOW_S, FORGET_S)
    assert (last_s, failed) == (NOW_S - 1800, {"t4": NOW_S + 18 * 3600})
    told = shown(last_s, failed, NOW_S)
    assert told == Moved("2026-03-01T11:30:00Z", (("t4", "2026-03-02T06:00:00Z"),))
    assert shown(last_s, failed, NOW_S + FORGET_S) == Moved("2026-03-01T11:30:00Z", ())
    assert shown(None, {}, NOW_S) is None


@pytest.mark.parametrize(
    "status",
    [
        None,
        {},
        {"moves": None},
        {"moves": []},
        {"moves": {"last": "yesterday", "leftAlone": "t4"}},
        {"moves": {"last": 3, "leftAlone": [None, {"accelerator": "t4"}, {"until": "soon"}]}},
        {"moves": {"last": "2026-03-01T11:30:00"}},
        {"moves": {"leftAlone": [{"accelerator": "t4", "until": "2026-03-01T11:00:00Z"}]}},
    ],
)
def test_what_cannot_be_read_or_is_over_is_nothing(status: Any) -> None:
    assert read(status, NOW_S, FORGET_S) == (None, {})


def test_no_word_holds_longer_than_is_ever_meant() -> None:
    far = {"last": "2099-01-01T00:00:00Z"}
    listed = [{"accelerator": f"c{i}", "until": "2099-01-01T00:00:00Z"} for i in range(99)]
    last_s, failed = read({"moves": {**far, "leftAlone": listed}}, NOW_S, FORGET_S)
    assert last_s == NOW_S
    assert len(failed) == MOST_CLASSES
    assert set(failed.values()) == {NOW_S + FORGET_S}
    many = {f"c{i}": NOW_S + 60 + i for i in range(99)}
    told = shown(None, many, NOW_S)
    assert told is not None
    assert [name for name, _ in told.left_alone] == [f"c{i}" for i in range(91, 99)]


def test_a_new_operator_has_the_same_budget_and_leaves_the_same_classes_alone() -> None:
    others = [Key("other", f"s{i}") for i in range(5)]
    statuses: dict[Key, Mapping[str, Any]] = {KEY: TOLD} | {
        key: {"moves": {"last": TOLD["moves"]["last"]}} for key in others
    }
    moves = Moves(per_h=6)
    uids = {key: str(key) for key in statuses}
    moves.begin(uids, NOW_S, statuses.get)
    assert len(moves._starts_s) == 6, "the hour's budget is spent"
    assert moves._left_alone(KEY) == {"t4"}
    assert moves.told(KEY) == Moved("2026-03-01T11:30:00Z", (("t4", "2026-03-02T06:00:00Z"),))
    # What is known is not read again, and the hour goes on.
    moves.begin(uids, NOW_S + REST_S / 2 + 1, statuses.get)
    assert moves._starts_s == []
    # Another of the same name starts anew.
    moves.begin({**uids, KEY: "another"}, NOW_S, lambda _: None)
    assert moves.told(KEY) is None


def test_the_status_keeps_it_from_before_the_first_plan_on() -> None:
    made = state({**raw(), "status": TOLD}, placed())
    build(made, replicas=1)

    def body() -> Any:
        seen = observe(made)
        plan = planning.make(seen, OPTIONS)
        return planning.conclude(seen, plan, planning.Outcome()).body.get("moves")

    assert body() == TOLD["moves"]
    made.moved[KEY] = Moved("2026-03-01T11:30:00Z", (("t4", "2026-03-02T06:00:00Z"),))
    assert body() == TOLD["moves"]
    made.moved[KEY] = Moved("2026-03-01T11:30:00Z", ())
    assert body() == {"last": "2026-03-01T11:30:00Z"}
