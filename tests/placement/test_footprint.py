"""What a replica takes of a GPU: the sum, the readings, and which classes are refused for it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from conch.api.conditions import Reason
from conch.observe.types import AcceleratorKind, Footprint, Inventory, PlacementRequest
from conch.placement import plan
from conch.placement.fit import Fit, class_refusal
from conch.placement.footprint import (
    CUDA_CONTEXT_BYTES,
    CUDA_POOL_BYTES,
    FALL_S,
    Part,
    Peak,
    estimated,
    measured,
    used_bytes,
)
from conch.triton.configuration import ModelConfig, OnGpu
from tests.placement.worlds import GI, L4, T4, kind, node, service, world

BESIDE = CUDA_CONTEXT_BYTES + CUDA_POOL_BYTES
ON_GPU = {"m": ModelConfig(on_gpu=OnGpu(1))}


def test_the_sum_is_shown() -> None:
    found = estimated([Part(12 * GI, OnGpu(2))], 1)
    assert found == Footprint(
        24 * GI + BESIDE,
        "estimated: 12Gi of model files x 2 instances + 512Mi CUDA context + 64Mi CUDA memory pool",
    )


@pytest.mark.parametrize(
    ("parts", "units", "files", "words"),
    [
        ([Part(GI, OnGpu(1))], 1, GI, "1Gi of model files x 1 instance +"),
        ([Part(GI, OnGpu(1))], 4, GI, "1Gi of model files x 1 instance +"),
        ([Part(8 * GI, OnGpu(1, spread=True))], 4, 2 * GI, "8Gi of model files x 1 instance / 4 u"),
        ([Part(9, OnGpu(1, spread=True))], 2, 5, "under 1Mi of model files x 1 instance / 2 un"),
        ([Part(GI, OnGpu(2)), Part(GI, OnGpu(1))], 1, 3 * GI, "3Gi of files of 2 models"),
        ([Part(GI, OnGpu(1)), Part(GI, OnGpu(0))], 1, GI, "1Gi of model files x 1 instance +"),
    ],
)
def test_sums(parts: list[Part], units: int, files: int, words: str) -> None:
    found = estimated(parts, units)
    assert found is not None
    assert found.memory_bytes == files + BESIDE
    assert words in found.words


def test_inputs_and_outputs_of_full_batches_are_in_the_sum() -> None:
    found = estimated([Part(GI, OnGpu(2, tensor_bytes=300 << 20)), Part(GI, OnGpu(1))], 1)
    assert found is not None
    assert found.memory_bytes == 3 * GI + (300 << 20) + BESIDE
    assert (
        "models, once per instance + 300Mi of inputs and outputs of full batches +" in found.words
    )
    small = estimated([Part(GI, OnGpu(1, tensor_bytes=9))], 1)
    assert small is not None
    assert "+ under 1Mi of inputs and outputs of full batches" in small.words


def test_a_server_without_anything_on_a_gpu_takes_nothing_of_it() -> None:
    assert estimated([Part(GI, OnGpu(0))], 1) is None


@pytest.mark.parametrize(
    ("gpus", "models", "change", "units", "used"),
    [
        ({"G1": 5 * GI}, {}, {}, 1, 5 * GI),
        ({"G1": 5 * GI, "G2": 6 * GI}, {}, {}, 2, 6 * GI),
        ({"G1": 5 * GI, "G2": 6 * GI}, {}, {}, 1, None),  # it sees what is others'
        ({}, {}, {}, 1, None),
        ({"G1": 5 * GI}, {}, {"shared_by": 4}, 1, None),
        ({"G1": 5 * GI}, {"m": GI}, {"shared_by": 4}, 1, GI + BESIDE),
        ({"G1": 5 * GI}, {"m": GI}, {"mig_profile": "1g.5gb"}, 1, GI + BESIDE),
        ({"G1": 5 * GI}, {"other": GI}, {"shared_by": 4}, 1, None),
        ({"G1": 5 * GI}, {"m": GI}, {"resource": ""}, 1, None),
    ],
)
def test_readings_that_are_the_servers_own(
    gpus: dict[str, int],
    models: dict[str, int],
    change: dict[str, object],
    units: int,
    used: int | None,
) -> None:
    on = replace(L4, **change)  # type: ignore[arg-type]
    assert used_bytes(gpus, models, ON_GPU, on, units) == used


def test_a_backend_that_takes_all_there_is_says_nothing_about_need() -> None:
    configs = {**ON_GPU, "llm": ModelConfig(on_gpu=OnGpu(1, spread=True, fills=True))}
    assert used_bytes({"G1": 20 * GI}, {"m": GI, "llm": GI}, configs, L4, 1) is None


@pytest.mark.parametrize(("read", "told"), [(10 * GI, 10 * GI), (20 * GI, None)])
def test_where_no_backend_is_known_a_full_gpu_tells_nothing(read: int, told: int | None) -> None:
    assert used_bytes({"G1": read}, {}, None, L4, 1) == told
    assert used_bytes({"G1": read}, {"m": GI}, None, replace(L4, shared_by=2), 1) is None


def test_a_peak_rises_at_once_and_falls_after_hours() -> None:
    peak = Peak(100, 0.0).seen(150, 10.0)
    assert peak.memory_bytes == 150
    assert peak.seen(152, 11.0).memory_bytes == 150, "noise"
    low = peak
    for at_s in range(11, int(FALL_S), 600):
        low = low.seen(90, at_s)
        assert low.memory_bytes == 150
    assert low.seen(80, 10.0 + FALL_S).memory_bytes == 90
    again = low.seen(149, FALL_S).seen(80, 10.0 + FALL_S)
    assert again.memory_bytes == 150, "it was reached again"


FOUND = Footprint(20 * GI, "estimated: …")


@pytest.mark.parametrize(
    ("footprint", "declared", "on", "refusal"),
    [
        (FOUND, 0, T4, Fit.TOO_SMALL),
        (FOUND, 0, L4, None),
        (FOUND, 0, kind("unknown", 0), None),
        (None, 0, T4, None),
        (FOUND, 8 * GI, T4, None),  # who declares knows better
        (FOUND, 24 * GI, L4, Fit.TOO_SMALL),
        (replace(FOUND, fits_on=frozenset({"t4"})), 0, T4, None),
        (replace(FOUND, fits_on=frozenset({"t4"})), 16 * GI, T4, Fit.TOO_SMALL),
        (FOUND, 0, kind("cpu-like", 0, resource=""), None),
    ],
)
def test_what_is_known_decides_where_nothing_is_declared(
    footprint: Footprint | None, declared: int, on: AcceleratorKind, refusal: Fit | None
) -> None:
    asked = service(min_memory_bytes=declared, footprint=footprint)
    assert class_refusal(on, asked) is refusal


def test_the_reason_holds_the_sum() -> None:
    found = estimated([Part(20 * GI, OnGpu(1))], 1)
    asked = service("a", "t4", footprint=found)
    assignment = plan(world(node("n1", "t4")), [asked])[asked.key]
    assert assignment.reason is Reason.NOTHING_FITS
    assert assignment.message == (
        "t4: needs 20.6Gi (estimated: 20Gi of model files x 1 instance + 512Mi CUDA context "
        "+ 64Mi CUDA memory pool), has 15Gi"
    )


def test_a_service_that_needs_more_goes_where_there_is_more() -> None:
    small, large = service("a"), service("b", footprint=FOUND)
    nodes = world(node("n1", "t4"), node("n2", "l4"))
    found = plan(nodes, [small, large])
    assert [found[s.key].kind for s in (small, large)] == [T4, L4]


def test_a_service_stays_where_it_runs_whatever_is_estimated() -> None:
    proven = replace(FOUND, fits_on=frozenset({"t4"}))
    asked = service("a", "t4", "l4", current="t4", bound=1, unbound=0, footprint=proven)
    nodes = world(node("n1", "t4"), node("n2", "l4"))
    assert plan(nodes, [asked])[asked.key].kind == T4
    unproven = replace(asked, footprint=FOUND)
    assert plan(nodes, [unproven])[asked.key].kind == L4


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 100),
            st.sets(st.sampled_from(["t4", "l4", "a100"]), max_size=2),
            st.sampled_from([0, 0, 16]),
        ),
        min_size=2,
        max_size=6,
    )
)
def test_each_service_is_judged_by_its_own_figure(
    asked: list[tuple[int, set[str], int]],
) -> None:
    requests = [
        service(
            f"s{i}",
            min_memory_bytes=declared * GI,
            footprint=Footprint(need * GI, "words", fits_on=frozenset(fits_on)) if need else None,
        )
        for i, (need, fits_on, declared) in enumerate(asked)
    ]
    nodes = world(*(node(name, name, units=8) for name in ("t4", "l4", "a100")))
    together = plan(nodes, requests)
    for request in requests:
        alone = {v.class_name: v.reason for v in plan(nodes, [request])[request.key].verdicts}
        told = {v.class_name: v.reason for v in together[request.key].verdicts}
        too_small = {name for name, reason in alone.items() if reason == Fit.TOO_SMALL}
        assert {name for name, reason in told.items() if reason == Fit.TOO_SMALL} == too_small


def test_more_than_declared_is_told_only_where_it_was_seen() -> None:
    nodes = world(node("n1", "l4"))
    asked = service("a", "l4", min_memory_bytes=12 * GI, footprint=measured(int(14.2 * GI)))
    assert "; it takes 14.2Gi of a unit's memory, and minMemory says 12Gi" in _told(nodes, asked)
    for footprint in (measured(12 * GI), FOUND, None):
        assert "minMemory" not in _told(nodes, replace(asked, footprint=footprint))
    undeclared = replace(asked, min_memory_bytes=0)
    assert "minMemory" not in _told(nodes, undeclared)


def _told(nodes: Inventory, asked: PlacementRequest) -> str:
    return plan(nodes, [asked])[asked.key].message
