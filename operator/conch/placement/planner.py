"""Chooses an accelerator class for every service, for all services at once.

Pure and deterministic: the order of the input does not matter. A service keeps the class it is on
while that class can serve it, so a plan made again on the same world changes nothing.

1. Services that are on a class and have nothing bound yet keep one replica's place there.
2. All others get, together, the options that are worth most (``search``; ``exact`` where the
   search's answer is not proven good) and have room for all their replicas.
3. When there is not room for all replicas of all: one replica of each, by priority, then age; what
   is left goes to further replicas in the same order.
4. What its own class has no room for goes to other classes that a service may use (``beside``).
5. If the caller allows moves, services that run go where the gain is worth the move.

So the second replica of one service never takes the first of another, and two services are never
promised the same unit. It must not bind pods, and it never moves what runs unless told to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from conch.observe.types import (
    AcceleratorKind,
    Assignment,
    Inventory,
    Key,
    PlacementRequest,
)
from conch.placement import exact
from conch.placement.answers import Answers
from conch.placement.beside import Beside, may_split
from conch.placement.candidates import shape
from conch.placement.fit import class_refusal
from conch.placement.ledger import Ledger
from conch.placement.options import (
    LIVE,
    Offers,
    Option,
    Policy,
    Worth,
    replicas_on,
    spot_limit,
)
from conch.placement.provision import Provisions
from conch.placement.relocation import relocate
from conch.placement.search import search
from conch.placement.seats import GOOD, Seat, total

# Demand is not known better than this: one replica more or less must not make a move pay.
_UNSURE = (0.9, 1.0, 1.1)
# What it is worth to be on one class instead of several, beside the same price.
_APART = 1e-3
_SETTLING = 3  # times that services without a place are tried again on the final layout


def plan(
    inventory: Inventory, requests: Iterable[PlacementRequest], policy: Policy = LIVE
) -> dict[Key, Assignment]:
    """An assignment for every request."""
    inventory = Provisions().lay_on(inventory)
    return plan_on(Ledger(inventory), inventory.kinds, requests, _informed(policy, inventory))


class Planner:
    """Plans again and again: keeps what it knows of nodes that did not change.

    The same answers as :func:`plan`, sooner.
    """

    def __init__(self, policy: Policy = LIVE) -> None:
        self._policy = policy
        self._provisions = Provisions()
        self._ledger: Ledger | None = None

    def plan(
        self, inventory: Inventory, requests: Iterable[PlacementRequest], moves: int = 0
    ) -> dict[Key, Assignment]:
        """As :func:`plan`; ``moves``: how many services that run may be moved now."""
        inventory = self._provisions.lay_on(inventory)
        if self._ledger is None:
            self._ledger = Ledger(inventory)
        else:
            self._ledger.restart(inventory)
        policy = replace(_informed(self._policy, inventory), moves=moves)
        return plan_on(self._ledger, inventory.kinds, requests, policy)


def _informed(policy: Policy, inventory: Inventory) -> Policy:
    if not inventory.carbon:
        return policy
    return replace(policy, carbon_g_per_kwh=inventory.carbon, grids=inventory.grids)


def plan_on(
    ledger: Ledger,
    kinds: Iterable[AcceleratorKind],
    requests: Iterable[PlacementRequest],
    policy: Policy = LIVE,
) -> dict[Key, Assignment]:
    """As :func:`plan`, on a given ledger: afterwards it holds what was reserved."""
    return _Plan(ledger, Offers(ledger, kinds, policy), policy).make(requests)


class _Plan:
    """One plan in the making."""

    def __init__(self, ledger: Ledger, offers: Offers, policy: Policy) -> None:
        self._ledger = ledger
        self._offers = offers
        self._policy = policy
        self._keepers: list[Seat] = []
        self._choosers: list[Seat] = []
        self._beside = Beside(ledger, offers)
        self._answers = Answers(ledger, offers, self._beside)

    def make(self, requests: Iterable[PlacementRequest]) -> dict[Key, Assignment]:
        """An assignment for every request."""
        for request in sorted(requests, key=_fair):
            seat = self._keep(request)
            if seat is not None:
                self._keepers.append(seat)
            else:
                self._choosers.append(Seat(request, self._offers.options(request)))
        wanting = [seat for seat in self._choosers if _wants(seat.request)]
        idle = [seat for seat in self._choosers if not _wants(seat.request)]
        if wanting:
            self._choose(wanting)
        for seat in idle:
            seat.option = self._idle(seat)
        self._layout(wanting)
        if self._policy.moves:
            self._move()
        seats = (*self._keepers, *self._choosers)
        return {seat.request.key: self._answers.of(seat) for seat in seats}

    # --- classes ---------------------------------------------------------------------------------

    def _keep(self, request: PlacementRequest) -> Seat | None:
        """The seat on the class the service is on, if that can go on."""
        if not request.current:
            return None
        stays = self._beside.staying(request)
        seat = self._keep_on(request, request.current, stays)
        if seat is None and stays:
            # What runs is enough to be somewhere: the class where most of it does is its own now.
            return self._keep_on(request, max(stays, key=lambda name: (stays[name], name)), stays)
        return seat

    def _keep_on(
        self, request: PlacementRequest, name: str, stays: Mapping[str, int]
    ) -> Seat | None:
        kind = self._offers.named(request, name)
        if kind is None or (kind.resource and not request.count):
            return None
        if (asked := self._offers.names(request)) and kind.name not in asked:
            return None
        if class_refusal(kind, request) is not None:
            return None
        bound = request.bound if name == request.current else stays[name]
        if not bound and request.unbound and kind.name in request.avoid:
            return None
        lost = sum(request.parts.values()) - sum(stays.values())
        if name != request.current:
            lost += request.bound
        missing = max(0, request.unbound + lost - request.surplus)
        option = self._staying(request, kind, missing)
        seat = Seat(request, (option,), kept=True, stays=stays)
        if bound or not option.replicas:
            seat.option, seat.spot_left = option, option.spot_limit
        elif not seat.take(self._ledger, option, 1):
            return None
        elif any(self._ledger.node(index).coming for index, _ in seat.grants):
            seat.leave(self._ledger)  # nothing holds it there: room anywhere may be better by now
            return None
        return seat

    def _staying(self, request: PlacementRequest, kind: AcceleratorKind, replicas: int) -> Option:
        """The class a service is on, as an option for its replicas without a node."""
        candidates = self._offers.candidates(request, kind, self._offers.filter_of(request))
        needs = shape(kind, request)
        limit = spot_limit(request, replicas, request.on_demand_bound)
        nothing = Worth.of(candidates, (0.0,) * len(candidates.lots))
        return Option(kind, candidates, needs, replicas, limit, 0, nothing)

    def _choose(self, seats: Sequence[Seat]) -> None:
        """An option for every seat, as far as there is room for one replica of each."""
        for keeper in self._keepers:
            self._fill(keeper)
        bound = search(self._ledger, seats)
        if self._policy.exact and total(seats) > bound + GOOD:
            self._improve(seats)
        if all(seat.option is not None for seat in seats):
            return
        for _ in range(_SETTLING):
            self._first_ones(seats)
            left_out = [seat for seat in seats if seat.option is None]
            if not sum(self._squeeze(seat, seats) for seat in left_out):
                return

    def _improve(self, seats: Sequence[Seat]) -> None:
        """What the solver says, if it finds something better in its limits."""
        reached, held = total(seats), [seat.held() for seat in seats]
        served = [seat.option is not None for seat in seats]
        for seat in seats:
            seat.leave(self._ledger)
        answer = exact.solve(self._ledger, seats, served)
        if answer is not None and answer.value < reached - GOOD:
            exact.take(self._ledger, seats, answer)
            return
        for seat, had in zip(seats, held, strict=True):
            seat.put_back(self._ledger, had)

    def _squeeze(self, seat: Seat, seats: Sequence[Seat]) -> bool:
        """Find room for one replica, if need be by moving another service that only just chose."""
        room = {
            id(option): min(
                self._ledger.room(option.candidates, option.shape, option.spot_limit),
                option.replicas,
            )
            for option in seat.options
        }
        for option in sorted(
            seat.options, key=lambda o: (-room[id(o)] / max(1, o.replicas), o.least)
        ):
            if room[id(option)] and seat.take(self._ledger, option, 1):
                return True
        return any(self._displace(seat, option, seats) for option in seat.options)

    def _share(self, option: Option) -> float:
        """How much of what the service needs there has room."""
        room = self._ledger.room(option.candidates, option.shape, option.spot_limit)
        return min(1.0, room / max(1, option.replicas))

    def _displace(self, seat: Seat, option: Option, seats: Sequence[Seat]) -> bool:
        for other in seats:
            held = other.option
            if held is None or held.kind.name != option.kind.name:
                continue
            other.leave(self._ledger)
            if seat.take(self._ledger, option, 1):
                for instead in other.options:
                    if instead.kind.name != held.kind.name and other.take(self._ledger, instead, 1):
                        return True
            seat.leave(self._ledger)
            other.leave(self._ledger)
            other.take(self._ledger, held, 1)
        return False

    def _idle(self, seat: Seat) -> Option | None:
        """A class for a service that wants no replica now: with room if possible."""
        for option in seat.options:
            if self._ledger.room(option.candidates, option.shape):
                return option
        for entry in self._offers.entries(seat.request):
            if entry.refusal is None and self._answers.may_ever(seat.request, entry):
                return self._offers.option(seat.request, entry)
        return None

    def _move(self) -> None:
        """Let those who run go where it is worth the move, those who gain most first."""
        gains = []
        for position, seat in enumerate(self._keepers):
            if seat.request.bound and seat.request.movable and (better := self._better(seat)):
                gains.append((better[0], position, better[1]))
        budget = self._policy.moves
        for _, position, options in sorted(gains, key=lambda g: g[:2]):
            if not budget:
                return
            seat = self._keepers[position]
            held = seat.option
            seat.leave(self._ledger)
            for option in options:
                if seat.take_all(self._ledger, option):
                    if self._pays(seat, option):
                        seat.options = [option]
                        name = option.kind.name
                        seat.stays = {name: seat.stays[name]} if name in seat.stays else {}
                        budget -= 1
                        break
                    seat.leave(self._ledger)
            else:
                if held is not None:
                    seat.take(self._ledger, held, held.replicas)
                    self._beside.fill(seat)
        if self._policy.grids:
            relocate(self._ledger, self._offers, self._policy, self._keepers, budget)

    def _better(self, seat: Seat) -> tuple[float, list[Option]] | None:
        """What could be gained, and the options that may be better than staying, best first.

        What runs comes along at first, even where fewer would do: so many need room, and on nodes
        that are there; what is there already needs none.
        """
        request = seat.request
        here, others = self._here_and_there(request)
        if here is None:
            return None
        apart = self._apart(request, [here, *others])
        found = []
        for option in others if apart is None else [here, *others]:
            value, worth = option.least, here.least if apart is None else apart
            if apart is None:
                value += self._policy.move_h * option.rent()
            if value < worth:
                needed = max(option.replicas, request.wanted)
                option.replicas = needed - request.runs_on(option.kind.name)
                firm = request.on_demand_bound if option is here else 0
                option.spot_limit = spot_limit(request, option.replicas, firm)
                room = self._ledger.room(
                    option.candidates, option.shape, option.spot_limit, to_come=False
                )
                if room >= option.replicas:
                    found.append((value - worth, option))
        found.sort(key=lambda one: one[0])
        return (found[0][0], [option for _, option in found]) if found else None

    def _pays(self, seat: Seat, taken: Option) -> bool:
        """Whether a move pays on the nodes that are there for it, with what moving costs; and with
        a little less demand or more of it, too."""
        request = seat.request
        each = (seat.value - taken.fixed()) / taken.replicas
        options = self._offers.options(request)
        if (apart := self._apart(request, options)) is not None:
            needed = max(taken.replicas, replicas_on(request, taken.kind.name), request.wanted)
            return taken.fixed() + needed * each < apart
        each *= 1 + self._policy.move_h
        for part in _UNSURE if request.demand_rps is not None else (1.0,):
            demand_rps = None if request.demand_rps is None else part * request.demand_rps
            here, others = self._here_and_there(replace(request, demand_rps=demand_rps))
            there = next(option for option in others if option.kind.name == taken.kind.name)
            if here is None or there.fixed() + there.replicas * each >= here.least:
                return False
        return True

    @staticmethod
    def _apart(request: PlacementRequest, options: Iterable[Option]) -> float | None:
        """What it is worth to be on several classes, as it is; None if it is not.

        Its worst class counts for its own order. One class that is not worse than all of them
        together is better, whatever it costs to go there.
        """
        if not request.elsewhere:
            return None
        on = [option for option in options if request.runs_on(option.kind.name)]
        rent = sum(request.runs_on(o.kind.name) * o.rent() / o.replicas for o in on if o.replicas)
        return max((option.fixed() for option in on), default=0.0) + rent + _APART

    def _here_and_there(self, request: PlacementRequest) -> tuple[Option | None, list[Option]]:
        """The option of the class a service is on, and all others."""
        options = self._offers.options(request)
        here = [option for option in options if option.kind.name == request.current]
        return here[0] if here else None, [o for o in options if o.kind.name != request.current]

    # --- reservations ----------------------------------------------------------------------------

    def _layout(self, choosers: Sequence[Seat]) -> None:
        """Reserve all over again in fair order, so that a plan made again has the same layout."""
        self._first_ones(choosers)
        seats = sorted((*self._keepers, *choosers), key=lambda s: _fair(s.request))
        for seat in seats:
            self._fill(seat)
        for seat in seats:
            self._beside.fill(seat)

    def _first_ones(self, choosers: Sequence[Seat]) -> None:
        """One replica for everybody who has none, those who are on a class already first."""
        seats = (*self._keepers, *choosers)
        options = [seat.option for seat in seats]
        for seat in seats:
            seat.leave(self._ledger)
        for seat, option in zip(seats, options, strict=True):
            if option is None:
                continue
            if seat.runs:
                seat.option, seat.spot_left = option, option.spot_limit
            elif not seat.take(self._ledger, option, min(1, option.replicas)):
                seat.option = option if not option.replicas else None

    def _fill(self, seat: Seat) -> None:
        if seat.option is None or (seat.runs and self._waits_in_vain(seat)):
            return
        if (missing := seat.option.replicas - seat.placed) > 0:
            seat.take(self._ledger, seat.option, missing)

    @staticmethod
    def _waits_in_vain(seat: Seat) -> bool:
        """Whether its own class only seems to have room, and it may be on another as well."""
        assert seat.option is not None
        return seat.option.kind.name in seat.request.avoid and may_split(seat.request)


def _fair(request: PlacementRequest) -> tuple[int, str, Key]:
    """Who is served first: higher priority, then who came first."""
    return -request.priority, request.age_rank, request.key


def _wants(request: PlacementRequest) -> int:
    return request.wanted
