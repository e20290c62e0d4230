"""What the autoscaler remembers of one service between steps: values, bounded in size.

Losing it costs a hold window, never a wrong decision: the first step after a restart only looks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from conch.autoscale.curve import Curve
from conch.autoscale.health import Health
from conch.autoscale.horizon import Demand
from conch.autoscale.strain import Strain
from conch.autoscale.tuning import Tuning
from conch.triton.sample import PodSample


@dataclass(frozen=True, slots=True)
class Plan:
    """s(1) … s(B) in seconds, and its noise (relative standard deviation of one execution)."""

    service_s: tuple[float, ...]
    noise: float


@dataclass(frozen=True, slots=True)
class ModelState:
    """What is known of one model.

    ``plan`` is the curve that capacity is computed from: it follows the learned one in steps,
    since solving the queue anew for every breath of the curve would cost more than all the rest.
    """

    curve: Curve = field(default_factory=Curve)
    plan: Plan | None = None
    demand: Demand = field(default_factory=Demand)
    health: Health = field(default_factory=Health)
    pending: float = 0.0
    beside_s: float = 0.0  # see triton.sample.ModelCounters


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
