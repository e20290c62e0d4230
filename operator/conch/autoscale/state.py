"""What the autoscaler remembers of one service between steps: values, bounded in size.

Losing it costs a hold window, never a wrong decision: the first step after a restart only looks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from conch.autoscale.curve import Curve
from conch.autoscale.health import Health
from conch.autoscale.horizon import Demand
from conch.triton.sample import PodSample


@dataclass(frozen=True, slots=True)
class ModelState:
    """What is known of one model."""

    curve: Curve = field(default_factory=Curve)
    demand: Demand = field(default_factory=Demand)
    health: Health = field(default_factory=Health)
    pending: float = 0.0


@dataclass(frozen=True, slots=True)
class Need:
    """The most replicas (a fraction) that a short span of time asked for."""

    at_s: float
    replicas: float
    bound_rps: float


@dataclass(frozen=True, slots=True)
class ScalerState:
    """One service. ``watching_since_s``: since when every step could see; None while blind."""

    stepped_s: float | None = None
    fresh_s: float | None = None
    watching_since_s: float | None = None
    stepped_down_s: float | None = None
    baselines: Mapping[str, PodSample] = field(default_factory=dict)
    models: Mapping[str, ModelState] = field(default_factory=dict)
    needs: tuple[Need, ...] = ()
