import pytest

from e2e.bench.audit import Write
from e2e.bench.crash.figure import judge
from e2e.bench.crash.lane import Cut, Run
from e2e.bench.crash.oracle import State
from e2e.bench.crash.stories import STORIES
from e2e.testbed import TestbedError

_STORY = STORIES[0]


def _run(number: int, cut: Cut | None, state: State, failure: str = "") -> Run:
    at_s = 10.0 * number
    return Run(_STORY, cut, f"c{number:03}", at_s, at_s + 9, (), state, failure)


def _made(number: int, at_s: float, resource: str = "deployments") -> Write:
    name = f"c{number:03}"
    return Write("conch/1", "patch", resource, _STORY.namespace, name, 201, at_s, at_s)


def test_a_point_like_the_undisturbed_run_is_fine() -> None:
    runs = [_run(0, None, {"a": "1"}), _run(1, None, {"a": "1"}), _run(2, Cut(1), {"a": "1"})]
    assert judge(runs, [_made(n, 10.0 * n + 1) for n in range(3)]) == []


def test_another_end_state_and_another_effort_are_found() -> None:
    runs = [
        _run(0, None, {"a": "1", "b": "x"}),
        _run(1, None, {"a": "1", "b": "y"}),
        _run(2, Cut(1), {"a": "2", "b": "z"}),
        _run(3, Cut(2, lose_answer=True), {"a": "1", "b": "z"}),
    ]
    writes = [_made(n, 10.0 * n + 1) for n in range(4)] + [_made(3, 32, "services")]
    assert judge(runs, writes) == [
        (runs[2], ["a: 1 → 2"]),
        (runs[3], ["create services: absent → 1"]),
    ]


def test_what_happens_after_a_run_is_not_part_of_it() -> None:
    runs = [_run(0, None, {}), _run(1, Cut(1), {})]
    assert judge(runs, [_made(1, 19.5, "services")]) == []


def test_a_point_that_did_not_settle_differs() -> None:
    runs = [_run(0, None, {}), _run(1, Cut(1), {}, failure="TimeoutError: ")]
    assert judge(runs, []) == [(runs[1], ["TimeoutError: "])]


def test_without_an_undisturbed_run_nothing_is_claimed() -> None:
    with pytest.raises(TestbedError, match="create failed: it did not settle"):
        judge([_run(0, None, {}, failure="it did not settle"), _run(1, Cut(1), {})], [])
