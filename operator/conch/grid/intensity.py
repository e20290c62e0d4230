"""How much carbon a kilowatt-hour of a grid carries: values only, no I/O.

Average and marginal intensity answer different questions (what the mix emits; what one more
kilowatt-hour emits) and differ by a factor. The kind travels with the number, is the source's for
the whole process, and the two are never added, compared or replaced by each other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from conch.errors import GridError

# Beyond lignite without heat use (about 1,200); what is more is an error of unit or of source.
MOST_G_PER_KWH: Final = 5000.0


class Kind(StrEnum):
    """What an intensity says."""

    AVERAGE = "Average"
    MARGINAL = "Marginal"


@dataclass(frozen=True, slots=True)
class Intensity:
    """Grams of CO2 equivalent per kilowatt-hour."""

    g_per_kwh: float
    kind: Kind


def checked(value: object, where: str) -> float:
    """A number of g/kWh that can be right. Raises GridError naming ``where`` it came from."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise GridError(f"{where} gives no number: {value!r:.40}")
    if not math.isfinite(value) or not 0 <= value <= MOST_G_PER_KWH:
        raise GridError(f"{where} gives {value:g} g/kWh, which cannot be")
    return float(value)
