"""A service on its way to another class: how far it is, and when that has failed.

Follows what is seen of Deployment and pods, and says for what the service is to be planned until
its Deployment names the class it goes to. It decides nothing about others.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from conch.kube.views import Pod
from conch.observe.family import class_of
from conch.observe.types import PlacementRequest, Tiers
from conch.reconcile.patience import holds_a_node

STALL_S: Final = 900.0
"""A move on which no further replica becomes ready for so long has failed."""
SETTLE_S: Final = 600.0
"""After a move to a slower class its number of replicas is held until the scaler knows it."""
_DEPART_S: Final = 60.0  # the Deployment names the new class by then, or the move is off


@dataclass(slots=True)
class Journey:
    """``least``: replicas held meanwhile; ``more``: it is more than ran before.

    ``beside``: classes that it is on as well; where it only leaves those, ``target`` is ``source``.
    ``areas``: it stays on its class, and its pods prefer those from now on; ``left``: those before.
    """

    source: str
    target: str
    why: str
    least: int
    more: bool
    began_s: float
    ready: int = 0
    progress_s: float = 0.0
    departed: bool = False
    returning: bool = False
    arrived_s: float | None = None
    failed: bool = False
    over: bool = False
    beside: tuple[str, ...] = ()
    areas: Tiers = ()
    left: Tiers = ()

    @property
    def heading(self) -> str:
        """The class it goes to now."""
        return self.source if self.returning else self.target

    def told(self) -> str:
        """Where from, where to, and why."""
        if self.areas:
            first = " and ".join(value for _, value in (self.preferred or self.areas)[0])
            there = f"back to where it was in {self.target}" if self.returning else f"to {first}"
            return f"moves {there}: {self.why}"
        if self.returning:
            return f"moves back from {self.target} to {self.source}: {self.why}"
        left = [name for name in (self.source, *self.beside) if name != self.target]
        return f"moves from {' and '.join(left)} to {self.target}: {self.why}"

    @property
    def gathers(self) -> bool:
        """Whether it only leaves other classes for its own."""
        return self.source == self.target and not self.areas

    @property
    def drains(self) -> bool:
        """Whether it is still leaving other classes than its own."""
        return bool(self.beside) and self.arrived_s is None

    @property
    def preferred(self) -> Tiers:
        """The areas that its pods prefer at the end of the way."""
        return self.left if self.returning else self.areas

    def follow(
        self, request: PlacementRequest, pods: Collection[Pod], now_s: float
    ) -> PlacementRequest:
        """The request as it is to be planned for, after a look at its Deployment and ``pods``."""
        alive = [pod for pod in pods if pod.metadata.deletion_timestamp is None]
        if self.areas and request.current == self.heading and request.tiers != self.preferred:
            # A rollout has found areas that are better still, or it has not left yet.
            self.over = self.departed or now_s - self.began_s >= _DEPART_S
        elif request.current == self.heading:
            self._go_on(alive, now_s)
        elif self.departed:
            # Relief, its patience or a person has sent it elsewhere: it did not work out.
            self.failed, self.over = True, True
        elif now_s - self.began_s >= _DEPART_S:
            self.over = True
        if self.gathers and request.current in request.avoid:
            self.failed, self.over = True, True  # what was to come found no node
        if self.over or (request.current == self.heading and not request.elsewhere):
            return request
        wanted = max(request.wanted, self.least)
        # Its own Deployment is asked for all; what has a Deployment there already stays that.
        parts = {name: n for name, n in request.parts.items() if name == self.heading}
        there = sum(holds_a_node(pod) and class_of(pod) == self.heading for pod in alive)
        bound = max(0, there - sum(parts.values()))
        return replace(
            request,
            current=self.heading,
            tiers=None,
            bound=bound,
            parts=parts,
            unbound=max(0, wanted - bound - sum(parts.values())),
            spill=0,
        )

    def _go_on(self, alive: list[Pod], now_s: float) -> None:
        """Its Deployment names the class."""
        self.departed = True
        there = [pod for pod in alive if self._is_there(pod)]
        ready = sum(pod.ready for pod in there)
        if ready > self.ready:
            self.ready, self.progress_s = ready, now_s
        if self.arrived_s is None and len(there) == len(alive) == ready > 0:
            self.arrived_s = now_s
        if self.arrived_s is not None:
            held_s = SETTLE_S if self.more and not self.returning else 0.0
            self.over = now_s - self.arrived_s >= held_s
        elif now_s - max(self.began_s, self.progress_s) >= STALL_S:
            self.failed, self.over = True, self.returning or self.gathers
            if not self.over:
                self._turn_back(now_s)

    def _is_there(self, pod: Pod) -> bool:
        if class_of(pod) != self.heading:
            return False
        made = datetime.fromisoformat(pod.metadata.creation_timestamp)
        return not self.areas or made.timestamp() > self.began_s - 1  # whole seconds

    def _turn_back(self, now_s: float) -> None:
        self.returning, self.departed = True, False
        self.why = f"no further replica became ready there in {STALL_S / 60:.0f} min"
        self.began_s, self.progress_s, self.ready = now_s, now_s, 0
