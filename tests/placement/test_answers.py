"""What a placed service is told of the classes it is not on."""

from __future__ import annotations

from dataclasses import replace

from conch.observe.types import PlacementRequest
from conch.placement import plan
from conch.placement.fit import Fit
from tests.placement.worlds import A100, GI, L4, T4, node, service, world

KINDS = (
    replace(T4, price_per_h=0.5),
    replace(L4, price_per_h=0.8),
    replace(A100, price_per_h=3.4, spot_price_per_h=2.8),
)
FLEET = world(node("a", "t4", 2), node("b", "l4"), node("c", "a100", used=4), kinds=KINDS)


def told(request: PlacementRequest) -> list[tuple[str, str, str]]:
    verdicts = plan(FLEET, [request])[request.key].verdicts
    return [(v.class_name, v.reason, v.message) for v in verdicts]


def test_one_that_has_just_chosen_is_told_of_every_class() -> None:
    assert told(service()) == [
        ("t4", Fit.CHOSEN, "t4: 1 node, 1 of 2 GPUs free (1 more promised to pods without a node)"),
        ("l4", Fit.FITS, "l4: 1 node, 4 of 4 GPUs free; from 0.8 $/h each"),
        ("a100", Fit.FULL, "a100: 1 node, 0 of 4 GPUs free"),
    ]


def test_room_for_some_is_not_enough() -> None:
    verdicts = told(service("a", unbound=3))
    assert ("t4", Fit.FULL, "t4: 1 node, 2 of 2 GPUs free; room for 2 of 3 replicas") in verdicts
    assert [name for name, reason, _ in verdicts if reason == Fit.CHOSEN] == ["l4"]


def test_too_small_is_told_beside_the_chosen() -> None:
    assert told(service("a", min_memory_bytes=20 * GI))[0][:2] == ("t4", Fit.TOO_SMALL)


def test_one_that_stays_is_told_of_what_it_named_before() -> None:
    assert [name for name, *_ in told(service("a", current="l4", bound=1, unbound=0))] == ["l4"]
    named = service("a", "a100", "l4", "t4", current="l4", bound=1, unbound=0)
    assert [name for name, *_ in told(named)] == ["a100", "l4"]


def test_with_a_minimum_at_each_site_it_is_told_of_the_room_there() -> None:
    sites = {"berlin": (4, 1), "oslo": (2, 2), "elsewhere": (4, 0)}
    nodes = [replace(node(s, "l4", n, used=u), site=s) for s, (n, u) in sites.items()]
    cordoned = replace(node("rome", "l4", unschedulable=True), site="rome")
    inventory = world(*nodes, cordoned, kinds=KINDS)
    request = service("a", "l4", unbound=2, sites=("berlin", "oslo", "rome"), min_per_site=2)
    answer = plan(inventory, [request])[request.key]
    assert answer.site_room == {"berlin": 2, "oslo": 0}, "rome has no node that can be used"
    assert not plan(inventory, [replace(request, min_per_site=0)])[request.key].site_room
