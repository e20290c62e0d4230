"""What a pod did between two looks at it: from counters that start anew when its server does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from conch.observe.types import PodSample
from conch.triton.power import GpuPower


@dataclass(frozen=True, slots=True)
class Seen:
    """Counters of one pod at one look, and what it did until then."""

    at_s: float
    inferences: float
    busy_s: float
    gpus: Mapping[str, GpuPower]
    elapsed_s: float = 0.0  # since the look before
    worked_s: float = 0.0
    watts: Mapping[str, float] = field(default_factory=dict)


def after(look: PodSample, old: Seen | None) -> Seen:
    """The look's counters against the ones before; a server that restarted begins anew."""
    if old is not None and look.at_s <= old.at_s:
        return old
    inferences = sum(c.inferences for c in look.models.values())
    busy_s = sum(stat.compute_s for c in look.models.values() for stat in c.batches.values())
    if old is None or inferences < old.inferences or busy_s < old.busy_s:
        drawn = {u: g.power_w for u, g in look.gpus.items() if g.power_w is not None}
        return Seen(look.at_s, inferences, busy_s, look.gpus, watts=drawn)
    elapsed_s = look.at_s - old.at_s
    return Seen(
        look.at_s,
        inferences,
        busy_s,
        look.gpus,
        elapsed_s,
        busy_s - old.busy_s,
        {
            uuid: watts
            for uuid, gpu in look.gpus.items()
            if (watts := _watts(gpu, old.gpus.get(uuid), elapsed_s)) is not None
        },
    )


def _watts(gpu: GpuPower, old: GpuPower | None, elapsed_s: float) -> float | None:
    """The energy counter's mean where it moves (some GPUs have none), else the last reading."""
    used_j = gpu.energy_j - old.energy_j if old is not None else 0.0
    return used_j / elapsed_s if used_j > 0 else gpu.power_w
