"""Services with a minimum at each site go to a class that the sites have."""

from __future__ import annotations

from dataclasses import replace

from conch.observe.types import NodeCapacity
from conch.placement import plan
from conch.placement.ledger import Ledger
from conch.placement.options import LIVE, RANK, Offers
from conch.placement.seats import OUTSIDE
from tests.placement.worlds import L4, T4, kind, node, service, world

SITES = ("berlin", "oslo", "rome")


def at(site: str, accelerator: str) -> NodeCapacity:
    return replace(node(f"{accelerator}-{site}", accelerator), site=site)


FLEET = world(at("berlin", "l4"), *(at(site, "t4") for site in SITES), kinds=(L4, T4))


def test_one_that_all_sites_have_goes_before_the_order() -> None:
    request = service("a", "l4", "t4", sites=SITES, min_per_site=1, unbound=3)
    assert plan(FLEET, [request])[request.key].kind == T4


def test_without_a_minimum_the_order_holds() -> None:
    request = service("a", "l4", "t4", sites=SITES, unbound=3)
    assert plan(FLEET, [request])[request.key].kind == L4


def test_where_no_class_is_everywhere_the_one_that_most_sites_have() -> None:
    nodes = [at("berlin", "l4"), at("oslo", "t4"), at("rome", "t4")]
    request = service("a", "l4", "t4", sites=SITES, min_per_site=1)
    assert plan(world(*nodes, kinds=(L4, T4)), [request])[request.key].kind == T4


def test_the_last_of_many_classes_at_one_of_many_sites_is_better_than_none() -> None:
    kinds = tuple(kind(f"gpu{number}") for number in range(32))
    inventory = world(at("s0", "gpu31"), kinds=kinds)
    sites = tuple(f"s{number}" for number in range(32))
    request = service("a", *(k.name for k in kinds), sites=sites, min_per_site=1)
    (option,) = Offers(Ledger(inventory), kinds, LIVE).options(request)
    assert option.rank * RANK < OUTSIDE
    assert plan(inventory, [request])[request.key].kind == kinds[31]
