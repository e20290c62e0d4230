"""What the autoscaler remembers of one service between steps: values, bounded in size.

Losing it costs a hold window, never a wrong decision: the first step after a restart only looks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from conch.autoscale.curve import Curve
from conch.autoscale.groups import Mix
from conch.autoscale.health import Health
from conch.autoscale.horizon import Demand
from conch.autoscale.season import Season
from conch.autoscale.strain import Strain
from conch.autoscale.tuning import Tuning
from conch.triton.sample import PodSample


@dataclass(frozen=True, slots=True)
class Plan:
    """s(1) … s(B) in seconds, and its noise (relative standard deviation of one execution)."""

    service_s: tuple[float, ...]
    noise: float


@dataclass(frozen=True, slots=True)
class Speed:
    """How fast replicas of one group serve one model.

    ``plan`` is the curve that capacity is computed from: it follows the learned one in steps,
    since solving the queue anew for every breath of the curve would cost more than all the rest.
    """

    curve: Curve = field(default_factory=Curve)
    plan: Plan | None = None
    beside_s: float = 0.0  # see triton.sample.ModelCounters


@dataclass(frozen=True, slots=True)
class ModelState:
    """What is known of one model. ``speeds``: by group, the one seen last at the end."""

    speeds: Mapping[str, Speed] = field(default_factory=dict)
    demand: Demand = field(default_factory=Demand)
    health: Health = field(default_factory=Health)
    pending: float = 0.0

    def is_known(self, group: str) -> bool:
        """Whether the service time on replicas of a group is known."""
        return group in self.speeds and self.speeds[group].plan is not None

    def speed(self, group: str) -> Speed | None:
        """That of a group; while it is not known, that of the group that was seen last."""
        if self.is_known(group):
            return self.speeds[group]
        return next((s for s in reversed(list(self.speeds.values())) if s.plan is not None), None)


@dataclass(frozen=True, slots=True)
class ScalerState:
    """One service. ``watching_since_s``: since when every step could see; None while blind.
    ``arriving_s``: when a request was seen last; ``reject_after_s``: as decided last."""

    stepped_s: float | None = None
    fresh_s: float | None = None
    watching_since_s: float | None = None
    stepped_down_s: float | None = None
    baselines: Mapping[str, PodSample] = field(default_factory=dict)
    models: Mapping[str, ModelState] = field(default_factory=dict)
    arriving_s: float | None = None
    reject_after_s: float | None = None
    # As observed last, and the cold starts seen in between: for loops that measure none.
    ready: int = 0
    starting_age_s: tuple[float, ...] = ()
    cold_start_s: tuple[float, ...] = ()
    tuning: Tuning = field(default_factory=Tuning)
    strain: Strain = field(default_factory=Strain)
    mix: Mix = field(default_factory=Mix)
    season: Season = field(default_factory=Season)
