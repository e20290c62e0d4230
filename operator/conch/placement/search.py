"""The greedy search: options for many services at once, deterministic, node by node.

Three steps. First fit: in fair order each service takes the best option that has room for all its
replicas. If not everybody got their best, classes in short supply get prices (the multipliers of a
Lagrangian relaxation, by subgradient), which also give a lower bound on what any plan is worth;
services choose again by value plus price. Then local search: a service moves to a better option, or
pushes another away, as long as the sum falls.

Who is served when there is not enough is not decided here.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, combinations, islice, permutations

from conch.observe.types import PlacementRequest
from conch.placement.ledger import SPOT, UNLIMITED, Grants, Ledger
from conch.placement.options import RANK, Option

_ROUNDS = 60  # of the subgradient
_PATIENCE = 3  # of them without a better bound, then steps get smaller
_PASSES = 4  # of the local search
_EJECTIONS = 8  # services a better option may push away, tried per option
_RIVALS = 6  # that choose again together with a service, up to three at a time
_TRIES = 1000  # services that step out of their place, in all
_LEFT_OUT = ""  # stands for the class of those who have none
GOOD = 1e-9  # what counts as no difference
# Being left out: bounds prices when not all can be served.
OUTSIDE = 100 * RANK

# Option, grants, spot left, value.
Held = tuple[Option | None, Grants, int, float]


@dataclass(slots=True, eq=False)
class Seat:
    """A service and what is reserved for it."""

    request: PlacementRequest
    options: Sequence[Option]
    option: Option | None = None
    grants: Grants = field(default_factory=list)
    spot_left: int = UNLIMITED
    value: float = OUTSIDE  # of what is reserved
    kept: bool = False  # it is on its class already

    @property
    def placed(self) -> int:
        """Replicas that have room."""
        return sum(replicas for _, replicas in self.grants)

    def choose(self, option: Option) -> None:
        """Have that option, with nothing reserved yet."""
        self.option, self.grants, self.spot_left = option, [], option.spot_limit
        self.value = option.fixed()

    def take(self, ledger: Ledger, option: Option, most: int) -> int:
        """Reserve up to so many more replicas there; how many found room."""
        if self.option is not option:
            self.choose(option)
        return self._hold(
            ledger, option, ledger.reserve(option.candidates, option.shape, most, self.spot_left)
        )

    def take_on(self, ledger: Ledger, option: Option, index: int, replicas: int) -> int:
        """Reserve up to so many more replicas on one node; how many found room."""
        if self.option is not option:
            self.choose(option)
        return self._hold(ledger, option, ledger.reserve_on(index, option.shape, replicas))

    def _hold(self, ledger: Ledger, option: Option, grants: Grants) -> int:
        found = 0
        for index, replicas in grants:
            capacity_type = ledger.node(index).capacity_type
            if capacity_type == SPOT:
                self.spot_left -= replicas
            self.value += replicas * option.worth.by_type[capacity_type]
            self.grants.append((index, replicas))
            found += replicas
        return found

    def leave(self, ledger: Ledger) -> None:
        """Give everything back."""
        if self.option is not None:
            ledger.release(self.grants, self.option.shape)
        self.option, self.grants, self.value = None, [], OUTSIDE

    def take_all(self, ledger: Ledger, option: Option) -> bool:
        """Reserve all replicas there, or none."""
        if not ledger.may_hold(option.candidates, option.shape, option.replicas, option.spot_limit):
            return False
        if self.take(ledger, option, option.replicas) == option.replicas:
            return True
        self.leave(ledger)
        return False

    def held(self) -> Held:
        """What it has, for ``put_back``."""
        return self.option, self.grants, self.spot_left, self.value

    def put_back(self, ledger: Ledger, held: Held) -> None:
        """Have again what it had; the room must be free."""
        self.option, self.grants, self.spot_left, self.value = held
        if self.option is not None:
            ledger.release([(index, -n) for index, n in self.grants], self.option.shape)


def search(ledger: Ledger, seats: Sequence[Seat]) -> float:
    """Find every seat an option with room for all its replicas; a lower bound on the sum of values.

    Seats that found none have no option afterwards; the others hold their reservations.
    """
    _first_fit(ledger, seats)
    least = sum(min((OUTSIDE, *(option.least for option in seat.options[:1]))) for seat in seats)
    if total(seats) <= least + GOOD:
        return least
    standing, held = _standing(seats), [seat.held() for seat in seats]
    first = total(seats)
    for seat in seats:
        seat.leave(ledger)
    alone = [_alone(ledger, seat) for seat in seats]
    least = sum(alone)
    contenders = [seat for seat, value in zip(seats, alone, strict=True) if value < OUTSIDE]
    lost = OUTSIDE * (len(seats) - len(contenders))
    if first > least + GOOD:
        market = _Market(ledger, contenders)
        market.clear(first - lost)
        market.fit(contenders)
        least = max(least, market.bound + lost)
    if _standing(seats) >= standing:
        for seat in seats:
            seat.leave(ledger)
        for seat, had in zip(seats, held, strict=True):
            seat.put_back(ledger, had)
    _Improvement(ledger, contenders).run(least - lost)
    return least


def _standing(seats: Sequence[Seat]) -> tuple[tuple[bool, ...], float]:
    """Who is left out, and the sum of values: less is better. Seats come in fair order, and nobody
    is left out for somebody later, whatever that saves.
    """
    return tuple(seat.option is None for seat in seats), total(seats)


def _alone(ledger: Ledger, seat: Seat) -> float:
    """What the service would get if it were the only one."""
    for option in seat.options:
        if ledger.may_hold(option.candidates, option.shape, option.replicas, option.spot_limit):
            room = ledger.room(option.candidates, option.shape, option.spot_limit)
            if room >= option.replicas:
                return option.least
    return OUTSIDE


def total(seats: Sequence[Seat]) -> float:
    """The sum of the seats' values."""
    return sum(seat.value for seat in seats)


# --- first fit -----------------------------------------------------------------------------------


def _first_fit(ledger: Ledger, seats: Sequence[Seat]) -> None:
    for seat in seats:
        for option in seat.options:
            if seat.take_all(ledger, option):
                break


# --- prices --------------------------------------------------------------------------------------

_Group = tuple[str, str]  # class, capacity type
# A way to take an option, all replicas that may be on one lot there: its value, twice a group's
# number and the units taken there, and which option.
_Column = tuple[float, int, int, int, int, int]


class _Market:
    """Prices per unit of what is short, and a lower bound on the value of any plan.

    Held and Karp's subgradient with Polyak's step: https://doi.org/10.1287/opre.18.6.1138
    """

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
                group = self._group(option, lots[position].capacity_type)
                if option.spot_limit >= replicas or position in firm:
                    yield base + replicas * value, group, replicas * count, group, 0, number
                    continue
                most = option.spot_limit
                rest = replicas - most
                for other in firm:
                    second = self._group(option, lots[other].capacity_type)
                    total = base + most * value + rest * values[other]
                    yield total, group, most * count, second, rest * count, number

    def _group(self, option: Option, capacity_type: str) -> int:
        group = (option.kind.name, capacity_type)
        number = self._numbers.get(group)
        if number is None:
            self._numbers[group] = number = len(self._supply)
            self._supply.append(_supply(self._ledger, option, capacity_type))
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


def _supply(ledger: Ledger, option: Option, capacity_type: str) -> float:
    """Units of a class and capacity type that are free on any of its nodes, allowed or not."""
    if not option.shape.count:
        return 0.0
    resource = option.shape.resource
    return sum(
        ledger.free_of(index, resource)[0]
        for index in option.candidates.members
        if ledger.node(index).capacity_type == capacity_type
    )


# --- local search --------------------------------------------------------------------------------


class _Improvement:
    """Moves of one service, or of two at once, that make the sum of values fall."""

    def __init__(self, ledger: Ledger, seats: Sequence[Seat]) -> None:
        self._ledger = ledger
        self._seats = seats
        self._tries = _TRIES
        self._on: dict[str, dict[int, Seat]] = {}  # by class
        for number in range(len(seats)):
            self._enter(number)

    def run(self, bound: float) -> None:
        """Improve until nothing gets better, or it is good enough, or enough was tried."""
        for _ in range(_PASSES):
            if total(self._seats) <= bound + GOOD:
                return
            regret = [
                (seat.options[0].least - seat.value, number)
                for number, seat in enumerate(self._seats)
                if seat.options and seat.value > seat.options[0].least + GOOD
            ]
            numbers = [number for _, number in sorted(regret)]
            if not sum(map(self._better, numbers)) and not sum(map(self._regroup, numbers)):
                return

    def _better(self, number: int) -> bool:
        """Whether that service found something better, perhaps at the price of another's."""
        seat = self._seats[number]
        before, held = seat.value, seat.held()
        for option in seat.options:
            if option.least >= before - GOOD or self._tries <= 0:
                return False
            if option is held[0]:
                continue
            short = self._ledger.short(option.candidates, option.shape, option.replicas)
            if short <= 0 and self._move(number, option, before):
                return True
            if short > 0 and self._push_away(number, option, before, short):
                return True
        return False

    def _move(self, number: int, option: Option, before: float) -> bool:
        seat = self._seats[number]
        held = self._step_out(number)
        if seat.take_all(self._ledger, option) and seat.value < before - GOOD:
            self._enter(number)
            return True
        seat.leave(self._ledger)
        self._step_in(number, held)
        return False

    def _push_away(self, number: int, option: Option, before: float, short: int) -> bool:
        """Take the option from a service that loses less by leaving it."""
        budget = before - option.least - GOOD
        losses = []
        for other, seat in self._on.get(option.kind.name, {}).items():
            if other == number or _units(seat) < short:
                continue
            loss = self._loss(seat, budget)
            if loss < budget:
                losses.append((loss, other))
        for loss, other in sorted(losses)[:_EJECTIONS]:
            if self._swap(number, other, option, before, budget - loss):
                return True
        return False

    def _swap(self, number: int, other: int, option: Option, before: float, spare: float) -> bool:
        seat, pushed = self._seats[number], self._seats[other]
        was = pushed.value
        mine, theirs = self._step_out(number), self._step_out(other)
        if seat.take_all(self._ledger, option):
            for instead in pushed.options:
                if instead.least >= was + before - option.least - GOOD:
                    break
                if instead is not theirs[0] and pushed.take_all(self._ledger, instead):
                    break
            unfair = pushed.option is None and (mine[0] is not None or other < number)
            if not unfair and seat.value + pushed.value < before + was - GOOD:
                self._enter(number)
                self._enter(other)
                return True
        seat.leave(self._ledger)
        pushed.leave(self._ledger)
        self._step_in(number, mine)
        self._step_in(other, theirs)
        return False

    def _loss(self, seat: Seat, budget: float) -> float:
        """The least a service loses that leaves for where there seems to be room, up to a limit."""
        most = seat.value + budget
        for option in seat.options:
            if option.least >= most:
                break
            if option is not seat.option and self._ledger.may_hold(
                option.candidates, option.shape, option.replicas, option.spot_limit
            ):
                return option.least - seat.value
        return OUTSIDE - seat.value

    def _regroup(self, number: int) -> bool:
        """Let that service choose again together with some that are where it could be."""
        seat = self._seats[number]
        better = [o.kind.name for o in seat.options if o.least < seat.value - GOOD]
        names = dict.fromkeys((*better, _LEFT_OUT, *(o.kind.name for o in seat.options)))
        there = chain.from_iterable(self._on.get(name, ()) for name in names)
        rivals = list(islice((other for other in there if other != number), _RIVALS))
        groups = chain.from_iterable(combinations(rivals, size) for size in (1, 2, 3))
        return any(self._tries > 0 and self._choose_again((number, *group)) for group in groups)

    def _choose_again(self, group: tuple[int, ...]) -> bool:
        """In the order that makes the sum of their values least, if it falls at all."""
        seats = self._seats
        fair = [seats[number] for number in sorted(group)]
        left_out, before = _standing(fair)
        held = [self._step_out(number) for number in group]
        for order in permutations(group):
            _first_fit(self._ledger, [seats[number] for number in order])
            if _standing(fair) < (left_out, before - GOOD):
                for number in group:
                    self._enter(number)
                return True
            for number in group:
                seats[number].leave(self._ledger)
        for number, had in zip(group, held, strict=True):
            self._step_in(number, had)
        return False

    def _enter(self, number: int) -> None:
        seat = self._seats[number]
        self._on.setdefault(_class(seat), {})[number] = seat

    def _step_out(self, number: int) -> Held:
        self._tries -= 1
        seat = self._seats[number]
        del self._on[_class(seat)][number]
        held = seat.held()
        seat.leave(self._ledger)
        return held

    def _step_in(self, number: int, held: Held) -> None:
        self._seats[number].put_back(self._ledger, held)
        self._enter(number)


def _class(seat: Seat) -> str:
    return _LEFT_OUT if seat.option is None else seat.option.kind.name


def _units(seat: Seat) -> int:
    return 0 if seat.option is None else seat.option.shape.count * seat.placed
