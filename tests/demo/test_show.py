"""The verdict counts what it says it counts; the table fits the terminal."""

from __future__ import annotations

import io

import pytest

from e2e.demo.__main__ import target_ms
from e2e.demo.show import WARM_UP_S, Row, Table, Verdict


def row(at_s: float, rate: float, wanted: int, ready: int) -> Row:
    return Row(at_s, rate, wanted, ready, 50.0, 90.0, "WithinObjective (demand 105/s)")


def test_warm_starts_when_the_replicas_for_the_load_have_caught_up() -> None:
    verdict = Verdict(400)
    verdict.add(row(2, 15, 1, 1), 30, 30)
    verdict.add(row(4, 100, 3, 1), 0, 200)  # the step: late
    verdict.add(row(6, 100, 3, 3), 10, 200)  # ready, and a backlog to answer
    verdict.add(row(6 + WARM_UP_S, 100, 3, 3), 100, 200)
    verdict.add(row(8 + WARM_UP_S, 100, 3, 3), 199, 200)
    verdict.add(row(10 + WARM_UP_S, 8, 3, 3), 16, 16)
    assert (verdict.warm_within, verdict.warm_total) == (215, 216)


def test_replica_hours_are_the_area_under_the_replicas() -> None:
    verdict = Verdict(400)
    for at_s, wanted, ready in ((0, 1, 1), (1800, 3, 1), (3600, 1, 3), (5400, 1, 1)):
        verdict.add(row(at_s, 10, wanted, ready), 0, 0)
    assert verdict.replica_hours == pytest.approx(0.5 + 1.5 + 1.5)


def test_the_verdict_tells_failures_and_shares() -> None:
    verdict = Verdict(400, first_answer_s=4.25)
    verdict.add(row(2, 15, 1, 1), 30, 30)
    verdict.summary = {"share": 0.98765, "sent": 1000, "failed": 3}
    verdict.errors = {"HTTP 503": 3}
    text = "\n".join(verdict.lines())
    assert "98.77% of 1000 (3 failed)" in text
    assert "4.2 s" in text
    assert "HTTP 503 (x3)" in text
    assert "after warm-up" not in text, "there was none, so nothing is claimed"


def test_rows_are_cut_to_the_terminal() -> None:
    stream = io.StringIO()
    table = Table(400, stream, width=40)
    table.header()
    table.row(row(2, 15, 1, 1))
    assert all(len(line) <= 40 for line in stream.getvalue().splitlines())


@pytest.mark.parametrize(("text", "ms"), [("400ms", 400), ("1.5s", 1500), ("250us", 0.25)])
def test_targets(text: str, ms: float) -> None:
    assert target_ms(text) == pytest.approx(ms)
