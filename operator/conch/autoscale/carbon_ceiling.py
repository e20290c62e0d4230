"""Fewer replicas while the grid is dirty: only what stands above the objective's floor.

In mode Latency the scaler asks for what the objective takes, and no ceiling touches that: what is
taken away is what schedules hold beyond it. In mode External it is what somebody asks for. Never
below ``minReplicas``. Where the grid's intensity is not known there is no ceiling. Pure.
"""

from __future__ import annotations

from dataclasses import replace

from conch.api.v1alpha1 import CarbonCeiling, Scaling
from conch.autoscale.schedule import Limits


def active(scaling: Scaling, g_per_kwh: float | None) -> CarbonCeiling | None:
    """The lowest ceiling that holds at an intensity; None: none does, or it is not known."""
    if g_per_kwh is None:
        return None
    found = [one for one in scaling.carbon_ceilings or () if g_per_kwh > one.above]
    return min(found, key=lambda one: (one.max_replicas, -one.above), default=None)


def capped(limits: Limits, scaling: Scaling, g_per_kwh: float | None) -> Limits:
    """The limits with what a ceiling leaves of them."""
    ceiling = active(scaling, g_per_kwh)
    if ceiling is None:
        return limits
    most = max(scaling.min_replicas, ceiling.max_replicas)
    external = scaling.mode == "External"
    found = replace(
        limits,
        least=min(limits.least, most),
        most=min(limits.most, most) if external else limits.most,
    )
    return replace(found, dirty_above=ceiling.above) if found != limits else limits
