"""Conch's own scaler as a Controller: the same ``step`` that the operator runs.

One fixed configuration for every workload: the objective and the limits, nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from conch.autoscale import ScalerState, step
from conch.observe.types import Decision, ScalingPolicy
from conch.twin.controller import Sight
from conch.twin.rules.setting import Setting


@dataclass(slots=True)
class Conch:
    """``conch.autoscale.step``, with its state."""

    name: str
    policy: ScalingPolicy
    interval_s: float
    state: ScalerState = field(default_factory=ScalerState)

    def decide(self, sight: Sight) -> Decision:
        """One step."""
        self.state, decision = step(self.policy, self.state, sight.observation)
        return decision


def policy(setting: Setting, model: str, late_reject: bool) -> ScalingPolicy:
    """What an InferenceService of this setting promises and allows."""
    return ScalingPolicy(
        percentile=setting.percentile,
        target_s=setting.target_s,
        min_replicas=setting.min_replicas,
        max_replicas=setting.max_replicas,
        models=(model,),
        max_batch={model: len(setting.service_s)},
        instances={model: setting.instances},
        late_reject=late_reject,
        queue_delay_s={model: setting.queue_delay_s},
        queue_policy=frozenset((model,) if setting.queue_policy else ()),
    )


def conch(
    setting: Setting, late_reject: bool = True, interval_s: float = 5.0, model: str = "model"
) -> Conch:
    """Conch's scaler for a service."""
    name = "conch" if late_reject else "conch, no reject"
    return Conch(name, policy(setting, model, late_reject), interval_s)
