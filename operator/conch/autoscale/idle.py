"""To zero and back: whether the last replica may go, and whether the first one must come.

Decides on top of the scaler's Decision, which knows no zero. It goes to zero only after every
replica's own counters have stood still for the whole time, and only while something is there to
hold what may arrive; without data it stays. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from conch.api.conditions import Reason
from conch.autoscale.explain import replicas as counted
from conch.observe.types import Decision, PodSample

_FRESH_S: Final = 15.0
"""Counters read longer ago say nothing of now: the last replica waits for the next look."""


@dataclass(frozen=True, slots=True)
class Quiet:
    """Since when no replica of one service has counted a request; None: not known."""

    totals: Mapping[str, float] = field(default_factory=dict)
    since_s: float | None = None
    looked_s: float | None = None  # when every ready pod last answered

    def after(self, samples: Sequence[PodSample], now_s: float) -> Quiet:
        """With one more look at every ready pod.

        A pod that did not answer changes nothing: its counters will tell later. One that is new
        must not have counted anything yet. With no pod left of those known, the past is unknown.
        """
        answered = {s.pod: _total(s) for s in samples if not s.error}
        listed = {s.pod for s in samples}
        moved = any(total != self.totals.get(pod, 0.0) for pod, total in answered.items())
        busy = any(
            (model.pending or 0.0) > 0
            for sample in samples
            if not sample.error
            for model in sample.models.values()
        )
        strangers = not (self.totals.keys() & listed)
        since_s = now_s if moved or busy or strangers or self.since_s is None else self.since_s
        totals = {pod: total for pod, total in self.totals.items() if pod in listed} | answered
        if not answered and strangers:
            return Quiet()
        complete = len(answered) == len(samples)
        return Quiet(totals, since_s, now_s if complete else self.looked_s)

    def lasted_s(self, now_s: float) -> float:
        """For how long nothing was counted; 0 when the last whole look is too long ago."""
        if self.since_s is None or self.looked_s is None or now_s - self.looked_s > _FRESH_S:
            return 0.0
        return now_s - self.since_s


def _total(sample: PodSample) -> float:
    return sum(model.success + model.failure for model in sample.models.values())


@dataclass(frozen=True, slots=True)
class Activators:
    """What could hold requests for the service: how many (None: not known yet) hold how many."""

    listening: int | None
    held: int


def decide(
    decision: Decision,
    quiet: Quiet,
    activators: Activators,
    *,
    replicas: int,
    to_zero_after_s: float,
    now_s: float,
) -> Decision:
    """The scaler's decision, or one that goes to zero, stays there, or comes back.

    ``replicas`` is what the Deployment asks for now.
    """
    if replicas == 0:
        return _at_zero(activators)
    if activators.held or quiet.lasted_s(now_s) < to_zero_after_s:
        return decision
    lasted = _span(quiet.lasted_s(now_s))
    if not activators.listening:
        return replace(
            decision,
            reason=Reason.NO_ACTIVATOR,
            message=f"no request for {lasted}, but no activator listens for the service: "
            f"keeping {counted(decision.replicas)}",
        )
    return replace(
        decision,
        replicas=0,
        reason=Reason.IDLE,
        message=f"no request for {lasted}: no replica until the next one",
        demand_rps=0.0,
        bound_rps=0.0,
    )


def _at_zero(activators: Activators) -> Decision:
    if activators.held:
        waiting = f"{activators.held} connection{'s wait' if activators.held > 1 else ' waits'}"
        return Decision(1, Reason.FROM_ZERO, f"{waiting} at the activator: starting a replica")
    if activators.listening == 0:
        return Decision(
            1,
            Reason.NO_ACTIVATOR,
            "no activator listens for the service, so nobody would hold a request: "
            "starting a replica",
        )
    return Decision(0, Reason.IDLE, "no replica until the next request", demand_rps=0.0)


def _span(seconds: float) -> str:
    """``90 s``, ``15 min``, ``3 h``."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
