"""Rows from results made by hand."""

import pytest

from e2e.autoscale.figures import Book, geometric, ok_share, rows
from e2e.autoscale.jobs import Value
from e2e.autoscale.plot import dots, page
from e2e.autoscale.runner import Results


def run(late: float, hours: float) -> Value:
    return {"late": late, "hours": hours, "minutes_ok": 0.99, "rejected": 0.0, "requests": 1000}


def reference(tractable: bool, hours: float = 10.0, floor: float = 0.02) -> Value:
    return {
        "tractable": tractable,
        "oracle": run(0.009, hours),
        "oracle_shipped": run(0.009, 1.1 * hours),
        "floor": run(floor, 1.3 * hours),
    }


@pytest.fixture
def results() -> Results:
    return Results(
        reference={
            "calm/a/10": reference(True),
            "calm/a/40": reference(True),
            "flash/a/40": reference(False),
        },
        conch={
            ("calm/a/10", "reject"): [run(0.001, 10.0), run(0.002, 10.4)],
            ("calm/a/40", "reject"): [run(0.005, 11.0), run(0.015, 11.0)],
            ("flash/a/40", "reject"): [run(0.03, 12.0), run(0.03, 12.0)],
            ("calm/a/10", "plain"): [run(0.001, 11.0)],
            ("calm/a/40", "plain"): [run(0.02, 13.2)],
            ("calm/a/40", "drift"): [run(0.005, 1.0), run(0.02, 1.0)],
        },
        tuned={
            ("calm/a/10", "keda", False): {"points": [], "value": 30, **run(0.01, 14.28)},
            ("calm/a/10", "hpa", False): {"points": [], "value": 0.5, **run(0.01, 20.4)},
            ("calm/a/10", "keda", True): {"points": [], "value": 33, **run(0.01, 10.2)},
            ("calm/a/40", "keda", True): {"points": [], "value": 33, **run(0.01, 10.9)},
            ("calm/a/40", "kpa", False): {"points": [], "value": None},
        },
        default={
            ("calm/a/10", "nvidia-ratio"): run(0.10, 20.4),
            ("calm/a/10", "nvidia-queue"): run(0.02, 40.8),
        },
        swept={
            "flash/a/40": {
                "points": [{"value": 30, **run(0.2, 11.9)}, {"value": 20, **run(0.01, 30.0)}]
            }
        },
        fixed={"calm/a/10": run(0.0, 15.3)},
    )


def test_rows(results: Results) -> None:
    found = {row.name: row for row in rows(results)}
    assert found["r_cost"].value == pytest.approx((1.02 * 1.1) ** 0.5, abs=1e-4)
    assert found["r_cost"].met
    assert found["late_ok_share"].value == 0.75
    assert "calm/a/40 1.00 %" in found["late_ok_share"].how
    assert found["r_cost_noreject"].value == pytest.approx(1.2**0.5, abs=1e-4)
    assert not found["r_cost_noreject"].met  # half of its runs are late
    assert found["r_cost_worst"].value == 1.1
    assert found["surge_floor_pp"].value == 1.0
    assert found["surge_floor_pp"].met  # at 1.2 times the oracle
    assert found["r_tuned"].value == pytest.approx(1.4)  # one case has a baseline that passes
    assert found["r_tuned_reject"].value == pytest.approx((1.0 * 10.9 / 11.0) ** 0.5, abs=1e-4)
    assert not found["r_tuned_reject"].met  # one is below 1
    assert found["r_fixed_reject"].value == 1.5
    assert found["r_default"].value == pytest.approx(0.06 / 0.0015)
    assert found["r_default"].met  # 2 and 4 times the cost
    assert found["flash_late_ratio"].value == pytest.approx(0.2 / 0.03, abs=1e-3)
    assert found["table_error_ok"].value == 0.5


def test_a_surge_that_costs_too_much_is_not_met(results: Results) -> None:
    results.conch["flash/a/40", "reject"] = [run(0.02, 13.1)]
    row = next(row for row in rows(results) if row.name == "surge_floor_pp")
    assert row.value == 0.0
    assert not row.met


def test_what_was_not_measured_is_absent() -> None:
    assert rows(Results()) == []
    calm = Results(
        reference={"calm/a/10": reference(True)},
        conch={("calm/a/10", "reject"): [run(0.001, 10.0)]},
    )
    assert {row.name for row in rows(calm)} == {"r_cost", "late_ok_share", "r_cost_worst"}


def test_means() -> None:
    assert geometric([1.0, 4.0]) == pytest.approx(2.0)
    assert ok_share([run(0.01, 1), run(0.0101, 1)]) == 0.5


def test_the_page_stands_alone_and_shows_every_case(results: Results) -> None:
    text = page(results, rows(results))
    assert "<script" not in text
    assert "http" not in text
    assert text.count("<svg") == 3
    assert "calm/a/40 (tractable)" in text
    kinds = {dot.kind for dot in dots(Book(results), "calm/a/10")}
    assert kinds == {"oracle", "floor", "conch", "conch, no reject", "nvidia"}
