"""Whose watts are whose: from meters where there are any, modelled where there are none.

Order of belief per pod: Kepler's share of the pod; the meter of its GPUs (Triton's own, else
DCGM's); a model. A GPU that several pods share is split: its idle power evenly, what it draws
beyond that by the compute time of each. The model is idle watts plus the share of time spent
computing times what is above them, and is always marked as an estimate.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from conch.observe.types import AcceleratorKind


@dataclass(frozen=True, slots=True)
class Use:
    """One pod since the last look. ``gpus``: watts of each of its GPUs as metered, by UUID.

    ``busy_s``: time spent computing, out of ``elapsed_s``; both 0 when nothing was heard of it.
    ``own_w``: watts that a meter attributes to this pod alone.
    """

    pod: str
    kind: AcceleratorKind
    units: int
    elapsed_s: float = 0.0
    busy_s: float = 0.0
    gpus: Mapping[str, float] = field(default_factory=dict)
    own_w: float | None = None

    @property
    def utilisation(self) -> float:
        """Share of the time its accelerators computed, 0..1."""
        if self.elapsed_s <= 0:
            return 0.0
        return min(1.0, self.busy_s / (self.elapsed_s * max(1, self.units)))


@dataclass(frozen=True, slots=True)
class Watts:
    """Electrical power of one pod."""

    watts: float
    estimated: bool


def attribute(uses: Sequence[Use]) -> dict[str, Watts]:
    """Power of each pod by its id; a pod of which nothing can be said is absent.

    All pods at once, of whatever service: only so a shared GPU is seen to be shared.
    """
    sharers: dict[str, list[Use]] = defaultdict(list)
    for use in uses:
        if not use.kind.mig_profile:  # a board's meter says nothing about its slices
            for uuid in use.gpus:
                sharers[uuid].append(use)
    metered: dict[str, float] = defaultdict(float)
    for uuid, there in sharers.items():
        for pod, watts in _split(uuid, there).items():
            metered[pod] += watts
    found = {}
    for use in uses:
        if use.own_w is not None:
            found[use.pod] = Watts(use.own_w, estimated=False)
        elif use.pod in metered:
            missing = max(0, use.units - len(use.gpus)) if use.kind.shared_by == 1 else 0
            rest = modelled(use.kind, missing, use.utilisation) if missing else 0.0
            shared = use.kind.shared_by > 1 or any(len(sharers[uuid]) > 1 for uuid in use.gpus)
            found[use.pod] = Watts(metered[use.pod] + (rest or 0.0), bool(missing) or shared)
        elif (model := modelled(use.kind, use.units, use.utilisation)) is not None:
            found[use.pod] = Watts(model, estimated=True)
    return found


def modelled(kind: AcceleratorKind, units: int, utilisation: float) -> float | None:
    """Watts of so many accelerators; without idle watts they are taken to draw none idle."""
    if kind.max_watts is None:
        return None
    idle = min(kind.idle_watts or 0.0, kind.max_watts)
    return units * (idle + (kind.max_watts - idle) * utilisation)


def _split(uuid: str, there: Sequence[Use]) -> dict[str, float]:
    """One board's power among the pods on it, those of others counted only in its idle power."""
    board_w = max(use.gpus[uuid] for use in there)
    most = max(len(there), *(use.kind.shared_by for use in there))
    idle_w = min(board_w, _board_idle_w(use.kind for use in there))
    busy_s = sum(use.busy_s for use in there)
    return {
        use.pod: idle_w / most
        + (board_w - idle_w) * (use.busy_s / busy_s if busy_s > 0 else 1 / len(there))
        for use in there
    }


def _board_idle_w(kinds: Iterable[AcceleratorKind]) -> float:
    """A shared unit has its part of the board's idle watts."""
    return max((kind.idle_watts or 0.0) * kind.shared_by for kind in kinds)
