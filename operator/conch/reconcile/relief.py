"""Which services go to another class because theirs has no room for all their replicas.

The planner keeps a service on its class while anything of it runs there. Replicas that have waited
there for a while go to other classes, and what runs stays (``PlacementRequest.spill``). Where that
does not do (the service may not be on several classes, or all of them together have no room), it
moves as a whole to where more of it finds room. The rollout takes nothing away before its successor
is ready. One that has all its replicas somewhere is never moved; nor is one whose replicas are
still starting, so that a slow start is no reason to start anew. One that finds nothing where it
went goes back to where it still runs. Decides only, and keeps in memory only where services are on
their way to.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from conch.kube.views import Pod
from conch.observe.family import class_of
from conch.observe.types import Assignment, Inventory, Key, PlacementRequest
from conch.placement.beside import may_split
from conch.reconcile.patience import holds_a_node, waits
from conch.reconcile.steps import split

CROWDED_S: Final = 3.0
"""A replica may wait for so long for room on its class before another class is looked at."""
ENDING_S: Final = 5.0
"""A pod that is still there so long after its time to end will not make room."""

Planning = Callable[[Inventory, Iterable[PlacementRequest]], dict[Key, Assignment]]


class Relief:
    """Services that wait for room on their class, and those on their way to another."""

    def __init__(self) -> None:
        self._heading: dict[Key, str] = {}
        self._overdue: set[Key] = set()
        self._homes: dict[Key, tuple[str, int]] = {}  # a class that was left, and its replicas
        self._next_s: float | None = None

    def begin(self) -> None:
        """A new look at all services."""
        self._overdue.clear()
        self._homes.clear()
        self._next_s = None

    def note(
        self,
        request: PlacementRequest,
        pods: Iterable[Pod],
        before: Assignment | None,
        now_s: float,
    ) -> PlacementRequest:
        """Take in a service that may be moved; the request as it is to be planned for.

        ``pods`` are those it has, without those whose node goes, ``before`` what was planned for it
        last; ``now_s`` is a time since the epoch, in seconds.
        """
        alive = [pod for pod in pods if pod.metadata.deletion_timestamp is None]
        self._look(request, alive, now_s)
        if not (alive and request.current) or request.spill is not None:
            return request
        promised = 0
        for part in before.parts if before is not None else ():
            if not part.main:
                promised += max(0, part.replicas - request.parts.get(part.kind.name, 0))
        if not request.unbound or sum(map(holds_a_node, alive)) >= request.wanted:
            return replace(request, spill=promised)  # what waits is a rollout's
        if before is None:
            return request  # of one that has just started nobody knows what was promised
        return replace(request, spill=promised + self._crowded(request, alive, now_s))

    def _crowded(self, request: PlacementRequest, alive: Sequence[Pod], now_s: float) -> int:
        """How many replicas have waited long enough for room on their class, or one it has left."""
        own = (pod for pod in alive if not split.is_beside(pod))
        waiting = [found[0] for pod in own if (found := waits(pod, class_of(pod))) is not None]
        due = [since_s + CROWDED_S for since_s in waiting]
        self.look_at(min((due_s for due_s in due if due_s > now_s), default=None))
        return sum(due_s <= now_s for due_s in due)

    def look_at(self, due_s: float | None) -> None:
        """An answer changes then, by time alone."""
        if due_s is not None:
            self._next_s = due_s if self._next_s is None else min(self._next_s, due_s)

    def _look(self, request: PlacementRequest, alive: Sequence[Pod], now_s: float) -> None:
        key, current = request.key, request.current
        held = Counter(map(class_of, filter(holds_a_node, alive)))
        if not (current and request.unbound):
            return
        if not request.bound:
            # The planner itself finds a class for what runs nowhere.
            if held:
                self._homes[key] = held.most_common(1)[0]
            return
        if held.total() >= request.wanted:
            return  # what waits is a rollout's
        if request.classes == (current,) and not request.allow_cpu:
            return
        if self._heading.get(key, current) != current:
            self._overdue.add(key)
            return
        own = [pod for pod in alive if class_of(pod) == current]
        if any(pod.spec.node_name and not pod.ready for pod in own):
            return
        since = [waited[0] for pod in own if (waited := waits(pod, current)) is not None]
        if not since:
            return
        due_s = min(since) + CROWDED_S
        if now_s >= due_s:
            self._overdue.add(key)
        else:
            self.look_at(due_s)

    def next_s(self) -> float | None:
        """When an answer changes by time alone; None: never."""
        return self._next_s

    def plan(
        self, plan: Planning, inventory: Inventory, requests: Mapping[Key, PlacementRequest]
    ) -> dict[Key, Assignment]:
        """What ``plan`` says, with those moved who can be."""
        stay = plan(inventory, requests.values())
        back = {
            key: _back(requests[key], *home)
            for key, home in self._homes.items()
            if key in requests and stay[key].kind is None
        }
        if back:
            requests = {**requests, **back}
            stay = plan(inventory, requests.values())
        asked = {
            key: _anew(requests[key], self._heading.get(key, ""))
            for key in self._overdue
            if key in requests and _is_short(requests[key], stay[key])
        }
        self._heading = {}
        if not asked:
            return stay
        tried = plan(inventory, {**requests, **asked}.values())
        moved = {
            key: replace(request, current=kind.name)
            for key, request in asked.items()
            if (kind := tried[key].kind) is not None
            and kind.name != requests[key].current
            and tried[key].room + tried[key].room_beside
            > _room(requests[key], stay[key]) + _runs(requests[key])
        }
        self._heading = {key: request.current for key, request in moved.items()}
        if not moved:
            return stay
        if len(moved) == len(asked):
            return tried
        return plan(inventory, {**requests, **moved}.values())


def _room(request: PlacementRequest, stay: Assignment) -> int:
    """For how many of the waiting replicas there is room where the service is, or beside it."""
    return stay.room_beside + (0 if request.current in request.avoid else stay.room)


def _runs(request: PlacementRequest) -> int:
    """What a move as a whole has to make up for: where a service may be on several classes, room
    for a few is found without it.
    """
    return request.bound + sum(request.parts.values()) if may_split(request) else 0


def _is_short(request: PlacementRequest, stay: Assignment) -> bool:
    """Whether staying leaves replicas without a node."""
    if stay.kind is None or stay.kind.name != request.current:
        return False
    return _room(request, stay) < request.unbound


def _back(request: PlacementRequest, home: str, bound: int) -> PlacementRequest:
    """The same service on the class that it has left, where so many of it run."""
    missing = max(0, request.wanted - bound)
    return replace(request, current=home, bound=bound, on_demand_bound=0, parts={}, unbound=missing)


def _anew(request: PlacementRequest, heading: str) -> PlacementRequest:
    """The same service on any class but its own; what runs has to come along."""
    told = f"no room for {request.unbound} of {request.wanted} replicas"
    return replace(
        request,
        current=heading,
        tiers=None,
        bound=0,
        on_demand_bound=0,
        parts={},
        unbound=request.wanted,
        min_replicas=request.wanted,
        avoid={request.current: told, **request.avoid},
    )
