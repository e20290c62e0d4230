"""churn_moves: how often services that run change their class while demand stays as it is."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from conch.api import names
from conch.kube import views
from conch.observe.types import (
    Assignment,
    Inventory,
    Key,
    NodeCapacity,
    Outlook,
    PlacementRequest,
    Prospect,
)
from conch.placement import Planner
from conch.reconcile.moves import LOOK_S, Moves
from conch.reconcile.prospects import fed, steady
from e2e.bench.figure import Context, Figure, Result
from e2e.placement import rules
from e2e.placement.fleets import LISTED, fleet, service, takes, with_pod

FLEETS, NODES, SERVICES, PLANS = 5, 200, 100, 60
SEED = 40
NOISE = 0.05
_PER_H = 6  # moves, as the operator's settings have it
_EAGER = 3  # moves allowed per plan in the second run


@dataclass(slots=True)
class Life:
    """A fleet whose services run; every replica has a node."""

    world: Inventory
    requests: list[PlacementRequest]
    planner: Planner = field(default_factory=Planner)
    bound: dict[Key, list[str]] = field(default_factory=dict)  # nodes of replicas
    on: dict[Key, str] = field(default_factory=dict)  # class
    moves: Counter[int] = field(default_factory=Counter)  # by plan
    waiting: int = 0  # replicas that found no room, summed over plans
    outlooks: dict[Key, Outlook] = field(default_factory=dict)
    mover: Moves = field(default_factory=lambda: Moves(_PER_H))

    def step(self, number: int, demand: Mapping[Key, float], eager: bool) -> None:
        """One plan, a minute after the one before, and what comes of it."""
        asked = [self._asked(request, demand[request.key]) for request in self.requests]
        there = self._there()
        world = replace(self.world, nodes=tuple(there.values()))
        if eager:
            plans = self.planner.plan(world, asked, _EAGER)
        else:
            self.mover.begin({one.key: str(one.key) for one in asked}, number * LOOK_S)
            noted = {one.key: self._noted(one) for one in asked}
            plans = self.planner.plan(world, noted.values())
            plans = self.mover.plan(self.planner.plan, world, noted, plans)
        for request in asked:
            plan = plans[request.key]
            if plan.kind is None:
                self.waiting += request.unbound
                continue
            if request.current and plan.kind.name != request.current:
                self.moves[number] += 1
                self.bound[request.key] = []
                there = self._there()
            self.on[request.key] = plan.kind.name
            self._bind(request, plan, there)

    def _asked(self, request: PlacementRequest, demand: float) -> PlacementRequest:
        key = request.key
        asked = replace(request, demand_rps=demand, current=self.on.get(key, ""))
        if not asked.current:
            return asked
        wanted = rules.replicas(asked, asked.current)
        here = self.bound[key] = self.bound.get(key, [])[:wanted]
        rates = {name: Prospect(rps, False) for name, rps in request.capacity_rps.items()}
        seen = steady(self.outlooks.get(key), Outlook(demand, rates))
        self.outlooks[key] = seen
        capacities, demand_rps = fed(seen, asked.current, len(here))
        asked = replace(asked, demand_rps=demand_rps, capacity_rps=capacities)
        return replace(asked, bound=len(here), unbound=wanted - len(here))

    def _noted(self, request: PlacementRequest) -> PlacementRequest:
        """All that have their replicas are well: nobody is late here."""
        on = {names.LABEL_ACCELERATOR: request.current}
        ready = views.PodStatus(conditions=(views.StatusCondition("Ready", "True"),))
        pods = [
            views.Pod(views.Metadata(labels=on), spec=views.PodSpec(node_name=node), status=ready)
            for node in self.bound.get(request.key, ())
        ]
        able = request.bound > 0 and not request.unbound
        return self.mover.note(request, pods, able)

    def _there(self) -> dict[str, NodeCapacity]:
        nodes = {node.name: node for node in self.world.nodes}
        by_key = {request.key: request for request in self.requests}
        for key, bound in self.bound.items():
            for name in bound:
                nodes[name] = with_pod(nodes[name], by_key[key])
        return nodes

    def _bind(
        self, request: PlacementRequest, plan: Assignment, there: dict[str, NodeCapacity]
    ) -> None:
        assert plan.kind is not None
        wanted = plan.kind.node_selector.items()
        here = self.bound.setdefault(request.key, [])
        for share in plan.shares:
            pool = [
                node.name
                for node in there.values()
                if (node.capacity_type, node.zone) == (share.capacity_type, share.zone)
                and wanted <= node.labels.items()
            ]
            for _ in range(share.replicas):
                name = next((n for n in pool if takes(there[n], request)), None)
                if name is None:
                    self.waiting += 1
                    continue
                there[name] = with_pod(there[name], request)
                here.append(name)


def _life(seed: int) -> Life:
    rng = random.Random(seed)
    products = rng.sample(LISTED, 8)
    world = fleet(rng, products, NODES, taken=0.6)
    return Life(world, [service(rng, f"s{n:03}", products, 20) for n in range(SERVICES)])


def _run(seed: int, eager: bool) -> Life:
    life = _life(seed)
    rng = random.Random(seed)
    usual = {request.key: request.demand_rps or 0.0 for request in life.requests}
    life.step(0, usual, eager)
    for number in range(1, PLANS + 1):
        noisy = {key: rps * rng.uniform(1 - NOISE, 1 + NOISE) for key, rps in usual.items()}
        life.step(number, noisy, eager)
    return life


def _measure(ctx: Context) -> Result:
    lives = [_run(SEED + n, eager=False) for n in range(FLEETS)]
    free = [_run(SEED + n, eager=True) for n in range(FLEETS)]
    late = sum(moves for life in free for plan, moves in life.moves.items() if plan > PLANS // 2)
    total = sum(life.moves.total() for life in free)
    return Result(
        sum(life.moves.total() for life in lives),
        f"changes of class in {PLANS} plans, a minute apart, for each of {FLEETS} fleets of "
        f"{NODES} nodes and {SERVICES} services (seeds {SEED}…), demand ±{NOISE:.0%} anew for "
        f"every plan, replicas following it on the class; {_PER_H} moves per hour allowed, as the "
        f"operator has it; {sum(life.waiting for life in lives)} replicas found no room, summed "
        f"over plans; with {_EAGER} moves allowed in every plan, without the operator's patience: "
        f"{total}, {late} of them in the second half",
    )


CHURN = Figure("churn_moves", "", 0, "lower", "moves at steady demand, many plans", _measure)
