"""What each service is told of a finished plan: its class, its room, its cost, and why.

A service that has just chosen is told of every class, in its order, the better ones first; one that
stays where it is only of those that it named before. It decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from conch.api.conditions import Reason
from conch.observe.types import (
    CPU_CLASS,
    AcceleratorKind,
    Assignment,
    ClassVerdict,
    Part,
    PlacementRequest,
    Share,
)
from conch.placement import explain
from conch.placement.beside import Beside, best_first
from conch.placement.candidates import Candidates, Shape
from conch.placement.fit import PERMANENT, Fit
from conch.placement.ledger import UNLIMITED, Ledger
from conch.placement.options import Entry, Offers, Option, price_per_h, replicas_on, spot_limit
from conch.placement.seats import Seat


class Answers:
    """Assignments, once all is reserved. Sentences are made once for all that look alike."""

    def __init__(self, ledger: Ledger, offers: Offers, beside: Beside) -> None:
        self._ledger = ledger
        self._offers = offers
        self._beside = beside
        # By candidates, which live as long as the ledger.
        self._numbers: dict[tuple[int, str], str] = {}
        self._no_room: dict[tuple[int, Shape, bool], ClassVerdict] = {}
        self._fits: dict[tuple[int, str], ClassVerdict] = {}

    def of(self, seat: Seat) -> Assignment:
        """The assignment of a service."""
        option = seat.option
        if option is None:
            return self._nowhere(seat.request)
        placed = seat.placed
        text = self._counted(option.kind, option.candidates, option.shape)
        left = self._ledger.room(option.candidates, option.shape)
        to_come = left - self._ledger.room(option.candidates, option.shape, to_come=False)
        awaited = sum(n for index, n in seat.grants if self._ledger.node(index).coming)
        parts = self._parts(seat, option, left)
        rooms = self._rooms(seat, left)
        return Assignment(
            option.kind,
            Reason.WAITING_FOR_NODE if awaited else Reason.PLACED,
            explain.placed(
                option.kind,
                option.shape,
                seat.missing,
                awaited,
                text,
                _by_class(parts),
            )
            + explain.understated(seat.request),
            placed + left,
            tuple(self._verdicts(seat, option, text)),
            self._shares(seat, option),
            self._cost(seat, option),
            room_to_come=min(placed + left, awaited + to_come),
            site_room=self._site_room(seat, option) if seat.request.min_per_site else {},
            parts=parts,
            room_beside=min(UNLIMITED, seat.promised + sum(rooms.values())),
            growing=option.kind.name if left or not rooms else next(iter(rooms)),
            shrinking=parts[-1].kind.name if parts else option.kind.name,
            tiers=self._offers.cleanest(seat.request, option.kind),
            relocates=seat.relocates,
        )

    def _parts(self, seat: Seat, option: Option, left: int) -> tuple[Part, ...]:
        """What is on which class, best first; () where all is on one."""
        beside = {name: count for name, count in seat.beside.items() if count}
        if not beside:
            return ()
        own = option.kind
        here = seat.placed + (seat.request.bound if self._stays(seat, option) else 0)
        entries = {entry.name: entry for entry in self._offers.entries(seat.request)}
        found = [Part(own, here, seat.placed + left, main=True)]
        for name, count in beside.items():
            entry = entries[name]
            assert entry.kind is not None
            assert entry.candidates is not None
            assert entry.shape is not None
            room = self._ledger.room(entry.candidates, entry.shape, to_come=False)
            beside_it = count - seat.stays.get(name, 0) + room
            tiers = self._offers.cleanest(seat.request, entry.kind)
            found.append(Part(entry.kind, count, beside_it, tiers=tiers))
        places = best_first(seat.request, list(entries.values()))
        # Of two on one class, the service's own Deployment is the one that stays.
        found.sort(key=lambda part: (places.get(part.kind.name, len(places)), not part.main))
        return tuple(found)

    def _rooms(self, seat: Seat, left: int) -> dict[str, int]:
        """Room on other classes, once that of its own is used up: to know it of all is too dear."""
        if left:
            return {}
        # What is missing there must not be on spot: room of any kind does not help.
        firm = seat.request.min_on_demand and seat.missing > 0
        return {} if firm else self._beside.room(seat)

    @staticmethod
    def _stays(seat: Seat, option: Option) -> bool:
        return seat.kept and seat.request.current == option.kind.name

    def may_ever(self, request: PlacementRequest, entry: Entry) -> bool:
        """Whether waiting could help a service that may use a class."""
        return Fit(self._refusal(request, entry).reason) not in PERMANENT

    def _nowhere(self, request: PlacementRequest) -> Assignment:
        refused = [self._verdict(request, entry) for entry in self._offers.entries(request)]
        fits = {Fit(verdict.reason) for verdict in refused}
        verdicts = explain.most_hopeful_first(refused)
        if not fits:
            return Assignment(None, Reason.NO_CAPACITY, explain.NO_ACCELERATOR_AT_ALL)
        if fits == {Fit.UNKNOWN}:
            message = explain.no_such_class(request, sorted(self._offers.known))
            return Assignment(None, Reason.CLASS_NOT_FOUND, message, 0, verdicts)
        reason = Reason.NOTHING_FITS if fits <= PERMANENT else Reason.NO_CAPACITY
        return Assignment(None, reason, explain.join(verdicts), 0, verdicts)

    # --- classes ---------------------------------------------------------------------------------

    def _verdicts(self, seat: Seat, option: Option, text: str) -> Iterable[ClassVerdict]:
        request, name = seat.request, option.kind.name
        chosen = explain.chosen(option.kind, text)
        beside = {one: count for one, count in seat.beside.items() if count and one != name}
        if seat.kept and not request.classes and not beside:
            yield chosen
            return
        untold = {name, *beside}
        for entry in self._offers.entries(request):
            if entry.name == name:
                yield chosen
            elif entry.name in beside and entry.kind and entry.candidates and entry.shape:
                numbers = self._counted(entry.kind, entry.candidates, entry.shape)
                yield explain.beside(entry.kind, beside[entry.name], numbers)
            elif request.classes or not seat.kept:
                yield self._verdict(request, entry)
            untold.discard(entry.name)
            if seat.kept and not untold:
                return

    def _verdict(self, request: PlacementRequest, entry: Entry) -> ClassVerdict:
        if entry.refusal is not None or entry.candidates is None or entry.shape is None:
            return self._refusal(request, entry)
        needed = replicas_on(request, entry.name)
        limit = spot_limit(request, needed) if needed else 1
        room = self._ledger.room(entry.candidates, entry.shape, limit)
        if not room or entry.kind is None:
            return self._refusal(request, entry)
        if room < needed:
            text = self._counted(entry.kind, entry.candidates, entry.shape)
            return explain.too_few(entry.kind, text, room, needed)
        key = (id(entry.candidates), entry.shape.resource)
        if (known := self._fits.get(key)) is None:
            text = self._counted(entry.kind, entry.candidates, entry.shape)
            prices = (price_per_h(entry.kind, lot.capacity_type) for lot in entry.candidates.lots)
            least = min((price for price in prices if price is not None), default=None)
            self._fits[key] = known = explain.fits(entry.kind, text, least)
        return known

    def _refusal(self, request: PlacementRequest, entry: Entry) -> ClassVerdict:
        """Why a class takes no replica of a service."""
        if entry.kind is None or entry.candidates is None or entry.shape is None:
            return explain.unknown(entry.name)
        if entry.refusal is not None:
            return explain.unfit(entry.kind, request, entry.refusal)
        may_spot = request.min_on_demand < max(1, request.wanted)
        key = (id(entry.candidates), entry.shape, may_spot)
        if (known := self._no_room.get(key)) is None:
            known = explain.no_room(
                self._ledger, entry.kind, entry.candidates, entry.shape, may_spot
            )
            self._no_room[key] = known
        return known

    def _counted(self, kind: AcceleratorKind, candidates: Candidates, needs: Shape) -> str:
        key = (id(candidates), needs.resource)
        if (known := self._numbers.get(key)) is None:
            known = explain.numbers(self._ledger, kind, candidates, needs)
            self._numbers[key] = known
        return known

    def _site_room(self, seat: Seat, option: Option) -> dict[str, int]:
        """For how many replicas without a node each site has room, up to its minimum."""
        found: dict[str, int] = {}
        for index in option.candidates.nodes:
            site = self._ledger.node(index).site
            slots = self._ledger.slots_on(index, option.shape)
            found[site] = found.get(site, 0) + slots
        for index, replicas in seat.grants:
            found[self._ledger.node(index).site] += replicas
        least = seat.request.min_per_site
        return {site: min(least, room) for site, room in found.items()}

    # --- numbers ---------------------------------------------------------------------------------

    def _shares(self, seat: Seat, option: Option) -> tuple[Share, ...]:
        """Where the replicas without a node would go, its own class first."""
        found: list[Share] = []
        for on, grants in ((option, seat.grants), *seat.parts):
            counts: dict[tuple[str, str], int] = {}
            for index, replicas in grants:
                node = self._ledger.node(index)
                place = (node.capacity_type, node.zone)
                counts[place] = counts.get(place, 0) + replicas
            found += [Share(on.kind.name, *place, n) for place, n in sorted(counts.items())]
        return tuple(found)

    def _cost(self, seat: Seat, option: Option) -> float | None:
        """Of all replicas per hour; those that run are counted as on demand."""
        if not option.shape.count:
            return None
        counted = []
        if self._stays(seat, option):
            counted.append((option.kind, "OnDemand", seat.request.bound))
        for name, replicas in seat.stays.items():
            counted.append((self._offers.known.get(name, CPU_CLASS), "OnDemand", replicas))
        for on, grants in ((option, seat.grants), *seat.parts):
            counted += [(on.kind, self._ledger.node(i).capacity_type, n) for i, n in grants]
        total = 0.0
        for kind, capacity_type, replicas in counted:
            price = price_per_h(kind, capacity_type)
            if price is None:
                return None
            total += price * replicas * (option.shape.count if kind.resource else 0)
        return total


def _by_class(parts: Iterable[Part]) -> dict[str, int]:
    """Replicas by class, where there are several."""
    found: dict[str, int] = {}
    for part in parts:
        found[part.kind.name] = found.get(part.kind.name, 0) + part.replicas
    return found if len(found) > 1 else {}
