"""Idleness on top of the scaler's decisions, and what is remembered for it of each service.

It looks at nothing itself: the scaling loop hands it every look, and the activators' reports are in
the state.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from conch.api import v1alpha1
from conch.api.conditions import Reason
from conch.autoscale import idle
from conch.observe.durations import seconds
from conch.observe.state import ClusterState
from conch.observe.types import Decision, Key, PodSample

# At zero, without an activator, nobody would hold a request: a replica must come. But a moment in
# which the operator reaches none must not start every idle service there is.
_ALONE_S: Final = 10.0


class ToZero:
    """By the service's uid: a namesake starts anew."""

    def __init__(self, state: ClusterState) -> None:
        self._state = state
        self._quiet: dict[str, idle.Quiet] = {}
        self._alone_since_s: dict[str, float] = {}

    def keep(self, living: Collection[str]) -> None:
        """Forget all services but these."""
        for uid in self._quiet.keys() - set(living):
            del self._quiet[uid]
        for uid in self._alone_since_s.keys() - set(living):
            del self._alone_since_s[uid]

    def decide(
        self,
        key: Key,
        service: v1alpha1.InferenceService,
        decision: Decision,
        samples: Sequence[PodSample],
        replicas: int,
        now_s: float,
    ) -> Decision:
        """The scaler's decision, or one that goes to zero, stays there, or comes back.

        ``samples``: one for each ready pod. ``replicas``: what the Deployment asks for.
        """
        uid = service.metadata.uid
        rule = service.spec.scaling.idle
        if rule is None or service.spec.scaling.mode != "Latency":
            self._quiet.pop(uid, None)
            return decision
        quiet = self._quiet.get(uid, idle.Quiet()).after(samples, now_s)
        self._quiet[uid] = quiet
        return idle.decide(
            decision,
            quiet,
            self._activators(key, uid, now_s),
            replicas=replicas,
            to_zero_after_s=seconds(rule.to_zero_after),
            now_s=now_s,
        )

    def at_zero(
        self, key: Key, service: v1alpha1.InferenceService, now_s: float
    ) -> Decision | None:
        """What to do about a service without replicas; None: it may not be there at all."""
        if self._state.live_replicas(key) != 0 or service.spec.scaling.idle is None:
            return None
        nothing = Decision(0, Reason.IDLE, "")
        return self.decide(key, service, nothing, (), 0, now_s)

    def _activators(self, key: Key, uid: str, now_s: float) -> idle.Activators:
        found = self._state.activation.of(key)
        if found is not None and (found.addresses or not found.known):
            self._alone_since_s.pop(uid, None)
            return idle.Activators(len(found.addresses) or None, found.held)
        since_s = self._alone_since_s.setdefault(uid, now_s)
        sure = now_s - since_s >= _ALONE_S
        return idle.Activators(0 if sure else None, found.held if found else 0)
