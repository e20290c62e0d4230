"""The solver's and the search's answers for small fleets, against every plan there is."""

from __future__ import annotations

from dataclasses import replace

import pytest

from conch.observe.types import Provisioning
from conch.placement import Planner, exact
from conch.placement.ledger import Ledger
from conch.placement.options import LIVE, Offers, Policy
from conch.placement.provision import Provisions
from conch.placement.search import search
from conch.placement.seats import Seat, total
from e2e.placement import optimal
from tests.placement.worlds import L4, T4, node, service, world


@pytest.mark.parametrize("seed", [13, 16, 46, 49, 77, 104, 199, 310, 357, 447])
def test_best_of_small_fleets(seed: int) -> None:
    seen = optimal.compare(*optimal.world(seed))
    assert seen.exact is not None
    assert seen.exact[:2] == seen.best[:2] == seen.greedy[:2]
    assert seen.exact[2] == pytest.approx(seen.best[2])
    assert seen.greedy[2] <= 1.05 * seen.best[2] + 1e-9


def test_a_pool_that_does_not_pack_is_split() -> None:
    # Together six units; no two nodes hold three replicas of two units and a pod of three.
    fleet = world(node("a", "l4", 3), node("b", "l4", 3))
    requests = [service("a", "l4", count=2, unbound=2), service("b", "l4", "t4", count=3)]
    ledger = Ledger(fleet)
    offers = Offers(ledger, fleet.kinds, LIVE)
    seats = [Seat(request, offers.options(request)) for request in requests]
    answer = exact.solve(ledger, seats, [False] * len(seats))
    assert answer is not None
    placed = [choice is not None for choice in answer.options]
    assert placed.count(True) == 1


def test_nobody_served_is_left_out_for_what_it_saves() -> None:
    fleet = world(node("a", "l4", 2))
    requests = [service("a", "l4", count=2), service("b", "l4"), service("c", "l4")]
    ledger = Ledger(fleet)
    offers = Offers(ledger, fleet.kinds, LIVE)
    seats = [Seat(request, offers.options(request)) for request in requests]
    answer = exact.solve(ledger, seats, [True, False, False])
    assert answer is not None
    assert [choice is not None for choice in answer.options] == [True, False, False]


def test_same_input_same_answer() -> None:
    there, requests = optimal.world(7)
    plans = [Planner(Policy(exact=True)).plan(there, requests) for _ in range(2)]
    assert plans[0] == plans[1]


def test_a_unit_to_come_is_dearer_than_one_that_is_there() -> None:
    """Of two services, only one of which could be elsewhere: one node is added and not two."""
    how = Provisioning(max_nodes=2, units_per_node=1, wait_s=600.0)
    added, dear = replace(L4, price_per_h=1.0, provisioning=how), replace(T4, price_per_h=2.0)
    fleet = world(node("a", "l4", 1), node("t", "t4", 1), kinds=(added, dear))
    fleet = Provisions().lay_on(fleet)
    ledger = Ledger(fleet)
    offers = Offers(ledger, fleet.kinds, LIVE)
    asked = [service("any"), service("choosy", "l4", unbound=2)]
    seats = [Seat(request, offers.options(request)) for request in asked]
    answer = exact.solve(ledger, seats, [True, True])
    assert answer is not None
    chosen = {
        seat.request.key.name: (choice[0].kind.name, sorted(ledger.node(i).name for i, _ in at))
        for seat, choice in zip(seats, answer.options, strict=True)
        if choice is not None and (at := choice[1])
    }
    assert chosen == {"any": ("t4", ["t"]), "choosy": ("l4", ["a", "l4/0000"])}
    assert answer.value == pytest.approx(2.0 + 1.0 + 11.0)
    assert search(ledger, seats) <= answer.value
    assert total(seats) == pytest.approx(answer.value)


def test_too_large_for_the_solver_is_left_to_the_search() -> None:
    fleet = world(*(node(f"n{i}", "l4") for i in range(3)))
    ledger = Ledger(fleet)
    offers = Offers(ledger, (L4, T4), LIVE)
    seats = [Seat(r, offers.options(r)) for r in (service(f"s{i}") for i in range(2000))]
    assert exact.solve(ledger, seats, [False] * len(seats)) is None
