"""A planner that keeps what it knows answers as one that begins anew, whatever happened between."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from conch.observe.types import Inventory, PlacementRequest
from conch.placement import Planner, plan
from tests.placement.test_planner_properties import KINDS, demands, nodes, running

NAMES = [f"n{number}" for number in range(5)]


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[Inventory, list[PlacementRequest]]]:
    """Worlds one after the other: nodes that stay are the same objects, as in an inventory."""
    present = {name: draw(nodes(name)) for name in NAMES}
    worlds = []
    for _ in range(draw(st.integers(2, 4))):
        for name in draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=2)):
            if name in present and draw(st.booleans()):
                del present[name]
            else:
                present[name] = draw(nodes(name))
        kinds = KINDS if draw(st.booleans()) else KINDS[1:]
        inventory = Inventory(tuple(present[name] for name in sorted(present)), kinds)
        worlds.append((inventory, draw(st.one_of(demands(), running()))))
    return worlds


@given(histories())
@settings(max_examples=8, deadline=None)
def test_the_same_answers(worlds: list[tuple[Inventory, list[PlacementRequest]]]) -> None:
    planner = Planner()
    for inventory, requests in worlds:
        assert planner.plan(inventory, requests) == plan(inventory, requests)
