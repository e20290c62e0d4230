"""Replicas on other classes than the service's own, which has no room for all of them.

The class of a service is chosen as if it were the only one. What found no room when every service
has what its own class holds goes, in fair order, to the next best classes that it may use: only to
nodes that are there, and never what must not be on spot. What runs on another class stays there as
long as it may; bringing it back is a move, and those are the planner's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from conch.observe.types import PlacementRequest
from conch.placement.fit import Fit
from conch.placement.ledger import UNLIMITED, Ledger
from conch.placement.options import Entry, Offers, replicas_on
from conch.placement.seats import Seat

MOST_CLASSES = 8
"""Classes that one service is on at once: each is a Deployment more to roll out, but a replica that
waits beside a class with room is worse.
"""
_LOOKED_AT = 3  # of one with room for all it wants: what is beyond that is for the scaler only


class Beside:
    """What of services is, or could be, on other classes than their own."""

    def __init__(self, ledger: Ledger, offers: Offers) -> None:
        self._ledger = ledger
        self._offers = offers
        self._sorted: dict[int, list[Entry]] = {}

    def staying(self, request: PlacementRequest) -> dict[str, int]:
        """Replicas that run on classes of their own and may go on, by class."""
        if not request.parts:
            return {}
        able = {e.name for e in self._offers.entries(request) if e.refusal in (None, Fit.AVOIDED)}
        return {name: count for name, count in request.parts.items() if count and name in able}

    def fill(self, seat: Seat) -> None:
        """Room for what its own class has none for, as far as there is some."""
        request, most = seat.request, seat.missing
        if request.spill is not None:
            most = min(most, request.spill)
        if request.min_on_demand:
            most = min(most, seat.spot_left)
        if most <= 0:
            return
        for entry, room in self._rooms(seat, self._best_first(request), MOST_CLASSES):
            option = self._offers.option(request, entry)
            found = self._ledger.reserve(option.candidates, option.shape, min(most, room))
            seat.parts.append((option, found))
            most -= sum(replicas for _, replicas in found)
            if most <= 0:
                return

    def room(self, seat: Seat) -> dict[str, int]:
        """For how many more of its replicas other classes have room, best first.

        As far as to twice what it is: how much there is beyond that nobody asks.
        """
        if seat.missing > 0 and seat.request.spill is None:
            return {}  # what there was it has been given
        found: dict[str, int] = {}
        limit = MOST_CLASSES if seat.missing > 0 else _LOOKED_AT
        for entry, room in self._rooms(seat, self._offers.one_by_one(seat.request), limit):
            found[entry.name] = room
            if sum(found.values()) >= seat.request.wanted:
                break
        return found

    def _rooms(
        self, seat: Seat, entries: Iterable[Entry], limit: int
    ) -> Iterator[tuple[Entry, int]]:
        """Of these, in this order, the others that take some now, up to ``limit`` classes."""
        if seat.option is None or not may_split(seat.request):
            return
        ledger, own = self._ledger, seat.option.kind.name
        on = {own, *seat.beside}
        for entry in entries:
            if entry.name == own or entry.name in seat.request.barred or not _usable(entry):
                continue
            if entry.name not in on and len(on) >= limit:
                continue
            assert entry.candidates is not None
            assert entry.shape is not None
            if ledger.short(entry.candidates, entry.shape, 1) > 0:
                continue
            if room := ledger.room(entry.candidates, entry.shape, to_come=False):
                on.add(entry.name)
                yield entry, min(room, UNLIMITED)

    def _best_first(self, request: PlacementRequest) -> Sequence[Entry]:
        """Classes with nodes that are there, where it is not refused."""
        entries = self._offers.entries(request)
        # Kept by the offers as long as this lives. Who asks for speed has an order of its own.
        key = None if request.optimise == "Latency" else id(entries)
        if key is None or key not in self._sorted:
            usable = sorted(filter(_usable, entries), key=lambda entry: order(request, entry))
            if key is None:
                return usable
            self._sorted[key] = usable
        return self._sorted[key]


def _usable(entry: Entry) -> bool:
    """Whether a class may take replicas on nodes that are there."""
    if entry.refusal is not None or entry.shape is None or entry.candidates is None:
        return False
    return not all(lot.coming for lot in entry.candidates.lots)


def may_split(request: PlacementRequest) -> bool:
    """Whether a service may be on several classes at once.

    Not with a minimum at each site: which of them have a class differs.
    """
    several = len(request.classes) + request.allow_cpu != 1
    return bool(request.count) and several and not request.min_per_site


def order(request: PlacementRequest, entry: Entry) -> tuple[float, float, float]:
    """How good a class is for a replica more: less is better."""
    fewer = replicas_on(request, entry.name) if request.optimise == "Latency" else 0
    return entry.rank, fewer, entry.worth.best if entry.worth is not None else 0.0


def best_first(request: PlacementRequest, entries: Sequence[Entry]) -> Mapping[str, int]:
    """The place of each class among those that a service may use."""
    ranked = sorted(entries, key=lambda entry: order(request, entry))
    return {entry.name: place for place, entry in enumerate(ranked)}
