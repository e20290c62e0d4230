"""Any rule, given Conch's late-reject too: a request that can't make its target is turned away.

The wrapper changes nothing about the rule; it only sets the queue policy beside its decision.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from conch.observe.types import Decision
from conch.twin.controller import Controller, Sight

_BATCHES = 1.2  # a full batch's time, with what its noise needs


def reject_after_s(target_s: float, full_batch_s: float) -> float:
    """The queue wait after which even the next batch comes too late; never below a tenth."""
    return max(0.1 * target_s, target_s - _BATCHES * full_batch_s)


@dataclass(slots=True)
class WithReject:
    """``inner``, with late-reject."""

    inner: Controller
    after_s: float

    @property
    def name(self) -> str:
        """The inner rule's name, marked."""
        return f"{self.inner.name} + reject"

    @property
    def interval_s(self) -> float:
        """The inner rule's."""
        return self.inner.interval_s

    def decide(self, sight: Sight) -> Decision:
        """The inner rule's decision, with the queue policy."""
        return replace(self.inner.decide(sight), reject_after_s=self.after_s)
