"""What each service is told of a finished plan: its class, its room, its cost, and why.

A service that has just chosen is told of every class, in its order, the better ones first; one that
stays where it is only of those that it named before. It decides nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from conch.api.conditions import Reason
from conch.observe.types import AcceleratorKind, Assignment, ClassVerdict, PlacementRequest, Share
from conch.placement import explain
from conch.placement.candidates import Candidates, Shape
from conch.placement.fit import PERMANENT, Fit
from conch.placement.ledger import Ledger
from conch.placement.options import Entry, Offers, Option, price_per_h, replicas_on, spot_limit
from conch.placement.seats import Seat


class Answers:
    """Assignments, once all is reserved. Sentences are made once for all that look alike."""

    def __init__(self, ledger: Ledger, offers: Offers) -> None:
        self._ledger = ledger
        self._offers = offers
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
        return Assignment(
            option.kind,
            Reason.WAITING_FOR_NODE if awaited else Reason.PLACED,
            explain.placed(option.kind, option.shape, option.replicas - placed, awaited, text)
            + explain.understated(seat.request),
            placed + left,
            tuple(self._verdicts(seat, option, text)),
            self._shares(seat, option),
            self._cost(seat, option),
            room_to_come=min(placed + left, awaited + to_come),
            site_room=self._site_room(seat, option) if seat.request.min_per_site else {},
        )

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
        if seat.kept and not request.classes:
            yield chosen
            return
        for entry in self._offers.entries(request):
            if entry.name != name:
                yield self._verdict(request, entry)
                continue
            yield chosen
            if seat.kept:
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
        may_spot = request.min_on_demand < max(1, request.unbound + request.bound)
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
        """Where the replicas without a node would go."""
        counts: dict[tuple[str, str], int] = {}
        for index, replicas in seat.grants:
            node = self._ledger.node(index)
            place = (node.capacity_type, node.zone)
            counts[place] = counts.get(place, 0) + replicas
        name = option.kind.name
        return tuple(Share(name, *place, number) for place, number in sorted(counts.items()))

    def _cost(self, seat: Seat, option: Option) -> float | None:
        """Of all replicas per hour; those that run are counted as on demand."""
        if not option.shape.count:
            return None
        stays = seat.kept and seat.request.current == option.kind.name
        total = 0.0
        counted = [("OnDemand", seat.request.bound)] if stays else []
        counted += [(self._ledger.node(i).capacity_type, n) for i, n in seat.grants]
        for capacity_type, replicas in counted:
            price = price_per_h(option.kind, capacity_type)
            if price is None:
                return None
            total += price * replicas * option.shape.count
        return total
