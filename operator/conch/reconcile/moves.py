"""Which services that run well move to another class because it is better: few, slowly, once.

The planner weighs what is gained against what moving costs; here is decided who may be asked about
and when. A gain must last: the same class has to win at every look for five minutes, with its units
free all the while. There is a budget of moves per hour for the whole cluster, and one per hour for
a service. The move itself is a rollout in which each new replica is ready before an old one ends;
as many as the new class needs are asked for first. A move on which nothing becomes ready is taken
back, and that class is left alone for a day. The budget and the failures stand in the services'
statuses (``moves_told``); for how long a class has been better, a new operator waits anew. Decides
only.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from conch.api.conditions import Reason
from conch.kube.views import Pod
from conch.observe.types import Assignment, Inventory, Key, Moved, PlacementRequest
from conch.placement.options import replicas_on
from conch.reconcile import moves_told
from conch.reconcile.moves_gain import gain
from conch.reconcile.moves_journey import Journey
from conch.reconcile.moves_ready import free_units, named

logger = logging.getLogger(__name__)

STEADY_S: Final = 300.0
"""A class has to be better for so long, unless the settings say otherwise."""
LOOK_S: Final = 60.0  # between two looks; each costs a plan. Longer while nobody wishes to move
REST_S: Final = 3600.0
"""Between two moves of a service."""
FORGET_S: Final = 86400.0
"""A class on which a move failed is left alone for so long."""

Planning = Callable[[Inventory, Iterable[PlacementRequest], int], dict[Key, Assignment]]


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
        self._journeys: dict[Key, Journey] = {}
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

    def begin(
        self,
        uids: Mapping[Key, str],
        now_s: float,
        statuses: Callable[[Key], Mapping[str, Any] | None] = lambda _: None,
    ) -> None:
        """A new look; ``uids`` are the services there are, ``now_s`` is a time since the epoch.

        ``statuses``: of those that are new, what was told of them before.
        """
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
        for key in [key for key in uids if self._uids.get(key) != uids[key]]:
            last_s, failed = moves_told.read(statuses(key), now_s, FORGET_S)
            if failed:
                self._failed[key] = failed
            if last_s is not None:
                self._moved_s[key] = last_s
                self._starts_s.append(last_s)
        self._uids = dict(uids)
        self._starts_s = [at_s for at_s in self._starts_s if now_s - at_s < REST_S]

    def told(self, key: Key) -> Moved | None:
        """What the status of a service is to say of it; None: nothing."""
        return moves_told.shown(self._moved_s.get(key), self._failed.get(key, {}), self._now_s)

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
            request = journey.follow(request, pods, self._now_s)
            if journey.failed:
                self._failed.setdefault(request.key, {})[journey.target] = self._now_s + FORGET_S
            if journey.over:
                del self._journeys[request.key]
            return replace(request, movable=False)
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
            elif journey.drains and key in found and found[key].room < requests[key].unbound:
                del self._journeys[key]  # more is wanted than it has room for: not on one class
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
            target, before = _target(trial[key], requests[key]), self._wishes.get(key)
            if not target:
                self._wishes.pop(key, None)
            elif before is None or before.target != target:
                self._wishes[key] = _Wish(target, self._now_s)
        self._drop_without_room(inventory, requests)
        due = {key for key in able if self._is_due(key)}
        if not due:
            return found
        left = self._per_h - len(self._starts_s)
        moved = planning(inventory, self._asked(requests, due), left)
        gone = {k for k in due if _target(moved[k], requests[k]) == self._wishes[k].target}
        if any(_target(moved[key], requests[key]) for key in due - gone):
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
            needed = max(request.wanted, replicas_on(request, wish.target))
            if free[wish.target] < (needed - request.runs_on(wish.target)) * request.count:
                del self._wishes[key]

    def _set_out(
        self, request: PlacementRequest, assignment: Assignment, inventory: Inventory
    ) -> None:
        key, target = request.key, _name(assignment)
        least = max(request.wanted, replicas_on(request, target))
        why = gain(request, target, inventory, assignment.tiers if assignment.relocates else ())
        more = least > request.wanted
        journey = Journey(request.current, target, why, least, more, self._now_s)
        journey.beside = tuple(request.elsewhere)
        if assignment.relocates:
            journey.areas, journey.left = assignment.tiers, request.tiers or ()
        self._journeys[key] = journey
        self._moved_s[key] = self._now_s
        self._starts_s.append(self._now_s)
        del self._wishes[key]
        logger.info("%s: %s", key, journey.told())

    def _told(self, key: Key, assignment: Assignment) -> Assignment:
        journey = self._journeys.get(key)
        if journey is None or _name(assignment) != journey.heading:
            return assignment
        if journey.areas:
            assignment = replace(assignment, relocates=True, tiers=journey.preferred)
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
    return replace(request, current=there, tiers=None, bound=0, parts={}, unbound=request.wanted)


def _target(assignment: Assignment, request: PlacementRequest) -> str:
    """The class that all of a service goes to; "": it stays as it is."""
    name = _name(assignment)
    if name != request.current or assignment.relocates:
        return name
    on = {part.kind.name for part in assignment.parts} - {name}
    return name if request.elsewhere and not on else ""


def _name(assignment: Assignment) -> str:
    return assignment.kind.name if assignment.kind is not None else ""
