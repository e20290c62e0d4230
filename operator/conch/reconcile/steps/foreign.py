"""Whether somebody else scales our Deployment: then its replicas are left alone, and it is told.

One that writes now and then (`kubectl scale`) is put right; one that writes again and again is an
autoscaler of some kind, and two writers of one number would only fight.
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from conch.api import names
from conch.observe.state import Observation

_PATIENCE: Final = 2  # times that replicas are taken back from the same manager in the time below
_FIGHT_S: Final = 600.0


def judge(obs: Observation) -> str:
    """Who scales, what follows and what to do; "" when it is ours alone."""
    if ("Deployment", obs.key.name) not in obs.children:
        return ""
    who = ", ".join(obs.foreign.autoscalers)
    if who:
        scales = f"{who} scales Deployment {obs.key.name}, which is Conch's"
        remedy = "delete it, or let it"
    elif writer := _fighter(obs):
        scales = (
            f"Field manager {writer} keeps setting spec.replicas of Deployment {obs.key.name}, "
            "which is Conch's"
        )
        remedy = "stop it, or let it"
    else:
        return ""
    return (
        f"{scales}: its replicas are left alone. For one scaler only, {remedy} target "
        f"InferenceService {obs.key.name} ({names.API_VERSION}) with scaling.mode External."
    )


def _fighter(obs: Observation) -> str:
    """The manager that owns replicas although they were taken back lately, and again; or ""."""
    owner = obs.foreign.owner
    now = datetime.fromisoformat(obs.now)
    recent = [
        retake
        for retake in obs.foreign.retakes
        if retake.manager == owner and _age_s(retake.time, now) < _FIGHT_S
    ]
    return owner if owner and len(recent) >= _PATIENCE else ""


def _age_s(time: str, now: datetime) -> float:
    return (now - datetime.fromisoformat(time)).total_seconds()
