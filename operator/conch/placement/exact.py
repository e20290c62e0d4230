"""The exact answer for the same options: a mixed integer programme, solved by HiGHS.

Nodes that stand in the same lots are one pool at first, with rows that say how many replicas of
each size its nodes can hold; an answer that does not pack node by node splits the pools that failed
into nodes, whose rows are exact, and is asked for again. Same input, same answer: one thread, and
the limits are on sizes and on nodes of the search tree. The limit on time is for accidents: past it
there is no answer, and the greedy's stands.

``highspy`` and ``numpy`` are imported when first needed: they cost tens of MiB, which an operator
that is never short of anything need not pay.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from conch.placement.candidates import SPOT, Shape
from conch.placement.fit import LotKey
from conch.placement.ledger import Ledger
from conch.placement.options import Option
from conch.placement.seats import OUTSIDE, Seat

_COLUMNS = 2_000
_TREE_NODES = 2_000
_TIME_LIMIT_S = 0.5
_ROUNDS = 6  # of splitting pools


@dataclass(frozen=True, slots=True)
class Answer:
    """Every seat's replicas by node (None: left out), and the sum of values."""

    options: list[tuple[Option, list[tuple[int, int]]] | None]
    value: float


@dataclass(slots=True, eq=False)
class _Pool:
    nodes: list[int]
    spot: bool


@dataclass(slots=True)
class _Model:
    """Columns and rows as they are collected."""

    cost: list[float] = field(default_factory=list)
    upper: list[float] = field(default_factory=list)
    row_lower: list[float] = field(default_factory=list)
    row_upper: list[float] = field(default_factory=list)
    starts: list[int] = field(default_factory=lambda: [0])
    index: list[int] = field(default_factory=list)
    factor: list[float] = field(default_factory=list)

    def column(self, cost: float, upper: float) -> int:
        self.cost.append(cost)
        self.upper.append(upper)
        return len(self.cost) - 1

    def row(self, terms: Iterable[tuple[int, float]], lower: float, upper: float) -> None:
        for column, factor in terms:
            self.index.append(column)
            self.factor.append(factor)
        self.starts.append(len(self.index))
        self.row_lower.append(lower)
        self.row_upper.append(upper)


def solve(ledger: Ledger, seats: Sequence[Seat], served: Sequence[bool]) -> Answer | None:
    """The best for all seats at once, nothing of them being reserved; None: not to be had.

    Those ``served`` are not left out, whatever that saves: who is, is decided by fairness.
    """
    if sum(len(seat.options) for seat in seats) > _COLUMNS // 2:
        return None
    pools = _pools(ledger, seats)
    for _ in range(_ROUNDS):
        programme = _Programme(ledger, seats, pools, served)
        if programme.columns > _COLUMNS:
            return None
        values = programme.run()
        if values is None:
            return None
        answer, failed = programme.pack(values)
        if not failed:
            return answer
        pools = [
            part
            for pool in pools
            for part in ([_Pool([i], pool.spot) for i in pool.nodes] if pool in failed else [pool])
        ]
    return None


def relaxed(ledger: Ledger, seats: Sequence[Seat]) -> float:
    """A lower bound on the sum of values: the linear relaxation, with pools as one."""
    programme = _Programme(ledger, seats, _pools(ledger, seats), [False] * len(seats))
    bound = programme.relax()
    assert bound is not None, "leaving everybody out is always possible"
    return bound


def take(ledger: Ledger, seats: Sequence[Seat], answer: Answer) -> None:
    """Give every seat what the answer says; nothing of them may be reserved."""
    for seat, chosen in zip(seats, answer.options, strict=True):
        if chosen is not None:
            option, grants = chosen
            for index, replicas in grants:
                seat.take_on(ledger, option, index, replicas)


def _pools(ledger: Ledger, seats: Sequence[Seat]) -> list[_Pool]:
    """Nodes that stand in the same lots of everybody."""
    member: dict[int, list[tuple[int, LotKey]]] = {}
    known = {id(o.candidates): o.candidates for seat in seats for o in seat.options}
    for number, candidates in enumerate(known.values()):
        for lot in candidates.lots:
            for index in lot.nodes:
                member.setdefault(index, []).append((number, lot.key))
    pools: dict[tuple[tuple[int, LotKey], ...], list[int]] = {}
    for index in sorted(member):
        pools.setdefault(tuple(member[index]), []).append(index)
    return [_Pool(nodes, stands[0][1][0] == SPOT) for stands, nodes in pools.items()]


class _Programme:
    """One formulation: who takes which option, and how many of its replicas each pool gets."""

    def __init__(
        self,
        ledger: Ledger,
        seats: Sequence[Seat],
        pools: Sequence[_Pool],
        served: Sequence[bool],
    ) -> None:
        self._ledger = ledger
        self._seats = seats
        self._pools = pools
        self._of_node = {index: pool for pool in pools for index in pool.nodes}
        self._by_candidates: dict[int, list[_Pool]] = {}
        self._slots: dict[tuple[int, Shape], int] = {}
        self._model = _Model()
        # Of each seat: per option its column, and per pool that of its replicas there.
        self._plan: list[list[tuple[Option, int, list[tuple[_Pool, int]]]]] = []
        self._users: dict[int, list[tuple[int, Shape]]] = {id(pool): [] for pool in pools}
        self._base = OUTSIDE * len(seats)
        for seat, must in zip(seats, served, strict=True):
            self._seat(seat, must=must)
        for pool in pools:
            self._pool(pool)

    @property
    def columns(self) -> int:
        """How large it is."""
        return len(self._model.cost)

    def _seat(self, seat: Seat, *, must: bool) -> None:
        model = self._model
        plan = []
        for option in seat.options:
            chosen = model.column(option.fixed() - OUTSIDE, 1)
            parts = []
            for pool in self._of(option):
                most = min(option.replicas, self._most(pool, option.shape))
                if most:
                    column = model.column(self._worth(option, pool), most)
                    parts.append((pool, column))
                    self._users[id(pool)].append((column, option.shape))
            model.row([(c, 1) for _, c in parts] + [(chosen, -option.replicas)], 0, 0)
            if option.spot_limit < option.replicas:
                spot = [(c, 1.0) for pool, c in parts if pool.spot]
                model.row([*spot, (chosen, -option.spot_limit)], -math.inf, 0)
            plan.append((option, chosen, parts))
        model.row([(chosen, 1) for _, chosen, _ in plan], int(must), 1)
        self._plan.append(plan)

    def _pool(self, pool: _Pool) -> None:
        """What the pool's nodes hold together: of each resource, and of replicas of each size."""
        model, users = self._model, self._users[id(pool)]
        by_resource: dict[str, list[tuple[int, Shape]]] = {}
        for column, shape in users:
            by_resource.setdefault(shape.resource if shape.count else "", []).append(
                (column, shape)
            )
        for resource, those in by_resource.items():
            if not resource:
                continue
            free = [self._ledger.free_of(index, resource)[0] for index in pool.nodes]
            for size in sorted({shape.count for _, shape in those} | {1}):
                terms = [(c, float(s.count // size)) for c, s in those if s.count >= size]
                model.row(terms, 0, sum(units // size for units in free))
        hosts = [self._ledger.free_of(index, "") for index in pool.nodes]
        _, cpu, memory, pods = (sum(column) for column in zip(*hosts, strict=True))
        model.row([(c, float(s.cpu_milli)) for c, s in users], 0, cpu)
        model.row([(c, s.memory_bytes / 2**20) for c, s in users], 0, memory / 2**20)
        model.row([(c, 1.0) for c, _ in users], 0, pods)

    def _of(self, option: Option) -> list[_Pool]:
        known = self._by_candidates.get(id(option.candidates))
        if known is None:
            found = {
                id(self._of_node[i]): self._of_node[i]
                for lot in option.candidates.lots
                for i in lot.nodes
            }
            self._by_candidates[id(option.candidates)] = known = list(found.values())
        return known

    def _worth(self, option: Option, pool: _Pool) -> float:
        return option.worth.by_lot[option.candidates.filter_.lot(self._ledger.node(pool.nodes[0]))]

    def _most(self, pool: _Pool, shape: Shape) -> int:
        key = (id(pool), shape)
        if key not in self._slots:
            self._slots[key] = sum(self._ledger.slots_on(i, shape) for i in pool.nodes)
        return self._slots[key]

    # --- the solver ------------------------------------------------------------------------------

    def run(self) -> Sequence[float] | None:
        """The columns of the best answer; None if it was not found and proven."""
        solver = self._solved(integer=True)
        return None if solver is None else list(solver.getSolution().col_value)

    def relax(self) -> float | None:
        """The value of the linear relaxation."""
        solver = self._solved(integer=False)
        if solver is None:
            return None
        return float(solver.getInfo().objective_function_value) + self._base

    def _solved(self, *, integer: bool) -> Any:
        """The solver, if it has solved the programme to the end."""
        import highspy
        import numpy as np

        model, count = self._model, self.columns
        lp = highspy.HighsLp()
        lp.num_col_, lp.num_row_ = count, len(model.row_lower)
        lp.col_cost_ = np.array(model.cost)
        lp.col_lower_ = np.zeros(count)
        lp.col_upper_ = np.array(model.upper, dtype=float)
        lp.row_lower_ = np.array(model.row_lower, dtype=float)
        lp.row_upper_ = np.array(model.row_upper, dtype=float)
        lp.a_matrix_.format_ = highspy.MatrixFormat.kRowwise
        lp.a_matrix_.start_ = np.array(model.starts, dtype=np.int32)
        lp.a_matrix_.index_ = np.array(model.index, dtype=np.int32)
        lp.a_matrix_.value_ = np.array(model.factor, dtype=float)
        if integer:
            lp.integrality_ = [highspy.HighsVarType.kInteger] * count
        solver: Any = highspy.Highs()  # type: ignore[no-untyped-call]
        for name, value in (
            ("output_flag", False),
            ("threads", 1),
            ("random_seed", 0),
            ("mip_rel_gap", 0.0),
            ("mip_abs_gap", 1e-7),
        ):
            solver.setOptionValue(name, value)
        if integer:
            solver.setOptionValue("mip_max_nodes", _TREE_NODES)
            solver.setOptionValue("time_limit", _TIME_LIMIT_S)
        solver.passModel(lp)
        solver.run()
        done = solver.getModelStatus() == highspy.HighsModelStatus.kOptimal
        return solver if done else None

    # --- node by node ----------------------------------------------------------------------------

    def pack(self, values: Sequence[float]) -> tuple[Answer, list[_Pool]]:
        """The answer with every replica on a node, and the pools where that did not succeed."""
        wanted: dict[int, list[tuple[Shape, int, int]]] = {}
        options: list[tuple[Option, list[tuple[int, int]]] | None] = []
        total = 0.0
        for number, plan in enumerate(self._plan):
            options.append(None)
            for option, chosen, parts in plan:
                if values[chosen] < 0.5:
                    continue
                options[number] = (option, [])
                total += option.fixed()
                for pool, column in parts:
                    if replicas := round(values[column]):
                        total += replicas * self._worth(option, pool)
                        wanted.setdefault(id(pool), []).append((option.shape, replicas, number))
            if options[number] is None:
                total += OUTSIDE
        failed = []
        for pool in self._pools:
            grants = self._pack_pool(pool, wanted.get(id(pool), ()))
            if grants is None:
                failed.append(pool)
                continue
            for number, index, replicas in grants:
                chosen_option = options[number]
                assert chosen_option is not None
                chosen_option[1].append((index, replicas))
        return Answer(options, total), failed

    def _pack_pool(
        self, pool: _Pool, wanted: Iterable[tuple[Shape, int, int]]
    ) -> list[tuple[int, int, int]] | None:
        """Largest first, each on the fullest node that takes one; None: it does not fit."""
        ledger = self._ledger
        order = sorted(
            wanted, key=lambda w: (-w[0].count, -w[0].cpu_milli, -w[0].memory_bytes, w[2])
        )
        grants: list[tuple[int, int, int]] = []
        booked = []
        done = True
        for shape, replicas, number in order:
            left = replicas
            for index in sorted(pool.nodes, key=lambda i: (ledger.free_of(i, shape.resource), i)):
                for at, taken in ledger.reserve_on(index, shape, left):
                    grants.append((number, at, taken))
                    booked.append((at, taken, shape))
                    left -= taken
                if not left:
                    break
            if left:
                done = False
                break
        for at, taken, shape in booked:
            ledger.release([(at, taken)], shape)
        return grants if done else None
