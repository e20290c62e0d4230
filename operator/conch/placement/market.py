"""Prices per unit of what is short, and a lower bound on the value of any plan.

The multipliers of a Lagrangian relaxation that takes the nodes of a class and capacity type as one,
by Held and Karp's subgradient with Polyak's step: https://doi.org/10.1287/opre.18.6.1138
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator, Sequence

from conch.observe.types import Tiers
from conch.placement.candidates import SPOT
from conch.placement.fit import LotKey
from conch.placement.ledger import Ledger
from conch.placement.options import Option
from conch.placement.seats import GOOD, OUTSIDE, Seat

_ROUNDS = 60  # of the subgradient
_PATIENCE = 3  # of them without a better bound, then steps get smaller

_Group = tuple[str, Tiers, LotKey]  # class, and what tells its lots apart
# A way to take an option, all replicas that may be on one lot there: its value, twice a group's
# number and the units taken there, and which option.
_Column = tuple[float, int, int, int, int, int]


class Market:
    """What is for sale, and who would buy it in which way."""

    def __init__(self, ledger: Ledger, seats: Sequence[Seat]) -> None:
        self._ledger = ledger
        self._numbers: dict[_Group, int] = {}
        self._supply: list[float] = []
        self._tables = [sorted(self._columns(seat.options)) for seat in seats]
        self._prices: list[float] = []
        self.bound = -math.inf

    def clear(self, reached: float) -> None:
        """Find prices; ``reached`` is the value of some plan."""
        supply = self._supply
        prices = [0.0] * len(supply)
        step, stalled = 1.0, 0
        for _ in range(_ROUNDS):
            bound, use = _relaxed(self._tables, prices)
            bound -= sum(map(operator.mul, prices, supply))
            use = list(map(operator.sub, use, supply))
            if bound > self.bound:
                self.bound, self._prices, stalled = bound, prices, 0
            else:
                stalled += 1
                if stalled == _PATIENCE:
                    step, stalled = step * 0.6, 0
            norm = sum(u * u for u, price in zip(use, prices, strict=True) if u > 0 or price > 0)
            if norm <= 0 or reached - bound <= GOOD:
                break
            rate = step * (reached - bound) / norm
            prices = [max(0.0, price + rate * u) for price, u in zip(prices, use, strict=True)]

    def fit(self, seats: Sequence[Seat]) -> None:
        """First fit, with options in the order of their value at these prices."""
        prices = self._prices
        for seat, table in zip(seats, self._tables, strict=True):
            tried: set[int] = set()
            for _, number in sorted(
                (value + prices[one] * units + prices[two] * more, number)
                for value, one, units, two, more, number in table
            ):
                if number not in tried and seat.take_all(self._ledger, seat.options[number]):
                    break
                tried.add(number)

    def _columns(self, options: Sequence[Option]) -> Iterator[_Column]:
        for number, option in enumerate(options):
            lots, values = option.candidates.lots, option.worth.lots
            count, replicas, base = option.shape.count, option.replicas, option.fixed()
            firm = [i for i, lot in enumerate(lots) if lot.capacity_type != SPOT]
            for position, value in enumerate(values):
                group = self._group(option, lots[position].key)
                if option.spot_limit >= replicas or position in firm:
                    yield base + replicas * value, group, replicas * count, group, 0, number
                    continue
                most = option.spot_limit
                rest = replicas - most
                for other in firm:
                    second = self._group(option, lots[other].key)
                    total = base + most * value + rest * values[other]
                    yield total, group, most * count, second, rest * count, number

    def _group(self, option: Option, lot: LotKey) -> int:
        group = (option.kind.name, option.candidates.filter_.tiers, lot)
        number = self._numbers.get(group)
        if number is None:
            self._numbers[group] = number = len(self._supply)
            self._supply.append(_supply(self._ledger, option, lot))
        return number


def _relaxed(tables: Sequence[Sequence[_Column]], prices: list[float]) -> tuple[float, list[float]]:
    """What everybody pays who takes the best at those prices, and the units taken."""
    use = [0.0] * len(prices)
    paid = 0.0
    for table in tables:
        lowest, chosen = OUTSIDE, None
        for column in table:
            if column[0] >= lowest:
                break
            reduced = column[0] + prices[column[1]] * column[2] + prices[column[3]] * column[4]
            if reduced < lowest:
                lowest, chosen = reduced, column
        paid += lowest
        if chosen is not None:
            use[chosen[1]] += chosen[2]
            use[chosen[3]] += chosen[4]
    return paid, use


def _supply(ledger: Ledger, option: Option, lot: LotKey) -> float:
    """Units of a class and capacity type that are free on any of its nodes, allowed or not."""
    if not option.shape.count:
        return 0.0
    resource = option.shape.resource
    return sum(
        ledger.free_of(index, resource)[0]
        for index in option.candidates.members
        if option.candidates.filter_.lot(ledger.node(index)) == lot
    )
