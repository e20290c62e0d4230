"""The greedy search: options for many services at once, deterministic, node by node.

Three steps. First fit: in fair order each service takes the best option that has room for all its
replicas. If not everybody got their best, classes in short supply get prices (``market``), and
services choose again by value plus price. Then local search: a service moves to a better option,
pushes another away, or a few choose again together, as long as the sum falls. Nobody is left out
for somebody who comes later in fair order.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain, combinations, islice, permutations

from conch.placement.ledger import Ledger
from conch.placement.market import Market
from conch.placement.options import Option
from conch.placement.seats import GOOD, OUTSIDE, Held, Seat, total

_PASSES = 4  # of the local search
_EJECTIONS = 8  # services a better option may push away, tried per option
_RIVALS = 6  # that choose again together with a service, up to three at a time
_TRIES = 1000  # services that step out of their place, in all
_LEFT_OUT = ""  # stands for the class of those who have none


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
        market = Market(ledger, contenders)
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


# --- first fit -----------------------------------------------------------------------------------


def _first_fit(ledger: Ledger, seats: Sequence[Seat]) -> None:
    for seat in seats:
        for option in seat.options:
            if seat.take_all(ledger, option):
                break


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
