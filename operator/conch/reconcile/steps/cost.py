"""What a service costs, draws and emits, as the status says it. Pure.

Measured numbers move all the time, and a status that follows them is a write each time. What was
told before holds until the number is off by a fifth and by more than chance; what follows from
prices alone is told at once.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from conch.observe.types import Bill

_SLACK: Final = 0.2
_FEWEST: Final = 30.0  # inferences; fewer say nothing about one
_MILLION: Final = 1e6


def block(before: Mapping[str, Any], bill: Bill | None) -> dict[str, Any]:
    """``status.cost`` in a status body; ``before`` is the one that was told.

    Without a bill (an operator that has just started) what was told holds.
    """
    if bill is None:
        return {"cost": dict(before)} if before else {}
    if bill.dollars_per_h is None and bill.watts is None:
        return {}
    if not bill.pods and not before:
        return {}  # nothing costs nothing; whether its price is known is not known yet
    shown = {
        "perHour": _told(None, bill.dollars_per_h, "$", ""),
        "power": _told(before.get("power"), bill.watts, "", "W"),
        "carbonPerHour": _told(before.get("carbonPerHour"), bill.grams_per_h, "", "g"),
    }
    for name, spent, times, sign, unit in (
        ("perMillionInferences", bill.dollars, _MILLION, "$", ""),
        ("energyPerInference", bill.joules, 1.0, "", "J"),
        ("carbonPerMillionInferences", bill.grams, _MILLION, "", "g"),
    ):
        old = before.get(name)
        if bill.inferences < _FEWEST:
            shown[name] = old
        elif spent is not None:
            slack = _SLACK + 2 / math.sqrt(bill.inferences)
            shown[name] = _told(old, spent * times / bill.inferences, sign, unit, slack)
    body: dict[str, Any] = {name: text for name, text in shown.items() if text is not None}
    if bill.watts is not None:
        body["estimated"] = bill.estimated
    if bill.carbon_kind:
        body["carbonKind"] = bill.carbon_kind
    return {"cost": body}


def _told(
    old: object, value: float | None, sign: str, unit: str, slack: float = _SLACK
) -> str | None:
    """The old text while it is still about right."""
    if value is None:
        return None
    before = _number(old, sign, unit)
    if before is not None and abs(value - before) <= slack * max(value, before):
        return str(old)
    return f"{sign}{short(value)}{unit}"


def _number(text: object, sign: str, unit: str) -> float | None:
    if not isinstance(text, str):
        return None
    try:
        return float(text.removeprefix(sign).removesuffix(unit))
    except ValueError:
        return None


def short(value: float) -> str:
    """Two significant digits, never an exponent: 0.0012, 1.4, 23, 1200."""
    if value <= 0 or not math.isfinite(value):
        return "0"
    rounded = float(f"{value:.1e}")
    return f"{rounded:.{max(0, 1 - math.floor(math.log10(rounded)))}f}"
