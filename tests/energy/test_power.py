"""Whose watts are whose."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conch.energy.power import Use, Watts, attribute, modelled
from conch.observe.types import AcceleratorKind

L4 = AcceleratorKind(
    "l4", {}, "nvidia.com/gpu", 24 << 30, (8, 9), False, idle_watts=16, max_watts=72
)
SHARED = replace(L4, name="l4-shared", shared_by=2, idle_watts=8, max_watts=36)


def test_without_a_meter_it_is_modelled_from_utilisation() -> None:
    found = attribute([Use("a", L4, 1, elapsed_s=10, busy_s=5), Use("b", L4, 2)])
    assert found["a"] == Watts(16 + 0.5 * 56, estimated=True)
    assert found["b"] == Watts(32, estimated=True)  # not heard of: idle, both of its GPUs


def test_without_max_watts_nothing_is_known() -> None:
    assert attribute([Use("a", replace(L4, max_watts=None), 1, 10, 5)]) == {}


def test_idle_watts_above_the_maximum_are_taken_as_the_maximum() -> None:
    assert modelled(replace(L4, idle_watts=100), 1, 0.0) == 72


def test_overlapping_instances_are_no_more_than_fully_busy() -> None:
    assert Use("a", L4, 1, elapsed_s=10, busy_s=35).utilisation == 1.0
    assert Use("a", L4, 4, elapsed_s=10, busy_s=20).utilisation == 0.5


def test_a_meter_of_an_exclusive_gpu_is_believed() -> None:
    found = attribute([Use("a", L4, 2, 10, 5, {"GPU-1": 60.0, "GPU-2": 40.0})])
    assert found["a"] == Watts(100.0, estimated=False)


def test_a_gpu_without_its_meter_is_modelled_beside_the_metered_one() -> None:
    found = attribute([Use("a", L4, 2, 10, 0, {"GPU-1": 60.0})])
    assert found["a"] == Watts(60.0 + 16, estimated=True)


def test_the_pods_own_meter_goes_before_the_boards() -> None:
    found = attribute([Use("a", L4, 1, 10, 5, {"GPU-1": 60.0}, own_w=22.0)])
    assert found["a"] == Watts(22.0, estimated=False)


def test_a_shared_gpu_is_split_by_compute_time() -> None:
    board = {"GPU-1": 56.0}  # idle 16, so 40 for the work
    found = attribute([Use("a", SHARED, 1, 10, 3, board), Use("b", SHARED, 1, 10, 1, board)])
    assert found["a"] == Watts(8 + 30, estimated=True)
    assert found["b"] == Watts(8 + 10, estimated=True)


def test_of_a_shared_gpu_alone_on_it_a_pod_carries_its_part_of_the_idle_power() -> None:
    found = attribute([Use("a", SHARED, 1, 10, 3, {"GPU-1": 56.0})])
    assert found["a"] == Watts(8 + 40, estimated=True)


def test_pods_that_share_a_gpu_of_a_class_not_known_to_be_shared() -> None:
    board = {"GPU-1": 46.0}
    found = attribute([Use("a", L4, 1, 10, 0, board), Use("b", L4, 1, 10, 0, board)])
    assert found["a"] == found["b"] == Watts(23.0, estimated=True)


def test_a_boards_meter_says_nothing_about_its_mig_slices() -> None:
    mig = replace(L4, mig_profile="1g.5gb", idle_watts=7, max_watts=50)
    assert attribute([Use("a", mig, 1, 10, 0, {"GPU-1": 300.0})])["a"] == Watts(7.0, True)


@given(
    st.lists(st.floats(0, 100), min_size=1, max_size=6),
    st.floats(0, 1000),
    st.floats(0, 200),
)
def test_what_pods_get_of_a_board_is_what_it_draws(
    busy: list[float], board_w: float, idle_w: float
) -> None:
    kind = replace(L4, idle_watts=idle_w, max_watts=1000)
    uses = [Use(str(i), kind, 1, 100, b, {"GPU-1": board_w}) for i, b in enumerate(busy)]
    found = attribute(uses)
    assert sum(w.watts for w in found.values()) == pytest.approx(board_w, abs=1e-6)
    assert all(w.watts >= 0 for w in found.values())
