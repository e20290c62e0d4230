"""Which services that run well move to another class because it is better: few, slowly, once.

The planner weighs what is gained against what moving costs; here is decided who may be asked about
and when. A gain must last: the same class has to win at every look for five minutes, with its units
free all the while. There is a budget of moves per hour for the whole cluster, and one per hour for
a service. The move itself is a rollout in which each new replica is ready before an old one ends;
as many as the new class needs are asked for first. A move on which nothing becomes ready is taken
back, and that class is left alone for a day. Decides only, and remembers in memory only: a new
operator waits anew.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from conch.api.conditions import Reason
from conch.kube.views import Pod
from conch.observe.types import AcceleratorKind, Assignment, Inventory, Key, PlacementRequest
from conch.placement.options import price_per_h, replicas_on
from conch.reconcile.moves_ready import class_of, free_units, named
from conch.reconcile.patience import holds_a_node

logger = logging.getLogger(__name__)

STEADY_S: Final = 300.0
"""A class has to be better for so long, unless the settings say otherwise."""
LOOK_S: Final = 60.0  # between two looks; each costs a plan. Longer while nobody wishes to move
REST_S: Final = 3600.0
"""Between two moves of a service."""
STALL_S: Final = 900.0
"""A move on which no further replica becomes ready for so long has failed."""
FORGET_S: Final = 86400.0
"""A class on which a move failed is left alone for so long."""
SETTLE_S: Final = 600.0
"""After a move to a slower class its number of replicas is held until the scaler knows it."""
_DEPART_S: Final = 60.0  # the Deployment names the new class by then, or the move is off

Planning = Callable[[Inventory, Iterable[PlacementRequest], int], dict[Key, Assignment]]


@dataclass(slots=True)
class _Journey:
    """A service on its way. ``least``: replicas held meanwhile; ``more``: it is more than ran."""

    source: str
    target: str
    why: str
    least: int
    more: bool
    began_s: float
    progress_s: float
    ready: int = 0
    departed: bool = False
    returning: bool = False
    arrived_s: float | None = None

    @property
    def heading(self) -> str:
        return self.source if self.returning else self.target

    def told(self) -> str:
        if self.returning:
            return f"moves back from {self.target} to {self.source}: {self.why}"
        return f"moves from {self.source} to {self.target}: {self.why}"


@dataclass(frozen=True, slots=True)
class _Wish:
    """A class that is better for a service, and since when without a break."""

    target: str
    since_s: float


class Moves:
    """Who moves for a gain; ``per_h`` is how many services may in an hour, 0: none.

    ``steady_s`` is for how long a class must be better.
    """

    def __init__(self, per_h: int, steady_s: float = STEADY_S) -> None:
        self._per_h = per_h
        self._steady_s = steady_s
        self._look_s = min(LOOK_S, steady_s / 5)
        self._journeys: dict[Key, _Journey] = {}
        self._wishes: dict[Key, _Wish] = {}
        self._failed: dict[Key, dict[str, float]] = {}  # class → until when it is left alone
        self._moved_s: dict[Key, float] = {}
        self._starts_s: list[float] = []
        self._uids: dict[Key, str] = {}
        self._able: dict[Key, frozenset[str]] = {}  # who may be moved now, and where not to
        self._running = False  # whether there is anybody who might be moved some day
        self._looked_s = float("-inf")
        self._now_s = 0.0

    # --- a look at all services -------------------------------------------------------------------

    def begin(self, uids: Mapping[Key, str], now_s: float) -> None:
        """A new look; ``uids`` are the services there are, ``now_s`` is a time since the epoch."""
        self._now_s = now_s
        self._able.clear()
        self._running = False
        memories: tuple[dict[Key, Any], ...] = (
            self._journeys,
            self._wishes,
            self._failed,
            self._moved_s,
        )
        for key in [key for key, uid in self._uids.items() if uids.get(key) != uid]:
            for memory in memories:
                memory.pop(key, None)
        self._uids = dict(uids)
        self._starts_s = [at_s for at_s in self._starts_s if now_s - at_s < REST_S]

    def note(
        self,
        request: PlacementRequest,
        pods: Collection[Pod],
        able: bool,
        shunned: Collection[str] = (),
    ) -> PlacementRequest:
        """The request as it is to be planned for.

        ``pods`` are those it has, without those whose node goes; ``able``: nothing speaks against
        moving it; ``shunned``: classes that it must not be moved to.
        """
        journey = self._journeys.get(request.key)
        if journey is not None:
            return replace(self._on_its_way(journey, request, pods), movable=False)
        self._running |= request.bound > 0 and self._per_h > 0
        rested_s = self._now_s - self._moved_s.get(request.key, float("-inf"))
        if able and self._per_h and rested_s >= REST_S:
            self._able[request.key] = frozenset(shunned) | self._left_alone(request.key)
        else:
            self._wishes.pop(request.key, None)
        return replace(request, movable=False)

    def _left_alone(self, key: Key) -> frozenset[str]:
        failed = self._failed.get(key, {})
        return frozenset(name for name, until_s in failed.items() if until_s > self._now_s)

    def _on_its_way(
        self, journey: _Journey, request: PlacementRequest, pods: Collection[Pod]
    ) -> PlacementRequest:
        alive = [pod for pod in pods if pod.metadata.deletion_timestamp is None]
        current = request.current
        if current == journey.heading:
            journey.departed = True
            self._follow(journey, request, alive)
        elif journey.departed and not journey.returning:
            # Relief, its patience or a person has sent it elsewhere: it did not work out.
            self._fail(request.key, journey.target)
            del self._journeys[request.key]
        elif not journey.departed and self._now_s - journey.began_s >= _DEPART_S:
            del self._journeys[request.key]
        if request.key not in self._journeys or current == journey.heading:
            return request
        wanted = max(request.unbound + request.bound, journey.least)
        there = sum(holds_a_node(pod) and class_of(pod) == journey.heading for pod in alive)
        missing = max(0, wanted - there)
        return replace(request, current=journey.heading, bound=there, unbound=missing)

    def _follow(self, journey: _Journey, request: PlacementRequest, alive: list[Pod]) -> None:
        key, now_s = request.key, self._now_s
        there = [pod for pod in alive if class_of(pod) == journey.heading]
        ready = sum(pod.ready for pod in there)
        if ready > journey.ready:
            journey.ready, journey.progress_s = ready, now_s
        if journey.arrived_s is None and len(there) == len(alive) == ready > 0:
            journey.arrived_s = now_s
            logger.info("%s: moved from %s to %s", key, journey.source, journey.target)
        if journey.arrived_s is not None:
            held_s = SETTLE_S if journey.more and not journey.returning else 0.0
            if now_s - journey.arrived_s >= held_s:
                del self._journeys[key]
        elif not journey.returning and now_s - journey.progress_s >= STALL_S:
            self._fail(key, journey.target)
            journey.returning, journey.departed = True, False
            journey.why = f"no further replica became ready there in {STALL_S / 60:.0f} min"
            journey.began_s, journey.progress_s, journey.ready = now_s, now_s, 0

    def _fail(self, key: Key, target: str) -> None:
        self._failed.setdefault(key, {})[target] = self._now_s + FORGET_S

    # --- deciding ---------------------------------------------------------------------------------

    def next_s(self) -> float | None:
        """When to look again although nothing has changed; None: never."""
        if self._journeys:
            return self._now_s + self._look_s
        if not self._running:
            return None
        # Nobody tells when a service has become well, or a grid clean.
        every_s = self._look_s if self._wishes else self._steady_s
        due_s = self._looked_s + every_s
        return due_s if due_s > self._now_s else self._now_s + every_s

    def plan(
        self,
        planning: Planning,
        inventory: Inventory,
        requests: Mapping[Key, PlacementRequest],
        found: dict[Key, Assignment],
    ) -> dict[Key, Assignment]:
        """``found``, or a plan in which those are moved whose time has come."""
        for key, journey in list(self._journeys.items()):
            if not journey.departed and key in found and _name(found[key]) != journey.heading:
                del self._journeys[key]  # the room went before it had left
        self._drop_without_room(inventory, requests)
        if self._may_look():
            self._looked_s = self._now_s
            settled = {k: _as_found(one, found[k]) for k, one in requests.items() if k in found}
            found = self._look(planning, inventory, settled, found)
        return {key: self._told(key, assignment) for key, assignment in found.items()}

    def _may_look(self) -> bool:
        left = len(self._starts_s) < self._per_h
        return left and bool(self._able) and self._now_s - self._looked_s >= self._look_s

    def _look(
        self,
        planning: Planning,
        inventory: Inventory,
        requests: Mapping[Key, PlacementRequest],
        found: dict[Key, Assignment],
    ) -> dict[Key, Assignment]:
        able = {key for key in self._able if key in requests}
        trial = planning(inventory, self._asked(requests, able), len(able))
        for key in able:
            target, before = _name(trial[key]), self._wishes.get(key)
            if target in ("", requests[key].current):
                self._wishes.pop(key, None)
            elif before is None or before.target != target:
                self._wishes[key] = _Wish(target, self._now_s)
        self._drop_without_room(inventory, requests)
        due = {key for key in able if self._is_due(key)}
        if not due:
            return found
        left = self._per_h - len(self._starts_s)
        moved = planning(inventory, self._asked(requests, due), left)
        gone = {key for key in due if _name(moved[key]) == self._wishes[key].target}
        if any(_name(moved[key]) not in (requests[key].current, "") for key in due - gone):
            return found  # another class has become better for somebody: that has to last, too
        for key in gone:
            self._set_out(requests[key], moved[key], inventory)
        return moved if gone else found

    def _is_due(self, key: Key) -> bool:
        wish = self._wishes.get(key)
        return wish is not None and self._now_s - wish.since_s >= self._steady_s

    def _asked(
        self, requests: Mapping[Key, PlacementRequest], able: Collection[Key]
    ) -> Iterable[PlacementRequest]:
        for key, request in requests.items():
            if key not in able:
                yield request
                continue
            shunned = dict.fromkeys(self._able[key], "a move there would not do, or failed")
            yield replace(request, movable=True, avoid={**shunned, **request.avoid})

    def _drop_without_room(
        self, inventory: Inventory, requests: Mapping[Key, PlacementRequest]
    ) -> None:
        """Nodes that come and go must not move anybody: with the room goes the wish."""
        free: dict[str, int] = {}
        for key, wish in list(self._wishes.items()):
            request, kind = requests.get(key), named(inventory.kinds, wish.target)
            if request is None or key not in self._able:
                del self._wishes[key]
                continue
            if kind is None or kind.device_class or not kind.resource:
                continue
            if wish.target not in free:
                free[wish.target] = free_units(inventory, kind)
            needed = max(request.bound, replicas_on(request, wish.target))
            if free[wish.target] < needed * request.count:
                del self._wishes[key]

    def _set_out(
        self, request: PlacementRequest, assignment: Assignment, inventory: Inventory
    ) -> None:
        key, target = request.key, _name(assignment)
        least = max(request.bound, replicas_on(request, target))
        why = reason(request, target, inventory)
        more = least > request.bound
        journey = _Journey(request.current, target, why, least, more, self._now_s, self._now_s)
        self._journeys[key] = journey
        self._moved_s[key] = self._now_s
        self._starts_s.append(self._now_s)
        del self._wishes[key]
        logger.info("%s: %s", key, journey.told())

    def _told(self, key: Key, assignment: Assignment) -> Assignment:
        journey = self._journeys.get(key)
        if journey is None or _name(assignment) != journey.heading:
            return assignment
        if journey.arrived_s is not None:
            # The scaler follows demand again, but not below what a slower class was said to need.
            return replace(assignment, least=journey.least)
        why = Reason.MOVING_BACK if journey.returning else Reason.MOVING
        return replace(assignment, reason=why, message=journey.told(), least=journey.least)


def _as_found(request: PlacementRequest, assignment: Assignment) -> PlacementRequest:
    """The request as if what was found for it had come true: others' moves are not to be undone."""
    there = _name(assignment)
    if not there or there == request.current or not request.bound:
        return request
    return replace(request, current=there, bound=0, unbound=request.unbound + request.bound)


def _name(assignment: Assignment) -> str:
    return assignment.kind.name if assignment.kind is not None else ""


def reason(request: PlacementRequest, target: str, inventory: Inventory) -> str:
    """What a move gains, in words."""
    here, there = named(inventory.kinds, request.current), named(inventory.kinds, target)
    if here is None or there is None:
        return "its class has gone"
    saved = ""
    prices = [_per_h(request, kind) for kind in (here, there)]
    if prices[0] is not None and prices[1] is not None and prices[0] > prices[1]:
        saved = f"${prices[0] - prices[1]:.3g}/h less"
    if target in request.classes:
        return f"it prefers {target}, {saved}" if saved else f"it prefers {target}"
    if request.optimise == "Latency":
        return "a replica carries more there"
    if request.optimise == "Cost":
        return saved or "it costs less there, on spot"
    watts = [(kind.max_watts or 0.0) * _units(request, kind) for kind in (here, there)]
    if request.optimise == "Energy" or not inventory.carbon:
        return f"{watts[0] - watts[1]:.3g} W less"
    intensities = (inventory.carbon.get(kind.name, 0.0) for kind in (here, there))
    grams = [w / 1000 * g_per_kwh for w, g_per_kwh in zip(watts, intensities, strict=True)]
    return f"{grams[0] - grams[1]:.3g} g CO2e/h less"


def _per_h(request: PlacementRequest, kind: AcceleratorKind) -> float | None:
    price = price_per_h(kind, "OnDemand")
    return None if price is None else price * _units(request, kind)


def _units(request: PlacementRequest, kind: AcceleratorKind) -> int:
    return replicas_on(request, kind.name) * request.count
