"""What a service optimises for: dollars, watts, or grams on the grids that are known."""

from dataclasses import replace

import pytest

from conch.observe.types import Inventory
from conch.placement import plan
from tests.placement.worlds import L4, T4, node, service, world

# The T4 is cheaper here, the L4 draws less, and the T4's nodes may stand on a cleaner grid.
KINDS = (
    replace(T4, price_per_h=0.4, max_watts=90.0),
    replace(L4, price_per_h=0.8, max_watts=72.0),
)
FLEET = world(node("n1", "t4"), node("n2", "l4"), kinds=KINDS)


def chosen(inventory: Inventory, optimise: str) -> str:
    request = service("a", optimise=optimise)
    kind = plan(inventory, [request])[request.key].kind
    assert kind is not None
    return kind.name


@pytest.mark.parametrize(
    ("optimise", "carbon", "name"),
    [
        ("Cost", {"t4": 900.0, "l4": 20.0}, "t4"),
        ("Energy", {"t4": 20.0, "l4": 900.0}, "l4"),
        ("Carbon", {"t4": 100.0, "l4": 400.0}, "t4"),
        ("Carbon", {"t4": 400.0, "l4": 400.0}, "l4"),
        ("Carbon", {}, "l4"),  # no grid is known: watts decide
    ],
)
def test_the_best_by_what_it_optimises(optimise: str, carbon: dict[str, float], name: str) -> None:
    assert chosen(replace(FLEET, carbon=carbon), optimise) == name
