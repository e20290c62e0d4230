"""Durations as users write them ("100ms", "1.5s"), in seconds."""

from __future__ import annotations

import re

_UNITS_S = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(us|ms|s|m|h)")


def seconds(duration: str) -> float:
    """Seconds of a duration; raises ValueError for what the API's pattern would refuse."""
    match = _DURATION.fullmatch(duration)
    if match is None:
        raise ValueError(f"{duration!r} is not a duration such as 100ms or 1.5s")
    return float(match[1]) * _UNITS_S[match[2]]
