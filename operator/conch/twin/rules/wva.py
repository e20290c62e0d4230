"""llm-d's workload variant autoscaler (WVA), saturation rule, with Triton's signals.

Source: llm-d/llm-d-workload-variant-autoscaler, saturation analyzer. Its two signals are KV cache
use and waiting requests per replica; here the share of batch places taken by requests in execution
stands for the first, Triton's pending gauge for the second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from conch.observe.types import Decision
from conch.twin.controller import Sight
from conch.twin.rules.setting import Rule, Setting, decision

LOOP_S: Final = 60.0
KV_SATURATED: Final = 0.80
QUEUE_SATURATED: Final = 5.0
KV_SPARE: Final = 0.10
QUEUE_SPARE: Final = 3.0


def saturation(
    used: Sequence[float],
    waiting: Sequence[float],
    replicas: int,
    starting: int,
    queue_saturated: float = QUEUE_SATURATED,
) -> int:
    """Replicas wanted: one more when the spare room of unsaturated replicas runs out, one fewer
    when the same load on N-1 keeps it; nothing while replicas start.

    ``used``: share of places taken (0..1) per replica; ``waiting``: requests queued per replica.
    """
    if starting or not used:
        return replicas
    queue_spare = QUEUE_SPARE * queue_saturated / QUEUE_SATURATED
    open_ = [
        (kv, queue)
        for kv, queue in zip(used, waiting, strict=True)
        if kv < KV_SATURATED and queue < queue_saturated
    ]
    if not open_:
        return replicas + 1
    count = len(open_)
    kv, queue = sum(kv for kv, _ in open_), sum(queue for _, queue in open_)
    if KV_SATURATED - kv / count < KV_SPARE or queue_saturated - queue / count < queue_spare:
        return replicas + 1
    if count > 1:
        fewer = count - 1
        keeps = KV_SATURATED - kv / fewer >= KV_SPARE
        if keeps and queue_saturated - queue / fewer >= queue_spare:
            return replicas - 1
    return replicas


@dataclass(slots=True)
class Wva:
    """The optimiser's loop for one variant."""

    name: str
    setting: Setting
    queue_saturated: float = QUEUE_SATURATED
    interval_s: float = LOOP_S

    def decide(self, sight: Sight) -> Decision:
        """One loop."""
        seen = sight.observation
        places = self.setting.instances * len(self.setting.service_s)
        waiting = [
            sum(counters.pending or 0.0 for counters in sample.models.values())
            for sample in seen.samples
            if not sample.error
        ]
        pods = min(len(waiting), len(sight.in_flight))
        used = [
            min(1.0, max(0.0, flight - queue) / places)
            for flight, queue in zip(sight.in_flight[:pods], waiting[:pods], strict=True)
        ]
        wanted = saturation(
            used, waiting[:pods], seen.replicas, len(seen.starting_age_s), self.queue_saturated
        )
        return decision(seen.replicas, wanted, self.setting, "saturation")


def rule(setting: Setting, queue_saturated: float) -> Wva:
    """WVA at a queue length per replica that counts as saturated."""
    return Wva(f"wva {queue_saturated:g}", setting, queue_saturated)


RULE: Final = Rule(
    name="wva",
    what="WVA-like saturation rule, one step a minute; untouched: queue 5",
    untouched=lambda setting: rule(setting, QUEUE_SATURATED),
    row=lambda setting: (40.0, 20.0, 10.0, 5.0, 3.0, 1.5, 0.7, 0.3),
    tuned=rule,
)
