"""Chooses an accelerator class for every service, for all services at once.

Pure and deterministic: the order of the input does not matter. A service keeps the class it is on
while that class can serve it, so a plan made again on the same world changes nothing. Three rounds,
each oldest service first:

1. services that are on a class and have nothing bound yet keep one replica's place there;
2. services without a class, or whose class is full while nothing of theirs runs there, take the
   first class of their preference that has room for one replica;
3. what is left goes to further replicas.

So the second replica of one service never takes the first of another, and two services are never
promised the same unit. It must not bind pods, and it never moves what runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from conch.api.conditions import Reason
from conch.observe.types import (
    CPU_CLASS,
    AcceleratorKind,
    Assignment,
    ClassVerdict,
    Inventory,
    Key,
    PlacementRequest,
)
from conch.placement import explain
from conch.placement.fit import PERMANENT, Fit, class_refusal
from conch.placement.ledger import Candidates, Ledger, Shape, shape


@dataclass(slots=True)
class _Seat:
    """A service that has its class; ``reserved`` grows while the plan is made."""

    request: PlacementRequest
    kind: AcceleratorKind
    candidates: Candidates
    shape: Shape
    wanted: int  # replicas to find room for
    reserved: int
    refused: tuple[ClassVerdict, ...]  # classes of higher preference


def plan(inventory: Inventory, requests: Iterable[PlacementRequest]) -> dict[Key, Assignment]:
    """An assignment for every request."""
    return plan_on(Ledger(inventory), inventory.kinds, requests)


def plan_on(
    ledger: Ledger, kinds: Iterable[AcceleratorKind], requests: Iterable[PlacementRequest]
) -> dict[Key, Assignment]:
    """As :func:`plan`, on a given ledger: afterwards it holds what was reserved."""
    known = {kind.name: kind for kind in kinds}
    by_memory = sorted(known.values(), key=_smallest_first)
    queue = sorted(requests, key=lambda r: (r.age_rank, r.key))
    seats: dict[Key, _Seat] = {}
    assignments: dict[Key, Assignment] = {}
    for request in queue:
        if (seat := _keep(ledger, known, request)) is not None:
            seats[request.key] = seat
    for request in queue:
        if request.key not in seats:
            choice = _choose(ledger, known, by_memory, request)
            if isinstance(choice, _Seat):
                seats[request.key] = choice
            else:
                assignments[request.key] = choice
    for request in queue:
        if (seat := seats.get(request.key)) is not None:
            missing = seat.wanted - seat.reserved
            seat.reserved += ledger.reserve(seat.candidates, seat.shape, missing)
    rooms = _Rooms(ledger)
    for key, seat in seats.items():
        assignments[key] = _assignment(ledger, seat, rooms.left(seat))
    return assignments


def _keep(
    ledger: Ledger, known: Mapping[str, AcceleratorKind], request: PlacementRequest
) -> _Seat | None:
    """The seat on the class the service is on, if that can go on."""
    kind = _named(known, request, request.current)
    if kind is None or (request.classes and kind.name not in _names(request)):
        return None
    if class_refusal(kind, request) is not None or (kind.resource and not request.count):
        return None
    candidates, needs = ledger.candidates(kind, request), shape(kind, request)
    first = 0
    if not request.bound and request.unbound:
        first = ledger.reserve(candidates, needs, 1)
        if not first:
            return None
    return _Seat(request, kind, candidates, needs, request.unbound, first, ())


def _choose(
    ledger: Ledger,
    known: Mapping[str, AcceleratorKind],
    by_memory: Iterable[AcceleratorKind],
    request: PlacementRequest,
) -> _Seat | Assignment:
    """The first class of the preference order with room, or why there is none."""
    wanted = request.unbound + request.bound  # what runs elsewhere has to come along
    refused: list[ClassVerdict] = []
    fallback: _Seat | None = None
    for name in _names(request) or tuple(kind.name for kind in _any(by_memory, request)):
        kind = _named(known, request, name)
        if kind is None:
            refused.append(explain.unknown(name))
            continue
        candidates, needs = ledger.candidates(kind, request), shape(kind, request)
        seat = _Seat(request, kind, candidates, needs, wanted, 0, tuple(refused))
        refusal = class_refusal(kind, request)
        if refusal is None and ledger.has_room(candidates, needs):
            seat.reserved = ledger.reserve(candidates, needs, min(1, wanted))
            return seat
        verdict = (
            explain.unfit(kind, request, refusal)
            if refusal is not None
            else explain.no_room(ledger, kind, candidates, needs)
        )
        if not wanted and fallback is None and Fit(verdict.reason) not in PERMANENT:
            fallback = seat
        refused.append(verdict)
    return fallback or _nowhere(known, request, refused)


def _nowhere(
    known: Mapping[str, AcceleratorKind], request: PlacementRequest, refused: list[ClassVerdict]
) -> Assignment:
    fits = {Fit(verdict.reason) for verdict in refused}
    verdicts = explain.most_hopeful_first(refused)
    if not fits:
        return Assignment(None, Reason.NO_CAPACITY, explain.NO_ACCELERATOR_AT_ALL)
    if fits == {Fit.UNKNOWN}:
        message = explain.no_such_class(request, sorted(known))
        return Assignment(None, Reason.CLASS_NOT_FOUND, message, 0, verdicts)
    reason = Reason.NOTHING_FITS if fits <= PERMANENT else Reason.NO_CAPACITY
    return Assignment(None, reason, explain.join(verdicts), 0, verdicts)


def _assignment(ledger: Ledger, seat: _Seat, left: int) -> Assignment:
    numbers = explain.numbers(ledger, seat.kind, seat.candidates, seat.shape)
    verdicts = (*seat.refused, explain.chosen(seat.kind, numbers))
    missing = seat.wanted - seat.reserved
    message = explain.placed(seat.kind, seat.shape, missing, numbers)
    return Assignment(seat.kind, Reason.PLACED, message, seat.reserved + left, verdicts)


class _Rooms:
    """Room left per class and shape once all is reserved; services of one shape share a count."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._known: dict[tuple[int, Shape], int] = {}

    def left(self, seat: _Seat) -> int:
        key = (id(seat.candidates), seat.shape)  # the ledger keeps candidates alive
        if key not in self._known:
            self._known[key] = self._ledger.room(seat.candidates, seat.shape)
        return self._known[key]


def _names(request: PlacementRequest) -> tuple[str, ...]:
    """The classes the service names, the CPU last if it is allowed; () if it names none."""
    if not request.count:
        return (CPU_CLASS.name,)
    if not request.classes:
        return ()
    cpu = (CPU_CLASS.name,) if request.allow_cpu and CPU_CLASS.name not in request.classes else ()
    return (*request.classes, *cpu)


def _any(by_memory: Iterable[AcceleratorKind], request: PlacementRequest) -> list[AcceleratorKind]:
    """Every class, for a service that names none."""
    return [*by_memory, CPU_CLASS] if request.allow_cpu else list(by_memory)


def _named(
    known: Mapping[str, AcceleratorKind], request: PlacementRequest, name: str
) -> AcceleratorKind | None:
    kind = known.get(name)
    if kind is None and name == CPU_CLASS.name and (request.allow_cpu or not request.count):
        return CPU_CLASS
    return kind


def _smallest_first(kind: AcceleratorKind) -> tuple[bool, int, str]:
    """Smallest memory first, so that large accelerators stay free; unknown memory last."""
    return (not kind.memory_bytes, kind.memory_bytes, kind.name)
